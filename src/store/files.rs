//! Reads of file rows, and forgetting their parts.

use chrono::{DateTime, Utc};

use super::convert::{keys, ms};
use super::rows::{all, select_files};
use super::{Result, Store};
use crate::domain::{CommitHash, FileRow};

impl Store {
    /// The files that the job planned last, in the order of their paths; empty once a newer job planned them.
    pub(crate) async fn files_of_job(&self, job_key: i64) -> Result<Vec<FileRow>> {
        all(self
            .reader()
            .rows(select_files!(
                "WHERE f.job_key = ?1 ORDER BY f.path",
                job_key
            ))
            .await?)
    }

    /// A page of those files: at most `limit`, in the order of their paths, after that path.
    pub(crate) async fn files_of_job_after(
        &self,
        job_key: i64,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<FileRow>> {
        // No path is empty.
        let (after, limit) = (after.unwrap_or_default(), i64::from(limit));
        let question = select_files!(
            "WHERE f.job_key = ?1 AND f.path > ?2 ORDER BY f.path LIMIT ?3",
            job_key,
            after,
            limit
        );
        all(self.reader().rows(question).await?)
    }

    /// The files that are known of a model at a commit, in the order of their paths.
    pub(crate) async fn files_of(
        &self,
        model_key: i64,
        commit: &CommitHash,
    ) -> Result<Vec<FileRow>> {
        let commit = commit.as_str();
        all(self
            .reader()
            .rows(select_files!(
                "WHERE f.model_key = ?1 AND f.commit_sha = ?2 ORDER BY f.path",
                model_key,
                commit
            ))
            .await?)
    }

    /// The stored plan: the files of the commit that this selection chose, in the order of their paths.
    ///
    /// Without a selection, whatever the last one chose. Empty when there is no plan.
    pub(crate) async fn files_of_plan(
        &self,
        model_key: i64,
        commit: &CommitHash,
        selection: Option<&str>,
    ) -> Result<Vec<FileRow>> {
        let commit = commit.as_str();
        all(self
            .reader()
            .rows(select_files!(
                "WHERE f.model_key = ?1 AND f.commit_sha = ?2 AND f.plan IS NOT NULL
                   AND (?3 IS NULL OR f.plan = ?3) ORDER BY f.path",
                model_key,
                commit,
                selection
            ))
            .await?)
    }

    /// Begins the rows of these parts anew, except while a job of their model runs; answers the keys that were forgotten.
    ///
    /// Call it before the parts are deleted from the disk: a row must never promise bytes that are gone.
    pub(crate) async fn forget_parts(
        &self,
        file_keys: &[i64],
        now: DateTime<Utc>,
    ) -> Result<Vec<i64>> {
        let (list, now) = (keys(file_keys), ms(now));
        let mut tx = self.writer().begin().await?;
        let forgotten = tx
            .rows(sqlx::query_scalar!(
                r#"UPDATE files SET state = 'pending', bytes_done = 0, ranges = '', part_name = NULL,
                          part_token = NULL, updated_at_ms = ?2
                    WHERE file_key IN (SELECT value FROM json_each(?1)) AND part_name IS NOT NULL
                      AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.model_key = files.model_key AND j.state = 'running')
                RETURNING file_key AS "key!""#,
                list,
                now,
            ))
            .await?;
        tx.commit().await?;
        Ok(forgotten)
    }

    /// Sets whether modelhaul compared the hashes of these finished files; answers how many there were.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "a part of the store's contract that its tests hold"
        )
    )]
    pub(crate) async fn set_verified(
        &self,
        file_keys: &[i64],
        verified: bool,
        now: DateTime<Utc>,
    ) -> Result<u64> {
        let (list, now) = (keys(file_keys), ms(now));
        self.writer()
            .exec(sqlx::query!(
                "UPDATE files SET verified = ?2, corrupt = CASE WHEN ?2 THEN 0 ELSE corrupt END, updated_at_ms = ?3
                  WHERE state = 'done' AND file_key IN (SELECT value FROM json_each(?1))",
                list,
                verified,
                now,
            ))
            .await
    }
}
