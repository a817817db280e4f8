//! How much of everything there is, for monitoring.

use chrono::{DateTime, Utc};

use super::convert::{count, time_opt};
use super::{Result, Store, StoreError};
use crate::domain::JobState;

/// Numbers of jobs and models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Jobs by state, as far back as history is kept.
    pub(crate) jobs: Vec<(JobState, u64)>,
    /// Since when the oldest waiting job waits.
    pub(crate) oldest: Option<DateTime<Utc>>,
    /// Bytes of the models that are complete.
    pub(crate) ready_bytes: u64,
}

impl Store {
    /// Counts jobs and complete models.
    pub(crate) async fn counts(&self) -> Result<Counts> {
        let row = self
            .reader()
            .row(sqlx::query!(
                r#"SELECT (SELECT coalesce(sum(queued), 0) FROM tally) AS "queued!: i64",
                          (SELECT count(*) FROM jobs WHERE state = 'running') AS "running!: i64",
                          (SELECT count(*) FROM jobs WHERE state = 'completed' AND finished_at_ms IS NOT NULL) AS "completed!: i64",
                          (SELECT count(*) FROM jobs WHERE state = 'failed' AND finished_at_ms IS NOT NULL) AS "failed!: i64",
                          (SELECT count(*) FROM jobs WHERE state = 'cancelled' AND finished_at_ms IS NOT NULL) AS "cancelled!: i64",
                          (SELECT min(enqueued_at_ms) FROM jobs WHERE state = 'queued') AS "oldest?: i64",
                          (SELECT coalesce(sum(ready_bytes), 0) FROM models) AS "ready_bytes!: i64""#
            ))
            .await?
            .ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
        let jobs = [
            (JobState::Queued, row.queued),
            (JobState::Running, row.running),
            (JobState::Completed, row.completed),
            (JobState::Failed, row.failed),
            (JobState::Cancelled, row.cancelled),
        ];
        Ok(Counts {
            jobs: jobs
                .into_iter()
                .map(|(state, jobs)| Ok((state, count(jobs, "jobs", "state")?)))
                .collect::<Result<_>>()?,
            oldest: time_opt(row.oldest, "jobs", "enqueued_at_ms")?,
            ready_bytes: count(row.ready_bytes, "models", "ready_bytes")?,
        })
    }
}
