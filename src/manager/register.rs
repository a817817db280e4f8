//! Registrations: what may be downloaded.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::{
    ManagerError, RegisterOptions, Registered, RemovedFolder, Result, UnifiedModelDownloadManager,
};
use crate::cache::{Cache, CacheError};
use crate::domain::{Kind, Model, ModelId, NewModel, Origin, RepoId, Revision, check_url_files};
use crate::queue::{DownloadHandler, Wanted, blocking};
use crate::store::{Removal, Replacement};

impl UnifiedModelDownloadManager {
    /// Registers a captioner or tagger.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub async fn register_caption_generator(
        &self,
        model_id: ModelId,
        repo_id: RepoId,
        options: RegisterOptions,
    ) -> Result<Registered> {
        self.register(hub_model(Kind::Caption, model_id, repo_id, options))
            .await
    }

    /// Registers a detector.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub async fn register_detection_model(
        &self,
        model_id: ModelId,
        repo_id: RepoId,
        options: RegisterOptions,
    ) -> Result<Registered> {
        self.register(hub_model(Kind::Detection, model_id, repo_id, options))
            .await
    }

    /// Registers a diffusion language model.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub async fn register_diffusion_llm(
        &self,
        model_id: ModelId,
        repo_id: RepoId,
        options: RegisterOptions,
    ) -> Result<Registered> {
        self.register(hub_model(Kind::DiffusionLlm, model_id, repo_id, options))
            .await
    }

    /// Registers a model that the app's own function downloads.
    ///
    /// The row outlives the process, the function does not: after a restart its jobs wait (`handler_missing`) until
    /// the app registers it again.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub async fn register_generic_model(
        &self,
        model_id: ModelId,
        download_func: Arc<dyn DownloadHandler>,
        description: Option<String>,
        model_path: Option<PathBuf>,
    ) -> Result<Registered> {
        let model = NewModel {
            model_id,
            kind: Kind::Generic,
            origin: Origin::Handler { model_path },
            description,
            total_size_estimate: None,
            file_count_estimate: None,
        };
        self.register_with_handler(model, download_func).await
    }

    /// Registers a model that the app's own function downloads, with estimates.
    ///
    /// Progress is the growth of its `model_path`, shown against `total_size_estimate`.
    ///
    /// # Errors
    /// As [`Self::register`]; [`ManagerError::Invalid`] for a model of a repository.
    pub async fn register_with_handler(
        &self,
        model: NewModel,
        download_func: Arc<dyn DownloadHandler>,
    ) -> Result<Registered> {
        if !matches!(model.origin, Origin::Handler { .. }) {
            return Err(ManagerError::Invalid {
                field: "repo_id",
                reason: "a model of a repository needs no function".to_owned(),
            });
        }
        let model_id = model.model_id.clone();
        let registered = self.register(model).await?;
        self.context.handlers.insert(model_id, download_func);
        if let Some(job) = self.context.store.active_job(registered.model.key).await? {
            self.context
                .store
                .run_now(job.key, self.clock.now())
                .await?;
            self.context.changed.notify_waiters();
        }
        Ok(registered)
    }

    /// Registers a model; the same registration again changes nothing.
    ///
    /// # Errors
    /// [`ManagerError::Conflict`] when the id has another source or other files; [`ManagerError::Invalid`] when the
    /// template is unknown.
    pub async fn register(&self, model: NewModel) -> Result<Registered> {
        self.check_selection(&model)?;
        self.check_files(&model)?;
        let (registered, created) = self
            .context
            .store
            .add_model(&model, self.clock.now())
            .await?;
        if !created
            && (registered.spec.origin != model.origin || registered.spec.kind != model.kind)
        {
            return Err(ManagerError::Conflict(model.model_id));
        }
        let model = self.promote(registered).await?;
        Ok(Registered { model, created })
    }

    /// Puts a registration in place of the one with the same id, or makes it.
    ///
    /// # Errors
    /// [`ManagerError::Busy`] while a job for it is active.
    pub async fn replace(&self, model: NewModel) -> Result<Registered> {
        self.check_selection(&model)?;
        self.check_files(&model)?;
        let before = self.context.store.model(&model.model_id).await?;
        let left = before.filter(|before| {
            let urls = |origin: &Origin| matches!(origin, Origin::Urls { .. });
            urls(&before.spec.origin) && !urls(&model.origin)
        });
        match self
            .context
            .store
            .replace_model(&model, self.clock.now())
            .await?
        {
            Replacement::Busy => Err(ManagerError::Busy(model.model_id)),
            Replacement::Replaced(model) => {
                if let Some(place) = left.and_then(|left| self.context.place(&left.spec)) {
                    // Nothing leads to those files any more.
                    let (cache, repo) = (place.cache, place.repo_id);
                    let gone = Arc::clone(&cache);
                    let moved = blocking(move || gone.begin_removal_of(&repo)).await?;
                    if let Some((trash, _)) = moved.map_err(|error| error.failure())? {
                        finish(cache, trash).await?;
                    }
                }
                Ok(Registered {
                    model: self.promote(*model).await?,
                    created: false,
                })
            }
            Replacement::Absent => self.register(model).await,
        }
    }

    /// Removes a registration and its history. The cache is not touched; the folder of a model whose files come from
    /// addresses goes with it, since nothing else leads there, and is what the answer tells.
    ///
    /// # Errors
    /// [`ManagerError::Busy`] while a job for it is active, [`ManagerError::UnknownModel`], a failure with
    /// `cache_locked` while another program works in that folder.
    pub async fn remove(&self, model_id: &ModelId) -> Result<Option<RemovedFolder>> {
        let model = self.model(model_id).await?;
        let managed = matches!(model.spec.origin, Origin::Urls { .. });
        let place = self.context.place(&model.spec).filter(|_| managed);
        let folder = place.map(|place| (place.cache, place.repo_id));
        let moved = Arc::new(Mutex::new(None));
        let (going, filled) = (folder.clone(), Arc::clone(&moved));
        let act = move || {
            let Some((cache, repo)) = going else {
                return Ok(());
            };
            let trash = cache
                .begin_removal_of(&repo)
                .map_err(|error| std::io::Error::other(error.failure()))?;
            *filled.lock().unwrap_or_else(PoisonError::into_inner) = trash;
            Ok(())
        };
        let removed = self.context.store.remove_model_and(model_id, act).await;
        match removed.map_err(|error| crate::queue::store_failure(&error))? {
            Removal::Removed => {}
            Removal::Absent => return Err(ManagerError::UnknownModel(model_id.clone())),
            Removal::Busy => return Err(ManagerError::Busy(model_id.clone())),
        }
        let trash = moved.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some((cache, repo)), Some((trash, bytes))) = (folder, trash) else {
            return Ok(None);
        };
        let path = cache.repo_dir(&repo);
        finish(cache, trash).await?;
        tracing::info!(model.id = %model_id, path = %path.display(), bytes, "The files of the model were removed with it.");
        Ok(Some(RemovedFolder { path, bytes }))
    }

    /// One registration.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`].
    pub async fn model(&self, model_id: &ModelId) -> Result<Model> {
        let model = self.context.store.model(model_id).await?;
        model.ok_or_else(|| ManagerError::UnknownModel(model_id.clone()))
    }

    /// Registrations in the order of their ids, after `after`, at most `limit`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn models(&self, after: Option<&ModelId>, limit: u32) -> Result<Vec<Model>> {
        Ok(self.context.store.models(after, limit).await?)
    }

    /// The rules that a registration by addresses must keep; names are looked up when they are connected to.
    pub(super) fn check_files(&self, model: &NewModel) -> Result<()> {
        let Origin::Urls { files } = &model.origin else {
            return Ok(());
        };
        let invalid = |reason| ManagerError::Invalid {
            field: "files",
            reason,
        };
        check_url_files(files).map_err(|error| invalid(error.to_string()))?;
        for (index, file) in files.iter().enumerate() {
            self.context
                .web
                .check(file)
                .map_err(|(field, rule)| invalid(format!("files[{index}].{field}: {rule}")))?;
        }
        Ok(())
    }

    fn check_selection(&self, model: &NewModel) -> Result<()> {
        let Some(wanted) = Wanted::of(model) else {
            return Ok(());
        };
        match self.context.plan_key(&wanted) {
            Ok(_) => Ok(()),
            Err(failure) => Err(ManagerError::Invalid {
                field: "template",
                reason: failure.to_string(),
            }),
        }
    }
}

/// Deletes what was moved out of sight.
async fn finish(cache: Arc<Cache>, trash: crate::cache::Trash) -> Result<()> {
    let finished = blocking(move || cache.finish_removal(&trash)).await?;
    Ok(finished.map_err(|error: CacheError| error.failure())?)
}

fn hub_model(kind: Kind, model_id: ModelId, repo_id: RepoId, options: RegisterOptions) -> NewModel {
    NewModel {
        model_id,
        kind,
        origin: Origin::Hub {
            repo_id,
            revision: options.revision.unwrap_or_else(Revision::main),
            selection: options.selection,
        },
        description: options.description,
        total_size_estimate: options.total_size_estimate,
        file_count_estimate: options.file_count_estimate,
    }
}
