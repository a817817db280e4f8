//! Upkeep: pruning, the WAL, and whether the database can be written at all.
//!
//! Pruning goes 500 rows at a time, so that no worker's report waits long for the write lock.

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, Row as _};

use super::convert::ms;
use super::{Result, Store};

impl Store {
    /// Deletes what is older than the settings keep, at most 500 rows of each kind; call again until it answers 0.
    ///
    /// The newest job of a model is kept, because the model's status comes from it.
    pub(crate) async fn prune(&self, now: DateTime<Utc>) -> Result<u64> {
        let now = ms(now);
        let jobs = self
            .writer()
            .exec(sqlx::query!(
                "DELETE FROM jobs WHERE job_key IN (
                   SELECT j.job_key FROM jobs j CROSS JOIN settings s
                    WHERE j.finished_at_ms IS NOT NULL
                      AND (j.finished_at_ms < ?1 - s.keep_days * 86400000
                           OR j.job_key <= (SELECT k.job_key FROM jobs k WHERE k.finished_at_ms IS NOT NULL
                                             ORDER BY k.job_key DESC LIMIT 1 OFFSET (SELECT keep_jobs FROM settings)))
                      AND EXISTS (SELECT 1 FROM jobs n WHERE n.model_key = j.model_key AND n.job_key > j.job_key)
                    ORDER BY j.job_key LIMIT 500)",
                now
            ))
            .await?;
        let events = self
            .writer()
            .exec(sqlx::query!(
                "DELETE FROM events WHERE event_id IN (
                   SELECT e.event_id FROM events e
                    WHERE e.at_ms < ?1 - (SELECT s.keep_days FROM settings s) * 86400000 ORDER BY e.at_ms LIMIT 500)",
                now
            ))
            .await?;
        // Rows go a few at a time, and half a plan would prove too little: it stops being one before its first row goes.
        self.writer()
            .exec(sqlx::query!(
                "UPDATE files SET plan = NULL
                  WHERE plan IS NOT NULL AND job_key IS NULL AND (model_key, commit_sha) IN (
                   SELECT f.model_key, f.commit_sha FROM files f
                    WHERE f.job_key IS NULL AND f.part_name IS NULL
                      AND f.updated_at_ms < ?1 - (SELECT s.keep_days FROM settings s) * 86400000
                      AND NOT EXISTS (SELECT 1 FROM models m
                                       WHERE m.model_key = f.model_key AND m.ready_commit = f.commit_sha))",
                now
            ))
            .await?;
        // A part that is still on disk keeps its row until someone forgets it.
        let files = self
            .writer()
            .exec(sqlx::query!(
                "DELETE FROM files WHERE file_key IN (
                   SELECT f.file_key FROM files f
                    WHERE f.job_key IS NULL AND f.part_name IS NULL
                      AND f.updated_at_ms < ?1 - (SELECT s.keep_days FROM settings s) * 86400000
                      AND NOT EXISTS (SELECT 1 FROM models m
                                       WHERE m.model_key = f.model_key AND m.ready_commit = f.commit_sha)
                    LIMIT 500)",
                now
            ))
            .await?;
        Ok(jobs + events + files)
    }

    /// Copies the WAL into the file and cuts it; `false` when someone was in the way, then try later.
    pub(crate) async fn checkpoint_wal(&self) -> Result<bool> {
        // A connection of its own that waits for nobody: waiting for a reader, it would hold the write lock.
        let mut connection = super::open::impatient(self.path()).await?;
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut connection)
            .await?;
        let busy: i64 = row.try_get(0)?;
        connection.close().await?;
        Ok(busy == 0)
    }

    /// Commits a row, for a readiness probe: an error means that the database cannot be written.
    pub(crate) async fn can_commit(&self) -> Result<()> {
        self.writer()
            .exec(sqlx::query!(
                "UPDATE settings SET probe = (probe + 1) % 1000000"
            ))
            .await?;
        Ok(())
    }
}
