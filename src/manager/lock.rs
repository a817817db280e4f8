//! Locking models to their contents, and downloads that accept nothing else.

use std::sync::Arc;

use super::plan::wanted;
use super::{LockedModel, ManagerError, Result, Started, UnifiedModelDownloadManager};
use crate::cache::{Cache, CacheError};
use crate::domain::{CommitHash, Model, ModelId, NewModel, PlannedFile, RepoId};
use crate::queue::{Wanted, blocking};
use crate::store::NewPlan;

/// How many differences a message names.
const MOST_NAMED: usize = 5;

impl UnifiedModelDownloadManager {
    /// Locks a registered model: to what is complete here, else to what a download would bring now.
    ///
    /// Asks the hub nothing when the plan of what is complete is stored.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub async fn lock(&self, model_id: &ModelId) -> Result<LockedModel> {
        let model = self.model(model_id).await?;
        let wants = wanted(&model.spec)?;
        let (model, _presence) = self.look(&model).await?;
        let here = model
            .readiness
            .as_ref()
            .and_then(|ready| ready.commit.clone());
        if let Some(commit) = &here {
            let key = self.context.plan_key(&wants)?;
            let store = &self.context.store;
            let rows = store.files_of_plan(model.key, commit, Some(&key)).await?;
            if !rows.is_empty() {
                let files = rows.into_iter().map(|row| row.file).collect();
                return locked(&model.spec, commit.clone(), files);
            }
        }
        self.lock_by_listing(&model.spec, &wants, here).await
    }

    /// Locks what a download would bring now, without a registration.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub async fn lock_unregistered(&self, model: &NewModel) -> Result<LockedModel> {
        self.lock_by_listing(model, &wanted(model)?, None).await
    }

    async fn lock_by_listing(
        &self,
        model: &NewModel,
        wants: &Wanted,
        commit: Option<CommitHash>,
    ) -> Result<LockedModel> {
        let commit = if let Some(commit) = commit {
            commit
        } else {
            let hub = &self.context.hub;
            hub.resolve_revision(&wants.repo_id, &wants.revision)
                .await
                .map_err(|error| error.failure())?
                .commit
        };
        let files = self.context.outline(wants, &commit).await?.files();
        locked(model, commit, files)
    }

    /// Asks for a download of exactly the locked files; registers the model when nobody did.
    ///
    /// When some are not here, the hub's listing of the locked commit is compared first: a file that differs ends it
    /// before a byte is fetched. The job then asks the hub for no other listing.
    ///
    /// # Errors
    /// [`ManagerError::NotAsLocked`], [`ManagerError::Busy`] while a job with another plan is active, and as
    /// [`Self::start_download`].
    pub async fn start_locked(&self, lock: &LockedModel) -> Result<Started> {
        let model = match self.model(&lock.id).await {
            Err(ManagerError::UnknownModel(_)) => self.register(lock.registration()).await?.model,
            found => found?,
        };
        let wants = wanted(&model.spec)?;
        if wants.repo_id != lock.repo {
            return Err(not_as_locked(
                lock,
                vec![format!("its repository is `{}`", wants.repo_id)],
            ));
        }
        let files = lock.planned();
        let here = self.has(&lock.repo, &lock.commit, &files).await?;
        if !here {
            let outline = self.context.outline(&wants, &lock.commit).await?;
            let differences = lock.differences(&outline.files());
            if !differences.is_empty() {
                return Err(not_as_locked(lock, differences));
            }
        }
        let (model, _presence) = self.look(&model).await?;
        if here && self.stands_at(&model, &wants, &lock.commit).await? {
            return Ok(Started {
                job: None,
                created: false,
                status: self.status_of(&model).await?,
            });
        }
        self.enqueue_locked(&model, &wants, lock, &files).await
    }

    async fn enqueue_locked(
        &self,
        model: &Model,
        wants: &Wanted,
        lock: &LockedModel,
        files: &[PlannedFile],
    ) -> Result<Started> {
        self.refuse_when_disabled()?;
        let key = self.context.plan_key(wants)?;
        let plan = NewPlan {
            commit: &lock.commit,
            selection: &key,
            files,
        };
        let store = &self.context.store;
        let (job, created) = store
            .enqueue_planned(model.key, super::download::PRIORITY, plan, self.clock.now())
            .await?;
        if created {
            tracing::info!(job.id = %job.id, model.id = %model.id(), commit = %lock.commit, "The locked download is queued.");
            self.context.changed.notify_waiters();
        } else {
            let rows = store.files_of_job(job.key).await?;
            let planned: Vec<PlannedFile> = rows.into_iter().map(|row| row.file).collect();
            let same = job.commit.as_ref() == Some(&lock.commit);
            if !same || !lock.differences(&planned).is_empty() {
                return Err(ManagerError::Busy(model.id().clone()));
            }
        }
        Ok(Started {
            job: Some(job),
            created,
            status: self.status_of(model).await?,
        })
    }

    /// Whether the snapshot of the commit shows all these files with these contents.
    async fn has(&self, repo: &RepoId, commit: &CommitHash, files: &[PlannedFile]) -> Result<bool> {
        let (cache, repo, commit, files) = (
            Arc::clone(&self.context.cache),
            repo.clone(),
            commit.clone(),
            files.to_vec(),
        );
        let shown = blocking(move || shows(&cache, &repo, &commit, &files)).await?;
        Ok(shown.map_err(|error| error.failure())?)
    }

    /// Whether the model is complete at this commit, and its revision means it in the cache.
    async fn stands_at(&self, model: &Model, wants: &Wanted, commit: &CommitHash) -> Result<bool> {
        let ready = model.readiness.as_ref();
        if ready.and_then(|ready| ready.commit.as_ref()) != Some(commit) {
            return Ok(false);
        }
        let (cache, wants) = (Arc::clone(&self.context.cache), wants.clone());
        let shown = blocking(move || cache.read_ref(&wants.repo_id, &wants.revision)).await?;
        Ok(shown.map_err(|error| error.failure())?.as_ref() == Some(commit))
    }
}

fn shows(
    cache: &Cache,
    repo: &RepoId,
    commit: &CommitHash,
    files: &[PlannedFile],
) -> std::result::Result<bool, CacheError> {
    let Some(snapshot) = cache.snapshot(repo, commit)? else {
        return Ok(false);
    };
    Ok(files.iter().all(|file| {
        let found = snapshot
            .files
            .binary_search_by(|shown| shown.path.cmp(&file.path));
        found.is_ok_and(|at| {
            let shown = &snapshot.files[at];
            // A plain file has no name that tells its content: its length must do, as for every reader.
            shown.size == file.size
                && shown
                    .digest
                    .as_ref()
                    .is_none_or(|digest| *digest == file.digest)
        })
    }))
}

fn locked(model: &NewModel, commit: CommitHash, files: Vec<PlannedFile>) -> Result<LockedModel> {
    LockedModel::new(model, commit, files).ok_or_else(|| ManagerError::Invalid {
        field: "model_id",
        reason: "it has no repository".to_owned(),
    })
}

fn not_as_locked(lock: &LockedModel, mut differences: Vec<String>) -> ManagerError {
    let more = differences.len().saturating_sub(MOST_NAMED);
    differences.truncate(MOST_NAMED);
    let mut text = differences.join(", ");
    if more > 0 {
        text = format!("{text}, and {more} more");
    }
    ManagerError::NotAsLocked {
        model_id: lock.id.clone(),
        differences: text,
    }
}
