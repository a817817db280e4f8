//! `clear`: a way out of whatever is stuck, that says what it removed and never touches a finished blob.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Cleared, Result, UnifiedModelDownloadManager};
use crate::cache::CacheError;
use crate::domain::{JobId, Model, ModelId, Origin};

/// How long a worker of this process may take to let go of a cleared job before its parts are looked at.
const LET_GO: Duration = Duration::from_secs(3);

impl UnifiedModelDownloadManager {
    /// Removes a stuck claim, queue entry and failed status of the model, so that `start` works again.
    ///
    /// With `purge` its partial files go too. Finished blobs are never touched.
    ///
    /// # Errors
    /// [`super::ManagerError::UnknownModel`].
    pub async fn clear(&self, model_id: &ModelId, purge: bool) -> Result<Cleared> {
        let model = self.model(model_id).await?;
        let store = &self.context.store;
        let now = self.clock.now();
        let mut cleared = Cleared::default();
        let running = store
            .active_job(model.key)
            .await?
            .and_then(|job| job.lease_token);
        if let (Some(token), Some(lease)) = (running, store.lease().await?)
            && lease.token == token
            && lease.expires_at < now
        {
            store.delete_lease(Some(token)).await?;
            cleared.lease_deleted = true;
        }
        let removed = store.clear(model.key, now).await?;
        cleared
            .jobs
            .extend(removed.ended.into_iter().chain(removed.forgotten));
        self.context.changed.notify_waiters();
        if purge {
            self.let_go(&cleared.jobs).await;
            self.purge(&model, &mut cleared).await?;
        }
        tracing::info!(model.id = %model_id, jobs = cleared.jobs.len(), parts = cleared.parts_deleted, "The model was cleared.");
        Ok(cleared)
    }

    /// Waits until no worker of this process holds one of the jobs.
    async fn let_go(&self, jobs: &[JobId]) {
        let gone = async {
            while jobs.iter().any(|job| self.context.live.get(*job).is_some()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(LET_GO, gone).await.is_err() {
            tracing::warn!("A worker still holds a cleared job; its parts stay.");
        }
    }

    async fn purge(&self, model: &Model, cleared: &mut Cleared) -> Result<()> {
        let Origin::Hub { repo_id, .. } = &model.spec.origin else {
            return Ok(());
        };
        let parts = self.context.store.parts_of(model.key).await?;
        let keys: Vec<i64> = parts.iter().map(|part| part.file_key).collect();
        let forgotten = self
            .context
            .store
            .forget_parts(&keys, self.clock.now())
            .await?;
        let named: HashSet<String> = parts
            .into_iter()
            .filter(|part| forgotten.contains(&part.file_key))
            .map(|part| part.part_name)
            .collect();
        let (cache, repo) = (Arc::clone(&self.context.cache), repo_id.clone());
        let swept = crate::queue::blocking(move || {
            let mut swept = (0, 0);
            for (part, bytes) in cache.list_parts(&repo)? {
                // A part whose blob another program works on is left alone.
                if named.contains(part.as_str()) && cache.try_lock(&repo, part.digest())?.is_some()
                {
                    cache.delete_part(&repo, &part)?;
                    swept = (swept.0 + 1, swept.1 + bytes);
                }
            }
            Ok(swept)
        });
        let swept = swept.await?.map_err(|error: CacheError| error.failure())?;
        (cleared.parts_deleted, cleared.bytes_deleted) = swept;
        Ok(())
    }
}
