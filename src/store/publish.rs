//! Publications: a change of the file system and the commit that records it, under one write lock.
//!
//! Taking a lease away needs the same lock, so a worker whose lease is over cannot publish. Rows are written first,
//! the caller's renames run next, the commit comes last. Dying in between leaves a finished blob whose row says
//! "partial"; the next attempt finds the blob and calls `mark_present`.
//!
//! The work runs as a task of its own: a caller that goes away does not leave renames without their lock.

use std::io;

use chrono::{DateTime, Utc};

use super::claims::{Claim, begin_fenced, one_row};
use super::convert::{keys, ms};
use super::models::ReadyColumns;
use super::plan::{all_of_job, forget_shared_parts, recount};
use super::{Result, Store, StoreError};
use crate::domain::Readiness;

impl Store {
    /// Runs `act` (renames that give files their final names) and records the files as done and verified.
    ///
    /// An error of `act` comes back as [`StoreError::Publish`] and nothing is recorded.
    pub(crate) async fn publish_files<A>(
        &self,
        claim: Claim,
        file_keys: Vec<i64>,
        now: DateTime<Utc>,
        act: A,
    ) -> Result<()>
    where
        A: FnOnce() -> io::Result<()> + Send + 'static,
    {
        let store = self.clone();
        self.to_its_end(async move {
            let mut tx = begin_fenced(&store, claim, now).await?;
            forget_shared_parts(&mut tx, claim.job_key, &file_keys, now).await?;
            let (list, now) = (keys(&file_keys), ms(now));
            let changed = tx
                .exec(sqlx::query!(
                    "UPDATE files SET state = 'done', verified = 1, corrupt = 0, bytes_done = size, ranges = '', part_name = NULL,
                            part_token = NULL, updated_at_ms = ?3
                      WHERE job_key = ?1 AND file_key IN (SELECT value FROM json_each(?2))",
                    claim.job_key,
                    list,
                    now,
                ))
                .await?;
            all_of_job(changed, &file_keys)?;
            recount(&mut tx, claim.job_key).await?;
            run(act).await?;
            failpoint!("files-before-commit");
            tx.commit().await?;
            failpoint!("files-committed");
            Ok(())
        })
        .await
    }

    /// Runs `act` (links and the ref), ends the job as completed and records that the model is complete.
    ///
    /// Refused with [`StoreError::Conflict`] while a file of the plan is not done.
    pub(crate) async fn complete<A>(
        &self,
        claim: Claim,
        readiness: Readiness,
        now: DateTime<Utc>,
        act: A,
    ) -> Result<()>
    where
        A: FnOnce() -> io::Result<()> + Send + 'static,
    {
        let store = self.clone();
        self.to_its_end(async move {
            let ready = ReadyColumns::of(Some(&readiness))?;
            let mut tx = begin_fenced(&store, claim, now).await?;
            let now = ms(now);
            let open = tx
                .row(sqlx::query_scalar!(
                    r#"SELECT count(*) AS "open!: i64" FROM files WHERE job_key = ?1 AND state <> 'done'"#,
                    claim.job_key
                ))
                .await?
                .unwrap_or(0);
            if open > 0 {
                return Err(StoreError::Conflict(format!("{open} files of the plan are not done")));
            }
            let changed = tx
                .exec(sqlx::query!(
                    "UPDATE jobs SET state = 'completed', finished_at_ms = ?2, updated_at_ms = ?2, lease_token = NULL,
                            phase = NULL, rate = 0, current_file = NULL,
                            bytes_total = coalesce(bytes_total, ?3), bytes_done = coalesce(bytes_total, ?3),
                            bytes_reused = min(bytes_reused, coalesce(bytes_total, ?3)),
                            files_total = coalesce(files_total, ?4), files_done = coalesce(files_total, ?4)
                      WHERE job_key = ?1",
                    claim.job_key,
                    now,
                    ready.bytes,
                    ready.files,
                ))
                .await?;
            one_row(changed)?;
            tx.exec(sqlx::query!(
                "UPDATE models SET ready_commit = ?2, ready_bytes = ?3, ready_files = ?4, ready_verified = ?5,
                        ready_at_ms = ?6, updated_at_ms = ?7
                  WHERE model_key = (SELECT model_key FROM jobs WHERE job_key = ?1)",
                claim.job_key,
                ready.commit,
                ready.bytes,
                ready.files,
                ready.verified,
                ready.since,
                now,
            ))
            .await?;
            run(act).await?;
            failpoint!("done-before-commit");
            tx.commit().await?;
            failpoint!("done-committed");
            Ok(())
        })
        .await
    }

    /// Runs a publication that goes on when its caller is dropped; [`Store::close`] waits for it.
    pub(super) async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match self.inner.tasks.spawn(work).await {
            Ok(done) => done,
            Err(failed) => Err(StoreError::Publish(failed.into())),
        }
    }
}

/// Runs the caller's part off the runtime.
pub(super) async fn run<A>(act: A) -> Result<()>
where
    A: FnOnce() -> io::Result<()> + Send + 'static,
{
    tokio::task::spawn_blocking(act)
        .await
        .map_err(io::Error::from)
        .and_then(|done| done)
        .map_err(StoreError::Publish)
}
