//! Removals from the cache: what rows say about the revisions that go, in the transaction in which they go.
//!
//! A job can begin only with the same write lock, so none of the repositories is worked on while they go.

use std::io;

use chrono::{DateTime, Utc};

use super::convert::{json, ms, text};
use super::{Result, Store};
use crate::domain::{ModelId, RepoId};

/// Revisions of one repository that go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoneRevisions {
    /// The repository.
    pub(crate) repo_id: RepoId,
    /// The commits.
    pub(crate) commits: Vec<String>,
    /// Whether nothing of the repository stays, parts of downloads included.
    pub(crate) whole: bool,
}

impl Store {
    /// Runs `act` (takes the revisions out of the cache) and records that nothing of them is here.
    ///
    /// Answers the model of an active job when there is one; then nothing happens.
    pub(crate) async fn forget_revisions<A>(
        &self,
        gone: Vec<GoneRevisions>,
        now: DateTime<Utc>,
        act: A,
    ) -> Result<Option<ModelId>>
    where
        A: FnOnce() -> io::Result<()> + Send + 'static,
    {
        let store = self.clone();
        let now = ms(now);
        self.to_its_end(async move {
            let mut tx = store.writer().begin().await?;
            for repo in &gone {
                let repo_id = repo.repo_id.as_str();
                let busy = tx
                    .row(sqlx::query_scalar!(
                        r#"SELECT m.model_id AS "id!" FROM jobs j JOIN models m ON m.model_key = j.model_key
                            WHERE m.repo_id = ?1 AND j.state IN ('queued', 'running') LIMIT 1"#,
                        repo_id
                    ))
                    .await?;
                if let Some(id) = busy {
                    return text(&id, "models", "model_id").map(Some);
                }
                let commits = json(&repo.commits);
                tx.exec(sqlx::query!(
                    "UPDATE models SET ready_commit = NULL, ready_bytes = NULL, ready_files = NULL, ready_verified = 0,
                            ready_at_ms = NULL, updated_at_ms = ?3
                      WHERE repo_id = ?1 AND ready_commit IN (SELECT value FROM json_each(?2))",
                    repo_id,
                    commits,
                    now,
                ))
                .await?;
                // Parts stay with the repository's folder, and so do the ranges that rows promise of them.
                tx.exec(sqlx::query!(
                    "UPDATE files SET state = 'pending', bytes_done = 0, ranges = '', part_name = NULL, part_token = NULL,
                            verified = 0, corrupt = 0, checked_job = NULL, updated_at_ms = ?4
                      WHERE model_key IN (SELECT m.model_key FROM models m WHERE m.repo_id = ?1)
                        AND (?3 OR (part_name IS NULL AND commit_sha IN (SELECT value FROM json_each(?2))))",
                    repo_id,
                    commits,
                    repo.whole,
                    now,
                ))
                .await?;
            }
            super::publish::run(act).await?;
            tx.commit().await?;
            Ok(None)
        })
        .await
    }
}
