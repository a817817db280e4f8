//! What people do to jobs: enqueue, cancel, pause, retry, clear.
//!
//! The database itself suppresses duplicates: one active job per model, whoever asks and however many at once.

use chrono::{DateTime, Utc};

use super::convert::{count, ms, text};
use super::plan::{NewPlan, write_plan};
use super::rows::select_jobs;
use super::writer::Tx;
use super::{Result, Store, StoreError};
use crate::domain::{FailureCode, Job, JobId, JobState, ModelId};

/// How full the queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueCounts {
    /// Jobs that wait for their turn, for a time or for the end of a pause.
    pub(crate) queued: u64,
    /// The model of the job that runs.
    pub(crate) running: Option<ModelId>,
}

/// What clearing a model removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClearedJobs {
    /// The queued or running job that was ended.
    pub(crate) ended: Option<JobId>,
    /// Whether that job was running; its worker finds out with its next write.
    pub(crate) was_running: bool,
    /// The failed or cancelled job that the model's status no longer shows.
    pub(crate) forgotten: Option<JobId>,
}

impl Store {
    /// Asks for a download of the model; the active job comes back with `false` when there is one.
    ///
    /// An active verify job then fetches what it finds wrong or missing: what was asked for is kept.
    pub(crate) async fn enqueue(
        &self,
        model_key: i64,
        priority: i32,
        now: DateTime<Utc>,
    ) -> Result<(Job, bool)> {
        self.grouped(move |tx| Box::pin(insert_job(tx, model_key, priority, now)))
            .await
    }

    /// Asks for a download of exactly these files: the job comes with its plan and asks the hub for none.
    ///
    /// The active job comes back with `false` when there is one, whatever its plan is.
    pub(crate) async fn enqueue_planned(
        &self,
        model_key: i64,
        priority: i32,
        plan: NewPlan<'_>,
        now: DateTime<Utc>,
    ) -> Result<(Job, bool)> {
        let mut tx = self.writer().begin().await?;
        let (job, created) = insert_job(&mut tx, model_key, priority, now).await?;
        if !created {
            tx.commit().await?;
            return Ok((job, false));
        }
        let key = job.key;
        tx.exec(sqlx::query!(
            "UPDATE jobs SET pinned = 1 WHERE job_key = ?1",
            key
        ))
        .await?;
        write_plan(&mut tx, key, plan, now).await?;
        let row = tx
            .row(select_jobs!("WHERE j.job_key = ?1", key))
            .await?
            .ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
        tx.commit().await?;
        Ok((row.try_into()?, true))
    }

    /// Whether the job's stored plan was made for this selection, or was given with the job and so never changes.
    pub(crate) async fn is_planned_for(&self, job_key: i64, selection: &str) -> Result<bool> {
        let holds = self
            .reader()
            .row(sqlx::query_scalar!(
                r#"SELECT (j.pinned OR NOT EXISTS (SELECT 1 FROM files f WHERE f.job_key = j.job_key
                                                      AND f.plan IS NOT ?2)) AS "holds!: bool"
                     FROM jobs j WHERE j.job_key = ?1"#,
                job_key,
                selection,
            ))
            .await?;
        Ok(holds.unwrap_or(false))
    }

    /// Jobs that wait, and who runs.
    pub(crate) async fn queue_counts(&self) -> Result<QueueCounts> {
        let row = self
            .reader()
            .row(sqlx::query!(
                r#"SELECT (SELECT coalesce(sum(queued), 0) FROM tally) AS "queued!: i64",
                          (SELECT m.model_id FROM jobs j JOIN models m ON m.model_key = j.model_key
                            WHERE j.state = 'running') AS "running?: String""#
            ))
            .await?
            .ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
        Ok(QueueCounts {
            queued: count(row.queued, "tally", "queued")?,
            running: row
                .running
                .map(|id| text(&id, "models", "model_id"))
                .transpose()?,
        })
    }

    /// Cancels: a queued job at once, a running one by a flag that its worker sees. The state after, or none when the job has ended.
    pub(crate) async fn request_cancel(
        &self,
        job_key: i64,
        now: DateTime<Utc>,
    ) -> Result<Option<JobState>> {
        let now = ms(now);
        let state = self
            .writer()
            .returning(sqlx::query_scalar!(
                r#"UPDATE jobs SET cancel_requested_ms = coalesce(cancel_requested_ms, ?2), updated_at_ms = ?2,
                          finished_at_ms = CASE state WHEN 'queued' THEN ?2 END, wait_reason = NULL,
                          state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END
                    WHERE job_key = ?1 AND state IN ('queued', 'running')
                RETURNING state AS "state!: String""#,
                job_key,
                now,
            ))
            .await?;
        state.map(|state| text(&state, "jobs", "state")).transpose()
    }

    /// Queues a failed job again with all its tries; `false` when it has not failed or the model has a newer job.
    pub(crate) async fn requeue_failed(&self, job_key: i64, now: DateTime<Utc>) -> Result<bool> {
        let now = ms(now);
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE jobs SET state = 'queued', finished_at_ms = NULL, run_after_ms = ?2, retries = 0, paused = 0,
                        cancel_requested_ms = NULL, cleared_at_ms = NULL, updated_at_ms = ?2,
                        error_code = NULL, error = NULL, remedy = NULL
                  WHERE job_key = ?1 AND state = 'failed'
                    AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.model_key = jobs.model_key AND o.job_key > ?1)",
                job_key,
                now,
            ))
            .await?;
        Ok(changed == 1)
    }

    /// Ends the waiting of a queued job; `false` when it is not queued.
    pub(crate) async fn run_now(&self, job_key: i64, now: DateTime<Utc>) -> Result<bool> {
        let now = ms(now);
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE jobs SET run_after_ms = min(run_after_ms, ?2), wait_reason = NULL, updated_at_ms = ?2
                  WHERE job_key = ?1 AND state = 'queued'",
                job_key,
                now,
            ))
            .await?;
        Ok(changed == 1)
    }

    /// Ends the waiting of every queued job that waits for this reason; answers how many there were.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "a part of the store's contract that its tests hold"
        )
    )]
    pub(crate) async fn wake(
        &self,
        reason: crate::domain::WaitReason,
        now: DateTime<Utc>,
    ) -> Result<u64> {
        let (reason, now) = (reason.as_str(), ms(now));
        self.writer()
            .exec(sqlx::query!(
                "UPDATE jobs SET run_after_ms = min(run_after_ms, ?2), wait_reason = NULL, updated_at_ms = ?2
                  WHERE state = 'queued' AND wait_reason = ?1",
                reason,
                now,
            ))
            .await
    }

    /// Pauses an active job or ends its pause; `false` when it has ended.
    pub(crate) async fn set_paused(
        &self,
        job_key: i64,
        paused: bool,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let now = ms(now);
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE jobs SET paused = ?2, updated_at_ms = ?3
                  WHERE job_key = ?1 AND state IN ('queued', 'running')",
                job_key,
                paused,
                now,
            ))
            .await?;
        Ok(changed == 1)
    }

    /// Ends the model's active job and makes its status forget a failed or cancelled one, so that a start works again.
    ///
    /// Rows, files and audit trail stay; a worker that still runs the job is fenced off.
    pub(crate) async fn clear(&self, model_key: i64, now: DateTime<Utc>) -> Result<ClearedJobs> {
        let now = ms(now);
        let code = FailureCode::Cleared.as_str();
        let mut tx = self.writer().begin().await?;
        // Only the newest job of a model can be active: an older failed one is never queued again.
        let last = tx
            .row(sqlx::query!(
                r#"SELECT job_key AS "key!", job_id AS "id!", state AS "state!: String" FROM jobs
                    WHERE job_key = (SELECT max(job_key) FROM jobs WHERE model_key = ?1) AND cleared_at_ms IS NULL"#,
                model_key
            ))
            .await?;
        let mut cleared = ClearedJobs::default();
        let Some(job) = last else {
            return Ok(cleared);
        };
        let id = text(&job.id, "jobs", "job_id")?;
        match text(&job.state, "jobs", "state")? {
            state @ (JobState::Queued | JobState::Running) => {
                tx.exec(sqlx::query!(
                    "UPDATE jobs SET state = 'cancelled', finished_at_ms = ?2, cleared_at_ms = ?2, updated_at_ms = ?2,
                            cancel_requested_ms = coalesce(cancel_requested_ms, ?2), lease_token = NULL, phase = NULL,
                            wait_reason = NULL, rate = 0, current_file = NULL, error_code = ?3,
                            error = 'an administrator cleared the job', remedy = NULL
                      WHERE job_key = ?1",
                    job.key,
                    now,
                    code,
                ))
                .await?;
                cleared.was_running = state == JobState::Running;
                cleared.ended = Some(id);
            }
            JobState::Failed | JobState::Cancelled => {
                tx.exec(sqlx::query!(
                    "UPDATE jobs SET cleared_at_ms = ?2, updated_at_ms = ?2 WHERE job_key = ?1",
                    job.key,
                    now,
                ))
                .await?;
                cleared.forgotten = Some(id);
            }
            JobState::Completed => {}
        }
        tx.commit().await?;
        Ok(cleared)
    }
}

/// Makes a job, or finds the active one; a verify job then fetches what it finds wrong.
async fn insert_job(
    tx: &mut Tx,
    model_key: i64,
    priority: i32,
    now: DateTime<Utc>,
) -> Result<(Job, bool)> {
    let id = JobId::generate(now).to_string();
    let now = ms(now);
    let added = tx
        .exec(sqlx::query!(
            "INSERT INTO jobs (job_id, model_key, priority, run_after_ms, enqueued_at_ms, updated_at_ms)
             SELECT ?1, m.model_key, ?2, ?3, ?3, ?3 FROM models m WHERE m.model_key = ?4
             ON CONFLICT (model_key) WHERE state IN ('queued', 'running') DO NOTHING",
            id,
            priority,
            now,
            model_key,
        ))
        .await?;
    if added == 0 {
        super::verify::ask_for_repair(tx, model_key, now).await?;
    }
    let row = tx
        .row(select_jobs!(
            "WHERE j.model_key = ?1 AND j.state IN ('queued', 'running')",
            model_key
        ))
        .await?
        .ok_or_else(|| StoreError::Conflict("the model is not registered any more".to_owned()))?;
    Ok((row.try_into()?, added == 1))
}
