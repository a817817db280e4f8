//! Reads of jobs and of the queue.
//!
//! Answers come from read-only connections and are at most one commit old.

use super::convert::count;
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
    ///
    /// With `after`, only queued ones that would run after the job with that id, wherever it is now.
    pub(crate) async fn active_jobs(&self, after: Option<JobId>, limit: u32) -> Result<Vec<Job>> {
        let limit = i64::from(limit);
        let Some(after) = after.map(|id| id.to_string()) else {
            return all(self
                .reader()
                .rows(select_jobs!(
                    "WHERE j.job_key IN (SELECT r.job_key FROM jobs r WHERE r.state = 'running' UNION ALL
                                         SELECT t.job_key FROM (SELECT q.job_key FROM jobs q WHERE q.state = 'queued'
                                                                 ORDER BY q.priority DESC, q.job_key LIMIT ?1) t)
                     ORDER BY j.state = 'running' DESC, j.priority DESC, j.job_key LIMIT ?1",
                    limit
                ))
                .await?);
        };
        all(self
            .reader()
            .rows(select_jobs!(
                "WHERE j.job_key IN (SELECT q.job_key FROM jobs a
                                       JOIN jobs q ON q.state = 'queued' AND q.priority <= a.priority
                                        AND (q.priority < a.priority OR q.job_key > a.job_key)
                                      WHERE a.job_id = ?1 ORDER BY q.priority DESC, q.job_key LIMIT ?2)
                 ORDER BY j.priority DESC, j.job_key",
                after,
                limit
            ))
            .await?)
    }

    /// The place of a queued job in the order in which jobs would run, from 1; none when it is not queued.
    pub(crate) async fn queue_position(&self, job_key: i64) -> Result<Option<u64>> {
        Ok(self
            .places_up_to(job_key)
            .await?
            .filter(|(_, queued)| *queued)
            .map(|(place, _)| place))
    }

    /// How many queued jobs would run before this one or are it, and whether it is queued; none when it is gone.
    ///
    /// Higher priorities are kept as numbers; of its own, the shorter side is counted.
    async fn places_up_to(&self, job_key: i64) -> Result<Option<(u64, bool)>> {
        let row = self
            .reader()
            .row(sqlx::query!(
                r#"SELECT j.state = 'queued' AS "queued!: bool",
                          (SELECT coalesce(sum(t.queued), 0) FROM tally t WHERE t.priority > j.priority) AS "higher!: i64",
                          CASE WHEN j.job_key - (SELECT min(f.job_key) FROM jobs f WHERE f.state = 'queued' AND f.priority = j.priority)
                                 <= (SELECT max(l.job_key) FROM jobs l WHERE l.state = 'queued' AND l.priority = j.priority) - j.job_key
                               THEN (SELECT count(*) FROM jobs o WHERE o.state = 'queued' AND o.priority = j.priority
                                                                   AND o.job_key <= j.job_key)
                               ELSE (SELECT coalesce(sum(t.queued), 0) FROM tally t WHERE t.priority = j.priority)
                                  - (SELECT count(*) FROM jobs o WHERE o.state = 'queued' AND o.priority = j.priority
                                                                   AND o.job_key > j.job_key)
                          END AS "same!: i64"
                     FROM jobs j WHERE j.job_key = ?1"#,
                job_key
            ))
            .await?;
        row.map(|row| Ok((count(row.higher + row.same, "tally", "queued")?, row.queued)))
            .transpose()
    }

    /// How many queued jobs would run before the one with this id or are it; 0 when there is no such job.
    pub(crate) async fn places_before(&self, id: JobId) -> Result<u64> {
        let Some(job) = self.job(id).await? else {
            return Ok(0);
        };
        Ok(self
            .places_up_to(job.key)
            .await?
            .map_or(0, |(place, _)| place))
    }

    /// Jobs, newest first, older than `before`.
    pub(crate) async fn jobs(
        &self,
        state: Option<JobState>,
        model_key: Option<i64>,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>> {
        let before = before.map(|id| id.to_string());
        let limit = i64::from(limit);
        // One statement for each question, so that each has an index that is in its order.
        let rows = match (model_key, state) {
            (Some(model_key), state) => {
                let state = state.map(JobState::as_str);
                let question = select_jobs!(
                    "WHERE j.model_key = ?1 AND (?2 IS NULL OR j.state = ?2)
                       AND j.job_key < CASE WHEN ?3 IS NULL THEN 9223372036854775807
                                          ELSE (SELECT b.job_key FROM jobs b WHERE b.job_id = ?3) END
                     ORDER BY j.job_key DESC LIMIT ?4",
                    model_key,
                    state,
                    before,
                    limit
                );
                self.reader().rows(question).await?
            }
            (None, Some(JobState::Running)) => {
                let question = select_jobs!(
                    "WHERE j.state = 'running'
                       AND j.job_key < CASE WHEN ?1 IS NULL THEN 9223372036854775807
                                            ELSE (SELECT b.job_key FROM jobs b WHERE b.job_id = ?1) END",
                    before
                );
                self.reader().rows(question).await?
            }
            // Few jobs that have ended are kept, so almost all are queued.
            (None, Some(state @ JobState::Queued)) => {
                let state = state.as_str();
                let question = select_jobs!(
                    "WHERE +j.state = ?1
                       AND j.job_key < CASE WHEN ?2 IS NULL THEN 9223372036854775807
                                            ELSE (SELECT b.job_key FROM jobs b WHERE b.job_id = ?2) END
                     ORDER BY j.job_key DESC LIMIT ?3",
                    state,
                    before,
                    limit
                );
                self.reader().rows(question).await?
            }
            (None, Some(state)) => {
                let state = state.as_str();
                let question = select_jobs!(
                    "WHERE j.state = ?1 AND j.finished_at_ms IS NOT NULL
                       AND j.job_key < CASE WHEN ?2 IS NULL THEN 9223372036854775807
                                            ELSE (SELECT b.job_key FROM jobs b WHERE b.job_id = ?2) END
                     ORDER BY j.job_key DESC LIMIT ?3",
                    state,
                    before,
                    limit
                );
                self.reader().rows(question).await?
            }
            (None, None) => {
                let question = select_jobs!(
                    "WHERE j.job_key < CASE WHEN ?1 IS NULL THEN 9223372036854775807
                                          ELSE (SELECT b.job_key FROM jobs b WHERE b.job_id = ?1) END
                     ORDER BY j.job_key DESC LIMIT ?2",
                    before,
                    limit
                );
                self.reader().rows(question).await?
            }
        };
        all(rows)
    }
}
