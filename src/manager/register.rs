//! Registrations: what may be downloaded.

use std::path::PathBuf;
use std::sync::Arc;

use super::{ManagerError, RegisterOptions, Registered, Result, UnifiedModelDownloadManager};
use crate::domain::{Kind, Model, ModelId, NewModel, Origin, RepoId, Revision};
use crate::queue::{DownloadHandler, Wanted};
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
        match self
            .context
            .store
            .replace_model(&model, self.clock.now())
            .await?
        {
            Replacement::Busy => Err(ManagerError::Busy(model.model_id)),
            Replacement::Replaced(model) => Ok(Registered {
                model: self.promote(*model).await?,
                created: false,
            }),
            Replacement::Absent => self.register(model).await,
        }
    }

    /// Removes a registration and its history. The cache is not touched.
    ///
    /// # Errors
    /// [`ManagerError::Busy`] while a job for it is active, [`ManagerError::UnknownModel`].
    pub async fn remove(&self, model_id: &ModelId) -> Result<()> {
        match self.context.store.remove_model(model_id).await? {
            Removal::Removed => Ok(()),
            Removal::Absent => Err(ManagerError::UnknownModel(model_id.clone())),
            Removal::Busy => Err(ManagerError::Busy(model_id.clone())),
        }
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
