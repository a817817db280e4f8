//! `clear`: a way out of whatever is stuck, that says what it removed and never touches a finished blob.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Cleared, Result, UnifiedModelDownloadManager};
use crate::cache::{Cache, CacheError};
use crate::domain::{JobId, Model, ModelId, Origin, RepoId};

/// How long a worker may take to let go of a cleared job and of its parts.
const LET_GO: Duration = Duration::from_secs(3);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// What one look at the parts brought.
#[derive(Debug, Default)]
struct Swept {
    parts: u64,
    bytes: u64,
    locked: u64,
}

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
                tokio::time::sleep(LOOK).await;
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
        let named = Arc::new(named);
        let patience = tokio::time::Instant::now() + LET_GO;
        loop {
            let (cache, repo, named) = (Arc::clone(&cache), repo.clone(), Arc::clone(&named));
            let swept = crate::queue::blocking(move || sweep(&cache, &repo, &named));
            let swept = swept.await?.map_err(|error| error.failure())?;
            cleared.parts_deleted += swept.parts;
            cleared.bytes_deleted += swept.bytes;
            // A worker in another process notices within a second that its job was cleared.
            if swept.locked == 0 || tokio::time::Instant::now() >= patience {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Deletes the named parts, except those whose blob someone works on.
fn sweep(
    cache: &Cache,
    repo: &RepoId,
    named: &HashSet<String>,
) -> std::result::Result<Swept, CacheError> {
    let mut swept = Swept::default();
    for (part, bytes) in cache.list_parts(repo)? {
        if !named.contains(part.as_str()) {
            continue;
        }
        if let Some(_lock) = cache.try_lock(repo, part.digest())? {
            cache.delete_part(repo, &part)?;
            swept.parts += 1;
            swept.bytes += bytes;
        } else {
            swept.locked += 1;
        }
    }
    Ok(swept)
}
