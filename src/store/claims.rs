//! What a worker does while it runs a job: claim, report, change phase.
//!
//! Every write names lease token and attempt and changes exactly one row. Zero rows mean that the lease is over,
//! the job was cleared, or another attempt runs: [`StoreError::Fenced`], and the worker stops and discards.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::convert::{ms, signed};
use super::plan::{self, FileCheckpoint};
use super::rows::{select_jobs, select_models};
use super::writer::Tx;
use super::{Result, Store, StoreError};
use crate::domain::{Job, JobId, Model, Phase};

/// The right of one worker to write one job during one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The job.
    pub(crate) job_key: i64,
    /// The lease.
    pub(crate) lease_token: i64,
    /// The attempt.
    pub(crate) attempt: u32,
}

/// A job that this worker runs now.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    /// The fence for every write.
    pub(crate) claim: Claim,
    /// The job as it is after the claim.
    pub(crate) job: Job,
    /// Its model.
    pub(crate) model: Model,
}

/// Where a download stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProgressUpdate {
    /// Bytes that are here, reused ones included; what is stored never goes down within an attempt.
    pub(crate) bytes_done: u64,
    /// Bytes that were here before this job received its first.
    pub(crate) bytes_reused: u64,
    /// Files under their final name.
    pub(crate) files_done: u64,
    /// Bytes per second over the last seconds.
    pub(crate) rate: u64,
    /// The file that is being received.
    pub(crate) current_file: Option<String>,
    /// When the last byte came; none keeps what is stored.
    pub(crate) last_byte_at: Option<DateTime<Utc>>,
    /// What the worker does now; none keeps what is stored.
    pub(crate) phase: Option<Phase>,
}

/// What people asked for since the last report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signal {
    /// The job is to be cancelled.
    pub(crate) cancel: bool,
    /// The job or the whole queue is paused.
    pub(crate) pause: bool,
}

/// The one statement of a report; the same text alone or inside a transaction.
macro_rules! report {
    ($claim:expr, $update:expr, $now:expr) => {{
        let now = ms($now);
        let attempt = i64::from($claim.attempt);
        let bytes = signed($update.bytes_done, "the number of bytes")?;
        let reused = signed($update.bytes_reused, "the number of bytes")?;
        let files = signed($update.files_done, "the number of files")?;
        let rate = signed($update.rate, "the speed")?;
        let last_byte = $update.last_byte_at.map(ms);
        let phase = $update.phase.map(|phase| phase.as_str());
        sqlx::query!(
            r#"UPDATE jobs SET bytes_done = max(bytes_done, min(?4, coalesce(bytes_total, ?4))),
                      bytes_reused = min(?5, max(bytes_done, min(?4, coalesce(bytes_total, ?4)))),
                      files_done = max(files_done, min(?6, coalesce(files_total, ?6))),
                      rate = ?7, current_file = ?8, last_byte_at_ms = coalesce(?9, last_byte_at_ms),
                      phase = coalesce(?11, phase), progress_at_ms = ?10, updated_at_ms = ?10
                WHERE job_key = ?1 AND state = 'running' AND lease_token = ?2 AND attempt = ?3
            RETURNING (cancel_requested_ms IS NOT NULL) AS "cancel!: bool",
                      (paused OR (SELECT s.paused FROM settings s)) AS "pause!: bool""#,
            $claim.job_key,
            $claim.lease_token,
            attempt,
            bytes,
            reused,
            files,
            rate,
            $update.current_file,
            last_byte,
            now,
            phase,
        )
    }};
}

impl Store {
    /// Claims the next runnable job, or that one; none when there is nothing to do.
    ///
    /// A due time further away than `max_backoff` counts as due: then the wall clock has jumped back.
    pub(crate) async fn claim(
        &self,
        lease_token: i64,
        only: Option<JobId>,
        max_backoff: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<Claimed>> {
        let only = only.map(|id| id.to_string());
        let now = ms(now);
        let horizon =
            now.saturating_add(i64::try_from(max_backoff.as_millis()).unwrap_or(i64::MAX));
        let mut tx = self.writer().begin().await?;
        let lease = tx
            .row(sqlx::query_scalar!(
                r#"SELECT token AS "token!" FROM lease WHERE token = ?1"#,
                lease_token
            ))
            .await?;
        if lease.is_none() {
            return Err(StoreError::Fenced);
        }
        let key = tx
            .row(sqlx::query_scalar!(
                r#"UPDATE jobs SET state = 'running', lease_token = ?1, attempt = attempt + 1, phase = NULL, rate = 0,
                          started_at_ms = coalesce(started_at_ms, ?2), updated_at_ms = ?2, progress_at_ms = ?2,
                          wait_reason = NULL, current_file = NULL, error_code = NULL, error = NULL, remedy = NULL
                    WHERE job_key = CASE WHEN ?4 IS NULL
                          THEN (SELECT q.job_key FROM jobs q
                                 WHERE q.state = 'queued' AND q.paused = 0
                                   AND (q.run_after_ms <= ?2 OR q.run_after_ms > ?3)
                                 ORDER BY q.priority DESC, q.job_key LIMIT 1)
                          ELSE (SELECT q.job_key FROM jobs q
                                 WHERE q.job_id = ?4 AND q.state = 'queued' AND q.paused = 0
                                   AND (q.run_after_ms <= ?2 OR q.run_after_ms > ?3)) END
                      AND (SELECT s.paused FROM settings s) = 0
                      AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.state = 'running')
                RETURNING job_key AS "key!""#,
                lease_token,
                now,
                horizon,
                only,
            ))
            .await?;
        let Some(key) = key else {
            return Ok(None);
        };
        let gone = || StoreError::Database(sqlx::Error::RowNotFound);
        let job: Job = tx
            .row(select_jobs!("WHERE j.job_key = ?1", key))
            .await?
            .ok_or_else(gone)?
            .try_into()?;
        let model_key = job.model_key;
        let model = tx
            .row(select_models!("WHERE m.model_key = ?1", model_key))
            .await?
            .ok_or_else(gone)?
            .try_into()?;
        failpoint!("claim-before-commit");
        tx.commit().await?;
        failpoint!("claim-committed");
        let claim = Claim {
            job_key: job.key,
            lease_token,
            attempt: job.attempt,
        };
        Ok(Some(Claimed { claim, job, model }))
    }

    /// When the next queued job is due; none when none waits. Ignores the pause of the whole queue.
    pub(crate) async fn next_due(&self) -> Result<Option<DateTime<Utc>>> {
        let due = self
            .reader()
            .row(sqlx::query_scalar!(
                r#"SELECT min(run_after_ms) AS "due?: i64" FROM jobs WHERE state = 'queued' AND paused = 0"#
            ))
            .await?
            .flatten();
        super::convert::time_opt(due, "jobs", "run_after_ms")
    }

    /// Says what the worker does now.
    pub(crate) async fn set_phase(
        &self,
        claim: Claim,
        phase: Phase,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let (attempt, phase, now) = (i64::from(claim.attempt), phase.as_str(), ms(now));
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE jobs SET phase = ?4, progress_at_ms = ?5, updated_at_ms = ?5
                  WHERE job_key = ?1 AND state = 'running' AND lease_token = ?2 AND attempt = ?3",
                claim.job_key,
                claim.lease_token,
                attempt,
                phase,
                now,
            ))
            .await?;
        one_row(changed)
    }

    /// Reports progress and checkpoints in one commit, which is the heartbeat too; answers what people asked for.
    ///
    /// The bytes of a checkpoint must be synced before this is called.
    pub(crate) async fn progress(
        &self,
        claim: Claim,
        update: &ProgressUpdate,
        checkpoints: &[FileCheckpoint],
        now: DateTime<Utc>,
    ) -> Result<Signal> {
        let row = if checkpoints.is_empty() {
            let query = report!(claim, update, now);
            let row = self
                .writer()
                .returning(query)
                .await?
                .ok_or(StoreError::Fenced)?;
            (row.cancel, row.pause)
        } else {
            let mut tx = self.writer().begin().await?;
            let row = tx
                .row(report!(claim, update, now))
                .await?
                .ok_or(StoreError::Fenced)?;
            plan::write_checkpoints(&mut tx, claim.job_key, checkpoints, now).await?;
            failpoint!("checkpoint-before-commit");
            tx.commit().await?;
            failpoint!("checkpoint-committed");
            (row.cancel, row.pause)
        };
        Ok(Signal {
            cancel: row.0,
            pause: row.1,
        })
    }
}

/// Takes the write lock for a worker: the claim holds, and cannot end before the transaction does.
pub(super) async fn begin_fenced(store: &Store, claim: Claim, now: DateTime<Utc>) -> Result<Tx> {
    let (attempt, now) = (i64::from(claim.attempt), ms(now));
    let mut tx = store.writer().begin().await?;
    let changed = tx
        .exec(sqlx::query!(
            "UPDATE jobs SET progress_at_ms = ?4, updated_at_ms = ?4
              WHERE job_key = ?1 AND state = 'running' AND lease_token = ?2 AND attempt = ?3",
            claim.job_key,
            claim.lease_token,
            attempt,
            now,
        ))
        .await?;
    one_row(changed)?;
    Ok(tx)
}

/// A fenced write must have changed its one row.
pub(super) fn one_row(changed: u64) -> Result<()> {
    if changed == 1 {
        Ok(())
    } else {
        Err(StoreError::Fenced)
    }
}
