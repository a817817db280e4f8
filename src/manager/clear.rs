//! `clear`: a way out of whatever is stuck, that says what it removed and never touches a finished blob.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Cleared, ManagerError, UnifiedModelDownloadManager};
use crate::cache::{Cache, CacheError, PartName};
use crate::domain::{Digest, JobId, Model, ModelId, RepoId};

/// How long a worker of this process may take to let go of a cleared job before its parts are looked at.
const LET_GO: Duration = Duration::from_secs(3);
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(20);

impl UnifiedModelDownloadManager {
    /// Removes a stuck claim, queue entry and failed status of the model, so that `start` works again.
    ///
    /// With `purge` its partial files go too. Finished blobs are never touched.
    ///
    /// # Errors
    /// [`super::ManagerError::UnknownModel`].
    pub async fn clear(&self, model_id: &ModelId, purge: bool) -> Result<Cleared, ManagerError> {
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
            store
                .with_reserve(|| store.delete_lease(Some(token)))
                .await?;
            cleared.lease_deleted = true;
        }
        let removed = store.with_reserve(|| store.clear(model.key, now)).await?;
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

    async fn purge(&self, model: &Model, cleared: &mut Cleared) -> Result<(), ManagerError> {
        let Some(place) = self.context.place(&model.spec) else {
            return Ok(());
        };
        let store = &self.context.store;
        let own = store.parts_of(model.key).await?;
        let keys: Vec<i64> = own.iter().map(|part| part.file_key).collect();
        // Rows of a job that was started again meanwhile are not forgotten, and their parts stay.
        let forgotten = store.forget_parts(&keys, self.clock.now()).await?;
        let others = store.all_parts().await?.into_iter();
        let mut mark = Mark {
            others: others.map(|part| part.part_name).collect(),
            named: own
                .into_iter()
                .filter(|part| forgotten.contains(&part.file_key))
                .map(|part| part.part_name)
                .collect(),
            digests: HashSet::new(),
        };
        for id in &cleared.jobs {
            if let Some(job) = store.job(*id).await? {
                let rows = store.files_of_job(job.key).await?.into_iter();
                mark.digests.extend(rows.map(|row| row.file.digest));
            }
        }
        let mark = Arc::new(mark);
        let (cache, repo) = (Arc::clone(&place.cache), place.repo_id.clone());
        let give_up = tokio::time::sleep(LET_GO);
        tokio::pin!(give_up);
        loop {
            let (cache, repo, mark) = (Arc::clone(&cache), repo.clone(), Arc::clone(&mark));
            let swept = crate::queue::blocking(move || sweep(&cache, &repo, &mark)).await?;
            let swept = swept.map_err(|error| error.failure())?;
            cleared.parts_deleted += swept.parts;
            cleared.bytes_deleted += swept.bytes;
            // The stopped worker's last write may still hold a lock for a moment.
            if swept.locked == 0 {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = &mut give_up => {
                    tracing::warn!(parts = swept.locked, "Another program works on parts of a cleared model; they stay.");
                    return Ok(());
                }
            }
        }
    }
}

/// Which parts go.
#[derive(Debug)]
struct Mark {
    /// Those that rows of the model name.
    named: HashSet<String>,
    /// Those that rows of other models name: they stay.
    others: HashSet<String>,
    /// What the cleared jobs wanted: a part that nobody names yet was born without a checkpoint.
    digests: HashSet<Digest>,
}

impl Mark {
    fn means(&self, part: &PartName) -> bool {
        let name = part.as_str();
        !self.others.contains(name)
            && (self.named.contains(name) || self.digests.contains(part.digest()))
    }
}

/// What one look at the parts brought.
#[derive(Debug, Default)]
struct Swept {
    parts: u64,
    bytes: u64,
    locked: u64,
}

/// Deletes the parts that are meant, but none whose blob another program works on.
fn sweep(cache: &Cache, repo: &RepoId, mark: &Mark) -> Result<Swept, CacheError> {
    let mut swept = Swept::default();
    for (part, bytes) in cache.list_parts(repo)? {
        if !mark.means(&part) {
            continue;
        }
        let Some(_lock) = cache.try_lock(repo, part.digest())? else {
            swept.locked += 1;
            continue;
        };
        cache.delete_part(repo, &part)?;
        swept.parts += 1;
        swept.bytes += bytes;
    }
    Ok(swept)
}
