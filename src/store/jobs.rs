//! Reads of jobs and of the queue.
//!
//! Answers come from read-only connections and are at most one commit old.

use super::rows::{all, select_jobs};
use super::{Result, Store};
use crate::domain::{Job, JobId, JobState};

impl Store {
    /// One job.
    pub(crate) async fn job(&self, id: JobId) -> Result<Option<Job>> {
        let id = id.to_string();
        let row = self
            .reader()
            .row(select_jobs!("WHERE j.job_id = ?1", id))
            .await?;
        row.map(Job::try_from).transpose()
    }

    /// The job that tells where the model stands: its newest, unless that one was cleared.
    pub(crate) async fn last_job(&self, model_key: i64) -> Result<Option<Job>> {
        let row = self
            .reader()
            .row(select_jobs!(
                "WHERE j.job_key = (SELECT max(job_key) FROM jobs WHERE model_key = ?1) AND j.cleared_at_ms IS NULL",
                model_key
            ))
            .await?;
        row.map(Job::try_from).transpose()
    }

    /// The job of the model that is queued or running.
    pub(crate) async fn active_job(&self, model_key: i64) -> Result<Option<Job>> {
        let row = self
            .reader()
            .row(select_jobs!(
                "WHERE j.model_key = ?1 AND j.state IN ('queued', 'running')",
                model_key
            ))
            .await?;
        row.map(Job::try_from).transpose()
    }

    /// The jobs that have not ended, the running one first, then in the order in which they would run.
    pub(crate) async fn active_jobs(&self, limit: u32) -> Result<Vec<Job>> {
        let limit = i64::from(limit);
        all(self
            .reader()
            .rows(select_jobs!(
                "WHERE j.state IN ('queued', 'running')
                 ORDER BY j.state = 'running' DESC, j.priority DESC, j.job_key LIMIT ?1",
                limit
            ))
            .await?)
    }

    /// The place of a queued job in the order in which jobs would run, from 1; none when it is not queued.
    pub(crate) async fn queue_position(&self, job_key: i64) -> Result<Option<u64>> {
        let place = self
            .reader()
            .row(sqlx::query_scalar!(
                r#"SELECT (SELECT count(*) FROM jobs o WHERE o.state = 'queued'
                              AND (o.priority > j.priority OR (o.priority = j.priority AND o.job_key <= j.job_key))
                          ) AS "place!: i64"
                     FROM jobs j WHERE j.job_key = ?1 AND j.state = 'queued'"#,
                job_key
            ))
            .await?;
        Ok(place.and_then(|place| u64::try_from(place).ok()))
    }

    /// Jobs, newest first, older than `before`.
    pub(crate) async fn jobs(
        &self,
        state: Option<JobState>,
        model_key: Option<i64>,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>> {
        let state = state.map(JobState::as_str);
        let before = before.map(|id| id.to_string());
        let limit = i64::from(limit);
        all(self
            .reader()
            .rows(select_jobs!(
                "WHERE (?1 IS NULL OR j.state = ?1) AND (?2 IS NULL OR j.model_key = ?2)
                   AND (?3 IS NULL OR j.job_key < (SELECT b.job_key FROM jobs b WHERE b.job_id = ?3))
                 ORDER BY j.job_key DESC LIMIT ?4",
                state,
                model_key,
                before,
                limit
            ))
            .await?)
    }
}
