//! Reads of the audit trail: events, attempts, and the parts that rows speak of.

use super::convert::{count, count_opt, text_opt, time, time_opt};
use super::{Result, Store, StoreError};
use crate::domain::{Attempt, Event};

/// A part file that a row speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartRow {
    /// The file's row.
    pub(crate) file_key: i64,
    /// Its model.
    pub(crate) model_key: i64,
    /// The repository in whose `blobs/` the part lies.
    pub(crate) repo_id: Option<String>,
    /// The part's name.
    pub(crate) part_name: String,
    /// The lease under which it was written last.
    pub(crate) part_token: i64,
    /// Bytes that are on disk and synced.
    pub(crate) bytes_done: u64,
}

#[derive(Debug)]
struct EventRow {
    id: i64,
    at_ms: i64,
    job_id: Option<String>,
    model_id: Option<String>,
    kind: String,
    from_state: Option<String>,
    to_state: Option<String>,
    detail: Option<String>,
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self> {
        const T: &str = "events";
        Ok(Self {
            id: row.id,
            at: time(row.at_ms, T, "at_ms")?,
            job_id: text_opt(row.job_id.as_deref(), T, "job_id")?,
            model_id: text_opt(row.model_id.as_deref(), T, "model_id")?,
            kind: row.kind,
            from_state: row.from_state,
            to_state: row.to_state,
            detail: row.detail,
        })
    }
}

macro_rules! select_events {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            EventRow,
            r#"SELECT event_id AS "id!", at_ms AS "at_ms!", job_id AS "job_id?", model_id AS "model_id?",
                      kind AS "kind!", from_state AS "from_state?", to_state AS "to_state?", detail AS "detail?"
                 FROM events "# + $tail
            $(, $argument)*
        )
    };
}

macro_rules! select_parts {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query!(
            r#"SELECT f.file_key AS "file_key!", f.model_key AS "model_key!", m.repo_id AS "repo_id?",
                      f.part_name AS "part_name!", f.part_token AS "part_token!", f.bytes_done AS "bytes_done!"
                 FROM files f JOIN models m ON m.model_key = f.model_key
                WHERE f.part_name IS NOT NULL "# + $tail
            $(, $argument)*
        )
        .try_map(|row| {
            Ok(PartRow {
                file_key: row.file_key,
                model_key: row.model_key,
                repo_id: row.repo_id,
                part_name: row.part_name,
                part_token: row.part_token,
                bytes_done: u64::try_from(row.bytes_done).unwrap_or(0),
            })
        })
    };
}

/// Which events there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrailBounds {
    /// The database's own word, so that numbers of another one are not taken for its own.
    pub(crate) epoch: String,
    /// The number before the oldest event that is kept.
    pub(crate) before_oldest: i64,
    /// The number of the newest event; 0 before the first one.
    pub(crate) newest: i64,
}

impl Store {
    /// Events after the one with this id, oldest first.
    pub(crate) async fn events(&self, after: i64, limit: u32) -> Result<Vec<Event>> {
        let limit = i64::from(limit);
        super::rows::all(
            self.reader()
                .rows(select_events!(
                    "WHERE event_id > ?1 ORDER BY event_id LIMIT ?2",
                    after,
                    limit
                ))
                .await?,
        )
    }

    /// Which events there are. The newest counts also when all were pruned.
    pub(crate) async fn trail_bounds(&self) -> Result<TrailBounds> {
        let row = self
            .reader()
            .row(sqlx::query!(
                r#"SELECT s.epoch AS "epoch!",
                          coalesce((SELECT q.seq FROM sqlite_sequence q WHERE q.name = 'events'), 0) AS "newest!: i64",
                          (SELECT min(e.event_id) FROM events e) AS "oldest?: i64"
                     FROM settings s"#
            ))
            .await?
            .ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
        Ok(TrailBounds {
            epoch: row.epoch,
            before_oldest: row.oldest.map_or(row.newest, |oldest| oldest - 1),
            newest: row.newest,
        })
    }

    /// Events of a job after the one with this id, oldest first.
    pub(crate) async fn job_events(
        &self,
        job_key: i64,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Event>> {
        let limit = i64::from(limit);
        let question = select_events!(
            "WHERE job_key = ?1 AND event_id > ?2 ORDER BY event_id LIMIT ?3",
            job_key,
            after,
            limit
        );
        super::rows::all(self.reader().rows(question).await?)
    }

    /// Attempts of a job after that one, oldest first.
    pub(crate) async fn attempts(
        &self,
        job_key: i64,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Attempt>> {
        const T: &str = "attempts";
        let (after, limit) = (i64::from(after), i64::from(limit));
        let rows = self
            .reader()
            .rows(sqlx::query!(
                r#"SELECT attempt AS "attempt!", lease_token AS "lease_token!", holder AS "holder!",
                          started_at_ms AS "started!", ended_at_ms AS "ended?", outcome AS "outcome?",
                          bytes_start AS "bytes_start!", bytes_end AS "bytes_end?", error_code AS "error_code?",
                          error AS "error?"
                     FROM attempts WHERE job_key = ?1 AND attempt > ?2 ORDER BY attempt LIMIT ?3"#,
                job_key,
                after,
                limit
            ))
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Attempt {
                    attempt: count(row.attempt, T, "attempt")?,
                    lease_token: row.lease_token,
                    holder: row.holder,
                    started_at: time(row.started, T, "started_at_ms")?,
                    ended_at: time_opt(row.ended, T, "ended_at_ms")?,
                    outcome: row.outcome,
                    bytes_start: count(row.bytes_start, T, "bytes_start")?,
                    bytes_end: count_opt(row.bytes_end, T, "bytes_end")?,
                    error_code: row.error_code,
                    error: row.error,
                })
            })
            .collect()
    }

    /// The parts of a model's files, at every commit.
    pub(crate) async fn parts_of(&self, model_key: i64) -> Result<Vec<PartRow>> {
        self.reader()
            .rows(select_parts!("AND f.model_key = ?1", model_key))
            .await
    }

    /// All parts that rows speak of: any other of ours in the cache is left over.
    pub(crate) async fn all_parts(&self) -> Result<Vec<PartRow>> {
        self.reader()
            .rows(select_parts!("ORDER BY f.file_key"))
            .await
    }
}
