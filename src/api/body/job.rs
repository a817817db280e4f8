//! A job and the files of its plan, as answers show them.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{
    CommitHash, Digest, Failure, FailureCode, FileRow, FileState, Job, JobId, JobKind, JobState,
    ModelId, Phase, WaitReason,
};

/// A job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobBody {
    id: JobId,
    model_id: ModelId,
    kind: JobKind,
    repair: bool,
    state: JobState,
    phase: Option<Phase>,
    waiting: Option<WaitingBody>,
    paused: bool,
    priority: i32,
    attempt: u32,
    retries: u32,
    cancel_requested: bool,
    /// Whether an administrator has cleared it.
    cleared: bool,
    commit: Option<CommitHash>,
    files_total: Option<u64>,
    files_downloaded: u64,
    bytes_total: Option<u64>,
    bytes_downloaded: u64,
    bytes_reused: u64,
    speed_bytes_per_second: u64,
    current_file: Option<String>,
    last_byte_at: Option<DateTime<Utc>>,
    error: Option<ErrorBody>,
    enqueued_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = JobWaiting)]
struct WaitingBody {
    reason: WaitReason,
    until: DateTime<Utc>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = JobError)]
struct ErrorBody {
    code: FailureCode,
    message: String,
    remedy: Option<String>,
    retryable: bool,
}

impl JobBody {
    /// The id, which is also the cursor of a list.
    pub(crate) fn id(&self) -> JobId {
        self.id
    }
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        let until = job.run_after;
        Self {
            id: job.id,
            model_id: job.model_id,
            kind: job.kind,
            repair: job.repair,
            state: job.state,
            phase: job.phase,
            waiting: job
                .wait_reason
                .filter(|_| job.state == JobState::Queued)
                .map(|reason| WaitingBody { reason, until }),
            paused: job.paused,
            priority: job.priority,
            attempt: job.attempt,
            retries: job.retries,
            cancel_requested: job.cancel_requested,
            cleared: job.cleared,
            commit: job.commit,
            files_total: job.files_total,
            files_downloaded: job.files_done,
            bytes_total: job.bytes_total,
            bytes_downloaded: job.bytes_done,
            bytes_reused: job.bytes_reused,
            speed_bytes_per_second: job.rate,
            current_file: job.current_file,
            last_byte_at: job.last_byte_at,
            error: job.failure.map(ErrorBody::from),
            enqueued_at: job.enqueued_at,
            started_at: job.started_at,
            updated_at: job.updated_at,
            finished_at: job.finished_at,
        }
    }
}

impl From<Failure> for ErrorBody {
    fn from(failure: Failure) -> Self {
        Self {
            retryable: failure.code.is_retryable(),
            code: failure.code,
            message: failure.message,
            remedy: failure.remedy,
        }
    }
}

/// The answer to cancel, pause and resume.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Steered)]
pub(crate) struct SteeredBody {
    model_id: ModelId,
    /// Whether there was a job to change.
    changed: bool,
    job: Option<JobBody>,
}

impl SteeredBody {
    /// The job that was changed, if there was one.
    pub(crate) fn new(model_id: ModelId, job: Option<Job>) -> Self {
        Self {
            model_id,
            changed: job.is_some(),
            job: job.map(JobBody::from),
        }
    }
}

/// A file of a job's plan.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = JobFile)]
pub(crate) struct FileBody {
    path: String,
    size: u64,
    /// None when nobody knows what the content must hash to.
    digest: Option<String>,
    state: FileState,
    bytes_downloaded: u64,
    verified: bool,
    corrupt: bool,
}

impl FileBody {
    /// The path, which is also the cursor of a list.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl From<FileRow> for FileBody {
    fn from(row: FileRow) -> Self {
        Self {
            bytes_downloaded: match row.state {
                FileState::Done => row.file.size,
                FileState::Pending | FileState::Partial => row.ranges.len(),
            },
            path: row.file.path.as_str().to_owned(),
            size: row.file.size,
            digest: Some(row.file.digest)
                .filter(Digest::is_hash)
                .map(|digest| digest.as_str().to_owned()),
            state: row.state,
            verified: row.verified,
            corrupt: row.corrupt,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::{PlannedFile, RangeSet, RepoPath};

    use super::*;

    fn row(state: FileState) -> FileRow {
        FileRow {
            key: 1,
            file: PlannedFile {
                path: RepoPath::parse("a/b.onnx").unwrap(),
                size: 100,
                digest: Digest::parse(&"ab".repeat(32)).unwrap(),
            },
            state,
            ranges: [0..10, 20..30].into_iter().collect::<RangeSet>(),
            part_name: Some("x.part".into()),
            part_token: Some(7),
            hash_mark: None,
            verified: false,
            corrupt: false,
            checked_job: None,
        }
    }

    #[test]
    fn a_file_counts_what_is_on_disk_and_keeps_its_part_to_itself() {
        let body = serde_json::to_value(FileBody::from(row(FileState::Partial))).unwrap();
        assert_eq!(body["bytes_downloaded"], 20);
        assert_eq!(body["digest"], "ab".repeat(32));
        assert!(!body.to_string().contains("part_") && !body.to_string().contains("x.part"));
        let body = serde_json::to_value(FileBody::from(row(FileState::Done))).unwrap();
        assert_eq!(body["bytes_downloaded"], 100);
    }
}
