//! Rows of jobs, models and files as the domain's types.
//!
//! Columns are listed once here. `SELECT *` is never used: a column that another process adds would shift the rest.

use std::path::PathBuf;

use super::convert::{count, count_opt, text, text_opt, time, time_opt};
use super::{Result, StoreError};
use crate::domain::{
    Digest, Failure, FailureCode, FileRow, Job, Model, NewModel, Origin, PlannedFile, Readiness,
    RepoPath, Selection,
};

#[derive(Debug)]
pub(super) struct JobRow {
    pub(super) key: i64,
    pub(super) id: String,
    pub(super) model_key: i64,
    pub(super) model_id: String,
    pub(super) kind: String,
    pub(super) repair: bool,
    pub(super) state: String,
    pub(super) phase: Option<String>,
    pub(super) wait_reason: Option<String>,
    pub(super) run_after_ms: i64,
    pub(super) paused: bool,
    pub(super) priority: i64,
    pub(super) attempt: i64,
    pub(super) retries: i64,
    pub(super) lease_token: Option<i64>,
    pub(super) cancel_requested_ms: Option<i64>,
    pub(super) cleared: bool,
    pub(super) commit_sha: Option<String>,
    pub(super) files_total: Option<i64>,
    pub(super) files_done: i64,
    pub(super) bytes_total: Option<i64>,
    pub(super) bytes_done: i64,
    pub(super) bytes_reused: i64,
    pub(super) rate: i64,
    pub(super) current_file: Option<String>,
    pub(super) last_byte_at_ms: Option<i64>,
    pub(super) error_code: Option<String>,
    pub(super) error: Option<String>,
    pub(super) remedy: Option<String>,
    pub(super) enqueued_at_ms: i64,
    pub(super) started_at_ms: Option<i64>,
    pub(super) updated_at_ms: i64,
    pub(super) finished_at_ms: Option<i64>,
}

/// Asks for jobs; the text goes on after `FROM jobs j JOIN models m`.
macro_rules! select_jobs {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::store::rows::JobRow,
            r#"SELECT j.job_key AS "key!", j.job_id AS "id!", j.model_key AS "model_key!", m.model_id AS "model_id!",
                      j.kind AS "kind!", j.repair AS "repair!: bool", j.state AS "state!", j.phase AS "phase?", j.wait_reason AS "wait_reason?",
                      j.run_after_ms AS "run_after_ms!", j.paused AS "paused!: bool", j.priority AS "priority!",
                      j.attempt AS "attempt!", j.retries AS "retries!", j.lease_token AS "lease_token?",
                      j.cancel_requested_ms AS "cancel_requested_ms?",
                      j.cleared_at_ms IS NOT NULL AS "cleared!: bool", j.commit_sha AS "commit_sha?",
                      j.files_total AS "files_total?", j.files_done AS "files_done!", j.bytes_total AS "bytes_total?",
                      j.bytes_done AS "bytes_done!", j.bytes_reused AS "bytes_reused!", j.rate AS "rate!",
                      j.current_file AS "current_file?", j.last_byte_at_ms AS "last_byte_at_ms?",
                      j.error_code AS "error_code?", j.error AS "error?", j.remedy AS "remedy?",
                      j.enqueued_at_ms AS "enqueued_at_ms!", j.started_at_ms AS "started_at_ms?",
                      j.updated_at_ms AS "updated_at_ms!", j.finished_at_ms AS "finished_at_ms?"
                 FROM jobs j JOIN models m ON m.model_key = j.model_key "# + $tail
            $(, $argument)*
        )
    };
}
pub(super) use select_jobs;

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self> {
        const T: &str = "jobs";
        Ok(Self {
            key: row.key,
            id: text(&row.id, T, "job_id")?,
            model_key: row.model_key,
            model_id: text(&row.model_id, "models", "model_id")?,
            kind: text(&row.kind, T, "kind")?,
            repair: row.repair,
            state: text(&row.state, T, "state")?,
            phase: text_opt(row.phase.as_deref(), T, "phase")?,
            wait_reason: text_opt(row.wait_reason.as_deref(), T, "wait_reason")?,
            run_after: time(row.run_after_ms, T, "run_after_ms")?,
            paused: row.paused,
            priority: count(row.priority, T, "priority")?,
            attempt: count(row.attempt, T, "attempt")?,
            retries: count(row.retries, T, "retries")?,
            lease_token: row.lease_token,
            cancel_requested: row.cancel_requested_ms.is_some(),
            cleared: row.cleared,
            commit: text_opt(row.commit_sha.as_deref(), T, "commit_sha")?,
            files_total: count_opt(row.files_total, T, "files_total")?,
            files_done: count(row.files_done, T, "files_done")?,
            bytes_total: count_opt(row.bytes_total, T, "bytes_total")?,
            bytes_done: count(row.bytes_done, T, "bytes_done")?,
            bytes_reused: count(row.bytes_reused, T, "bytes_reused")?,
            rate: count(row.rate, T, "rate")?,
            current_file: row.current_file,
            last_byte_at: time_opt(row.last_byte_at_ms, T, "last_byte_at_ms")?,
            failure: row
                .error_code
                .map(|code| failure(&code, row.error, row.remedy)),
            enqueued_at: time(row.enqueued_at_ms, T, "enqueued_at_ms")?,
            started_at: time_opt(row.started_at_ms, T, "started_at_ms")?,
            updated_at: time(row.updated_at_ms, T, "updated_at_ms")?,
            finished_at: time_opt(row.finished_at_ms, T, "finished_at_ms")?,
        })
    }
}

/// A code that this build does not know (a newer build or a hand wrote it) must not hide the job's state.
fn failure(code: &str, message: Option<String>, remedy: Option<String>) -> Failure {
    let message = message.unwrap_or_default();
    match code.parse::<FailureCode>() {
        Ok(code) => Failure {
            code,
            message,
            remedy,
            retry_after: None,
            anonymous: false,
        },
        Err(_) => Failure {
            code: FailureCode::Internal,
            message: format!("{code}: {message}"),
            remedy,
            retry_after: None,
            anonymous: false,
        },
    }
}

#[derive(Debug)]
pub(super) struct ModelRow {
    pub(super) key: i64,
    pub(super) model_id: String,
    pub(super) kind: String,
    pub(super) origin: String,
    pub(super) repo_id: Option<String>,
    pub(super) revision: Option<String>,
    pub(super) template: Option<String>,
    pub(super) variant: Option<String>,
    pub(super) allow_patterns: String,
    pub(super) ignore_patterns: String,
    pub(super) model_path: Option<String>,
    pub(super) url_files: Option<String>,
    pub(super) description: Option<String>,
    pub(super) total_size_estimate: Option<i64>,
    pub(super) file_count_estimate: Option<i64>,
    pub(super) ready_commit: Option<String>,
    pub(super) ready_bytes: Option<i64>,
    pub(super) ready_files: Option<i64>,
    pub(super) ready_verified: bool,
    pub(super) ready_at_ms: Option<i64>,
    pub(super) created_at_ms: i64,
    pub(super) updated_at_ms: i64,
}

/// Asks for models; the text goes on after `FROM models m`.
macro_rules! select_models {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::store::rows::ModelRow,
            r#"SELECT m.model_key AS "key!", m.model_id AS "model_id!", m.kind AS "kind!", m.origin AS "origin!",
                      m.repo_id AS "repo_id?", m.revision AS "revision?", m.template AS "template?",
                      m.variant AS "variant?", m.allow_patterns AS "allow_patterns!",
                      m.ignore_patterns AS "ignore_patterns!", m.model_path AS "model_path?",
                      m.url_files AS "url_files?",
                      m.description AS "description?", m.total_size_estimate AS "total_size_estimate?",
                      m.file_count_estimate AS "file_count_estimate?", m.ready_commit AS "ready_commit?",
                      m.ready_bytes AS "ready_bytes?", m.ready_files AS "ready_files?",
                      m.ready_verified AS "ready_verified!: bool", m.ready_at_ms AS "ready_at_ms?",
                      m.created_at_ms AS "created_at_ms!", m.updated_at_ms AS "updated_at_ms!"
                 FROM models m "# + $tail
            $(, $argument)*
        )
    };
}
pub(super) use select_models;

impl TryFrom<ModelRow> for Model {
    type Error = StoreError;

    fn try_from(row: ModelRow) -> Result<Self> {
        const T: &str = "models";
        let patterns = |given: &str, column| {
            serde_json::from_str(given)
                .ok()
                .ok_or_else(|| StoreError::corrupt(T, column, given))
        };
        let origin = match (row.origin.as_str(), row.repo_id, row.revision) {
            ("hub", Some(repo_id), Some(revision)) => Origin::Hub {
                repo_id: text(&repo_id, T, "repo_id")?,
                revision: text(&revision, T, "revision")?,
                selection: Selection {
                    template: row.template,
                    variant: row.variant,
                    allow_patterns: patterns(&row.allow_patterns, "allow_patterns")?,
                    ignore_patterns: patterns(&row.ignore_patterns, "ignore_patterns")?,
                },
            },
            ("handler", None, None) if row.url_files.is_some() => {
                let files = row.url_files.as_deref().unwrap_or_default();
                Origin::Urls {
                    // Not the text itself: it may hold a signed address.
                    files: serde_json::from_str(files)
                        .map_err(|error| StoreError::corrupt(T, "url_files", &error.to_string()))?,
                }
            }
            ("handler", None, None) => Origin::Handler {
                model_path: row.model_path.map(PathBuf::from),
            },
            _ => return Err(StoreError::corrupt(T, "origin", &row.origin)),
        };
        let readiness = match (row.ready_at_ms, row.ready_bytes, row.ready_files) {
            (Some(since), Some(bytes), Some(files)) => Some(Readiness {
                commit: text_opt(row.ready_commit.as_deref(), T, "ready_commit")?,
                bytes: count(bytes, T, "ready_bytes")?,
                files: count(files, T, "ready_files")?,
                verified: row.ready_verified,
                since: time(since, T, "ready_at_ms")?,
            }),
            _ => None,
        };
        Ok(Self {
            key: row.key,
            spec: NewModel {
                model_id: text(&row.model_id, T, "model_id")?,
                kind: text(&row.kind, T, "kind")?,
                origin,
                description: row.description,
                total_size_estimate: count_opt(row.total_size_estimate, T, "total_size_estimate")?,
                file_count_estimate: count_opt(row.file_count_estimate, T, "file_count_estimate")?,
            },
            readiness,
            created_at: time(row.created_at_ms, T, "created_at_ms")?,
            updated_at: time(row.updated_at_ms, T, "updated_at_ms")?,
        })
    }
}

#[derive(Debug)]
pub(super) struct FileRecord {
    pub(super) key: i64,
    pub(super) path: String,
    pub(super) size: i64,
    pub(super) digest: String,
    pub(super) state: String,
    pub(super) ranges: String,
    pub(super) part_name: Option<String>,
    pub(super) part_token: Option<i64>,
    pub(super) hash_mark: Option<String>,
    pub(super) verified: bool,
    pub(super) corrupt: bool,
    pub(super) checked_job: Option<i64>,
}

/// Asks for files; the text goes on after `FROM files f`.
macro_rules! select_files {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::store::rows::FileRecord,
            r#"SELECT f.file_key AS "key!", f.path AS "path!", f.size AS "size!", f.digest AS "digest!",
                      f.state AS "state!", f.ranges AS "ranges!", f.part_name AS "part_name?",
                      f.part_token AS "part_token?", f.hash_mark AS "hash_mark?",
                      f.verified AS "verified!: bool",
                      f.corrupt AS "corrupt!: bool", f.checked_job AS "checked_job?"
                 FROM files f "# + $tail
            $(, $argument)*
        )
    };
}
pub(super) use select_files;

impl TryFrom<FileRecord> for FileRow {
    type Error = StoreError;

    fn try_from(row: FileRecord) -> Result<Self> {
        const T: &str = "files";
        let part = row.part_name.as_deref();
        Ok(Self {
            // A mark of another part, or none that can be read, is no mark.
            hash_mark: row.hash_mark.as_deref().and_then(|text| {
                let (name, mark) = text.split_once(' ')?;
                mark.parse().ok().filter(|_| Some(name) == part)
            }),
            key: row.key,
            file: PlannedFile {
                path: RepoPath::parse(&row.path)
                    .ok()
                    .ok_or_else(|| StoreError::corrupt(T, "path", &row.path))?,
                size: count(row.size, T, "size")?,
                digest: Digest::stored(&row.digest)
                    .ok()
                    .ok_or_else(|| StoreError::corrupt(T, "digest", &row.digest))?,
            },
            state: text(&row.state, T, "state")?,
            ranges: text(&row.ranges, T, "ranges")?,
            part_name: row.part_name,
            part_token: row.part_token,
            verified: row.verified,
            corrupt: row.corrupt,
            checked_job: row.checked_job,
        })
    }
}

/// Turns every row, or reports the first that cannot be read.
pub(super) fn all<R, T>(rows: Vec<R>) -> Result<Vec<T>>
where
    T: TryFrom<R, Error = StoreError>,
{
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        all.push(T::try_from(row)?);
    }
    Ok(all)
}
