//! The cache as a whole: what lies in it, for whom, and taking revisions out of it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::{ManagerError, Result, Started, UnifiedModelDownloadManager};
use crate::cache::CacheError;
use crate::domain::{
    CacheReport, CacheTarget, CommitHash, Inspection, Model, ModelId, Origin, Removal, RepoId,
    Revision,
};
use crate::queue::{blocking, store_failure};
use crate::store::GoneRevisions;

/// How many registrations are read at once.
const PAGE: u32 = 500;

impl UnifiedModelDownloadManager {
    /// What lies in the cache, whoever put it there, and which registrations it serves. Asks the hub nothing.
    ///
    /// # Errors
    /// The cache or the database cannot be read.
    pub async fn cache_report(&self) -> Result<CacheReport> {
        let cache = Arc::clone(&self.context.cache);
        let report = blocking(move || cache.report()).await?;
        let mut report = report.map_err(|error: CacheError| error.failure())?;
        for model in self.all_models().await? {
            let Origin::Hub { repo_id, .. } = &model.spec.origin else {
                continue;
            };
            let presence = self.context.presence(&model).await?;
            let commit = presence.commit.as_ref().map(ToString::to_string);
            let repos = report
                .repos
                .iter_mut()
                .filter(|repo| repo_id.is(&repo.repo_type, &repo.repo_id));
            for revision in repos.flat_map(|repo| &mut repo.revisions) {
                if Some(&revision.commit) != commit.as_ref() {
                    continue;
                }
                let ready = model.readiness.as_ref();
                let same =
                    ready.and_then(|ready| ready.commit.as_ref()) == presence.commit.as_ref();
                let verified = ready.is_some_and(|ready| ready.verified) && same;
                revision.models.push(model.id().clone());
                revision.complete = Some(revision.complete == Some(true) || presence.complete);
                revision.verified |= presence.complete && verified;
            }
        }
        Ok(report)
    }

    /// The part of the cache that a text means: a registered id, else as [`CacheTarget`] reads it.
    ///
    /// # Errors
    /// [`ManagerError::Invalid`] when it means nothing.
    pub async fn cache_target(&self, text: &str) -> Result<CacheTarget> {
        let target = text.parse::<CacheTarget>();
        if let Ok(CacheTarget::Repo { repo_id, .. }) = &target
            && self.cached_repo(repo_id).await?
        {
            return target.map_err(|error| invalid(&error));
        }
        let known = match text.parse::<ModelId>() {
            Ok(id) => self.context.store.model(&id).await?,
            Err(_) => None,
        };
        if let Some(model) = known
            && let Origin::Hub {
                repo_id, revision, ..
            } = &model.spec.origin
        {
            let presence = self.context.presence(&model).await?;
            let commit = presence.commit.map(|commit| commit.to_string());
            let revision = commit
                .and_then(|commit| commit.parse::<Revision>().ok())
                .unwrap_or_else(|| revision.clone());
            return Ok(CacheTarget::Revision {
                repo_type: repo_id.repo_type(),
                repo_id: repo_id.without_type(),
                revision,
            });
        }
        target.map_err(|error| invalid(&error))
    }

    /// Takes revisions out of the cache, as `hf cache rm` does; with `dry_run` it only says what would go.
    ///
    /// Blobs that another revision needs stay, and so does shared content that another repository uses.
    ///
    /// # Errors
    /// [`ManagerError::Busy`] while a job for one of the repositories is active, a [`ManagerError::Failure`] with
    /// `cache_locked` while another program downloads into one.
    pub async fn remove_cached(&self, targets: &[CacheTarget], dry_run: bool) -> Result<Removal> {
        let (cache, wanted) = (Arc::clone(&self.context.cache), targets.to_vec());
        let plan = blocking(move || cache.plan_removal(&wanted)).await?;
        let plan = plan.map_err(|error: CacheError| error.failure())?;
        let mut removal = plan.removal.clone();
        self.name_models(&mut removal).await?;
        removal.dry_run = dry_run;
        if dry_run || plan.is_empty() {
            return Ok(removal);
        }
        let trash = Arc::new(Mutex::new(None));
        let (cache, filled) = (Arc::clone(&self.context.cache), Arc::clone(&trash));
        let act = move || {
            let moved = cache
                .begin_removal(&plan)
                .map_err(|error| std::io::Error::other(error.failure()))?;
            *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(moved);
            Ok(())
        };
        let busy = self
            .context
            .store
            .forget_revisions(gone(&removal), self.clock.now(), act)
            .await
            .map_err(|error| store_failure(&error))?;
        if let Some(model_id) = busy {
            return Err(ManagerError::Busy(model_id));
        }
        let trash = trash.lock().unwrap_or_else(PoisonError::into_inner).take();
        let cache = Arc::clone(&self.context.cache);
        let finished = blocking(move || trash.map_or(Ok(()), |trash| cache.finish_removal(&trash)));
        finished.await?.map_err(|error| error.failure())?;
        self.context.changed.notify_waiters();
        for revision in &removal.revisions {
            tracing::info!(repo.id = %revision.repo_id, commit = %revision.commit, "A revision was removed from the cache.");
        }
        Ok(removal)
    }

    /// Asks for a comparison of every registered model of which something is in the cache, see [`Self::verify`].
    ///
    /// Answers the models whose job is queued or runs now, and those that are being downloaded.
    ///
    /// # Errors
    /// [`ManagerError::DownloadsDisabled`], because then no job runs.
    pub async fn verify_all(&self, repair: bool) -> Result<(Vec<Started>, Vec<ModelId>)> {
        let (mut asked, mut busy) = (Vec::new(), Vec::new());
        for model in self.all_models().await? {
            let is_app = matches!(model.spec.origin, Origin::Handler { .. });
            if is_app || !self.context.presence(&model).await?.exists {
                continue;
            }
            match self.verify(model.id(), repair).await {
                Ok(started) => asked.push(started),
                Err(ManagerError::Busy(id) | ManagerError::UnknownModel(id)) => busy.push(id),
                Err(error) => return Err(error),
            }
        }
        Ok((asked, busy))
    }

    /// Compares a snapshot of the cache with the names of its blobs, at once and without a job; changes nothing.
    ///
    /// None when it is not there, or when `stop` ended the comparison.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub async fn inspect(
        &self,
        repo_id: &RepoId,
        commit: &CommitHash,
        stop: &CancellationToken,
    ) -> Result<Option<Inspection>> {
        let cache = Arc::clone(&self.context.cache);
        let (repo, commit, stop) = (repo_id.clone(), commit.clone(), stop.clone());
        let go_on = move || !stop.is_cancelled();
        Ok(blocking(move || crate::queue::inspect(&cache, &repo, &commit, go_on)).await??)
    }

    async fn cached_repo(&self, repo_id: &RepoId) -> Result<bool> {
        let (cache, repo) = (Arc::clone(&self.context.cache), repo_id.clone());
        Ok(blocking(move || cache.repo_dir(&repo).is_dir()).await?)
    }

    async fn all_models(&self) -> Result<Vec<Model>> {
        let mut models: Vec<Model> = Vec::new();
        loop {
            let after = models.last().map(|model| model.id().clone());
            let page = self.models(after.as_ref(), PAGE).await?;
            if page.is_empty() {
                return Ok(models);
            }
            models.extend(page);
        }
    }

    /// Says which registrations lose their files.
    async fn name_models(&self, removal: &mut Removal) -> Result<()> {
        for model in self.all_models().await? {
            let Origin::Hub { repo_id, .. } = &model.spec.origin else {
                continue;
            };
            let commit = self.context.presence(&model).await?.commit;
            let commit = commit.map(|commit| commit.to_string());
            for revision in &mut removal.revisions {
                if repo_id.is(&revision.repo_type, &revision.repo_id)
                    && Some(&revision.commit) == commit.as_ref()
                {
                    revision.models.push(model.id().clone());
                }
            }
        }
        Ok(())
    }
}

fn invalid(error: &crate::domain::InvalidName) -> ManagerError {
    ManagerError::Invalid {
        field: "target",
        reason: error.to_string(),
    }
}

/// The revisions of model repositories that go, by repository.
fn gone(removal: &Removal) -> Vec<GoneRevisions> {
    let mut gone: Vec<GoneRevisions> = Vec::new();
    for revision in &removal.revisions {
        let Some(repo_id) = RepoId::of_type(&revision.repo_type, &revision.repo_id) else {
            continue;
        };
        match gone.iter_mut().find(|repo| repo.repo_id == repo_id) {
            Some(repo) => repo.commits.push(revision.commit.clone()),
            None => gone.push(GoneRevisions {
                repo_id,
                commits: vec![revision.commit.clone()],
                whole: revision.whole_repo,
            }),
        }
    }
    gone
}
