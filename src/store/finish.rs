//! How an attempt ends without success: failed, to be tried again, given back, cancelled.
//!
//! A person's cancel wins over a retry and over giving back: such a job ends, it does not return to the queue.

use chrono::{DateTime, Utc};

use super::claims::Claim;
use super::convert::{ms, text};
use super::{Result, Store, StoreError};
use crate::domain::{Failure, JobState, WaitReason};

impl Store {
    /// Ends the job as failed.
    pub(crate) async fn fail(
        &self,
        claim: Claim,
        failure: &Failure,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let (attempt, code, now) = (i64::from(claim.attempt), failure.code.as_str(), ms(now));
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE jobs SET state = 'failed', finished_at_ms = ?4, updated_at_ms = ?4, lease_token = NULL,
                        phase = NULL, rate = 0, current_file = NULL, error_code = ?5, error = ?6, remedy = ?7
                  WHERE job_key = ?1 AND state = 'running' AND lease_token = ?2 AND attempt = ?3",
                claim.job_key,
                claim.lease_token,
                attempt,
                now,
                code,
                failure.message,
                failure.remedy,
            ))
            .await?;
        super::claims::one_row(changed)
    }

    /// Puts the job back until `run_after`, with its new count of tries without progress. The state after: queued, or cancelled.
    pub(crate) async fn retry(
        &self,
        claim: Claim,
        failure: &Failure,
        reason: WaitReason,
        run_after: DateTime<Utc>,
        retries: u32,
        now: DateTime<Utc>,
    ) -> Result<JobState> {
        let (attempt, code, reason) = (
            i64::from(claim.attempt),
            failure.code.as_str(),
            reason.as_str(),
        );
        let (run_after, now) = (ms(run_after), ms(now));
        let state = self
            .writer()
            .returning(sqlx::query_scalar!(
                r#"UPDATE jobs SET state = CASE WHEN cancel_requested_ms IS NULL THEN 'queued' ELSE 'cancelled' END,
                          finished_at_ms = CASE WHEN cancel_requested_ms IS NOT NULL THEN ?4 END,
                          wait_reason = CASE WHEN cancel_requested_ms IS NULL THEN ?5 END,
                          run_after_ms = ?6, retries = ?7, updated_at_ms = ?4, lease_token = NULL, phase = NULL,
                          rate = 0, current_file = NULL, error_code = ?8, error = ?9, remedy = ?10
                    WHERE job_key = ?1 AND state = 'running' AND lease_token = ?2 AND attempt = ?3
                RETURNING state AS "state!: String""#,
                claim.job_key,
                claim.lease_token,
                attempt,
                now,
                reason,
                run_after,
                retries,
                code,
                failure.message,
                failure.remedy,
            ))
            .await?
            .ok_or(StoreError::Fenced)?;
        text(&state, "jobs", "state")
    }

    /// Gives the job back because of a pause or a stop: it keeps its place and uses up no try. The state after: queued, or cancelled.
    pub(crate) async fn release(&self, claim: Claim, now: DateTime<Utc>) -> Result<JobState> {
        let (attempt, now) = (i64::from(claim.attempt), ms(now));
        let state = self
            .writer()
            .returning(sqlx::query_scalar!(
                r#"UPDATE jobs SET state = CASE WHEN cancel_requested_ms IS NULL THEN 'queued' ELSE 'cancelled' END,
                          finished_at_ms = CASE WHEN cancel_requested_ms IS NOT NULL THEN ?4 END,
                          run_after_ms = min(run_after_ms, ?4), updated_at_ms = ?4, lease_token = NULL, phase = NULL,
                          rate = 0, current_file = NULL, error_code = NULL, error = NULL, remedy = NULL
                    WHERE job_key = ?1 AND state = 'running' AND lease_token = ?2 AND attempt = ?3
                RETURNING state AS "state!: String""#,
                claim.job_key,
                claim.lease_token,
                attempt,
                now,
            ))
            .await?
            .ok_or(StoreError::Fenced)?;
        text(&state, "jobs", "state")
    }

    /// Ends the job as cancelled.
    pub(crate) async fn cancelled(&self, claim: Claim, now: DateTime<Utc>) -> Result<()> {
        let (attempt, now) = (i64::from(claim.attempt), ms(now));
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE jobs SET state = 'cancelled', finished_at_ms = ?4, updated_at_ms = ?4, lease_token = NULL,
                        phase = NULL, rate = 0, current_file = NULL, error_code = NULL, error = NULL, remedy = NULL
                  WHERE job_key = ?1 AND state = 'running' AND lease_token = ?2 AND attempt = ?3",
                claim.job_key,
                claim.lease_token,
                attempt,
                now,
            ))
            .await?;
        super::claims::one_row(changed)
    }
}
