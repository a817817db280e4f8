//! Asking for a download, and for its end.

use std::time::Duration;

use tokio::time::Instant;

use super::{ManagerError, Result, Started, UnifiedModelDownloadManager};
use crate::domain::{Job, JobState, Model, ModelId, Status};
use crate::queue::Presence;

/// How long a start waits for a cancelled job to end; a running one lets go within a second.
const LETS_GO: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(25);

/// Priority of a job that nobody gave another one.
pub(super) const PRIORITY: i32 = 0;

impl UnifiedModelDownloadManager {
    /// Asks for a download. The row is committed when this returns.
    ///
    /// A model whose files are all here gets no job; an active job is handed back instead of a second one.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`], [`ManagerError::DownloadsDisabled`].
    pub async fn start_download(&self, model_id: &ModelId) -> Result<Started> {
        let model = self.model(model_id).await?;
        let (model, presence) = self.look(&model).await?;
        if presence.complete {
            return Ok(Started {
                job: None,
                created: false,
                status: self.status_of(&model).await?,
            });
        }
        self.enqueue(model, presence).await
    }

    /// Like [`Self::start_download`], but asks the hub whether a complete model has moved, unless offline.
    ///
    /// # Errors
    /// As [`Self::start_download`].
    pub async fn refresh_download(&self, model_id: &ModelId) -> Result<Started> {
        if self.options.offline {
            return self.start_download(model_id).await;
        }
        let model = self.model(model_id).await?;
        let (model, presence) = self.look(&model).await?;
        self.enqueue(model, presence).await
    }

    /// Cancels the active job; a running one stops within a second. `None` when there is nothing to cancel.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`].
    pub async fn cancel_download(&self, model_id: &ModelId) -> Result<Option<Job>> {
        let Some(job) = self.active_job(model_id).await? else {
            return Ok(None);
        };
        let (store, now) = (&self.context.store, self.clock.now());
        store
            .with_reserve(|| store.request_cancel(job.key, now))
            .await?;
        self.context.changed.notify_waiters();
        Ok(self.context.store.job(job.id).await?)
    }

    /// Queues the last job again when it failed; a waiting job runs at once; else like [`Self::start_download`].
    ///
    /// # Errors
    /// As [`Self::start_download`].
    pub async fn retry_download(&self, model_id: &ModelId) -> Result<Started> {
        let model = self.model(model_id).await?;
        self.refuse_when_disabled()?;
        let now = self.clock.now();
        let Some(job) = self.context.store.last_job(model.key).await? else {
            return self.start_download(model_id).await;
        };
        match job.state {
            JobState::Queued => {
                self.context.store.run_now(job.key, now).await?;
            }
            JobState::Failed if self.context.store.requeue_failed(job.key, now).await? => {}
            _ => return self.start_download(model_id).await,
        }
        self.context.changed.notify_waiters();
        let job = self.context.store.job(job.id).await?;
        Ok(Started {
            job,
            created: false,
            status: self.status_of(&model).await?,
        })
    }

    /// Pauses the active job of the model; it keeps its place and its bytes. `None` when there is none.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`].
    pub async fn pause_download(&self, model_id: &ModelId) -> Result<Option<Job>> {
        self.set_paused(model_id, true).await
    }

    /// Ends the pause of the model's job.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`].
    pub async fn resume_download(&self, model_id: &ModelId) -> Result<Option<Job>> {
        self.set_paused(model_id, false).await
    }

    /// Pauses or resumes the whole queue; a running job stops within a second and keeps its place and its bytes.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn set_queue_paused(&self, paused: bool) -> Result<()> {
        self.context.store.set_queue_paused(paused).await?;
        self.context.changed.notify_waiters();
        Ok(())
    }

    /// Sets the bytes per second over all connections; none goes back to what the options say.
    ///
    /// A running transfer obeys within 200 ms, whichever process runs it.
    ///
    /// # Errors
    /// [`ManagerError::Invalid`] for 0; the database cannot be written.
    pub async fn set_bandwidth_limit(&self, bytes_per_second: Option<u64>) -> Result<()> {
        if bytes_per_second == Some(0) {
            let reason = "0 would stop everything: pause the queue instead".to_owned();
            return Err(ManagerError::Invalid {
                field: "bandwidth_limit",
                reason,
            });
        }
        let context = &self.context;
        context.store.set_bandwidth_limit(bytes_per_second).await?;
        context.changed.notify_waiters();
        Ok(())
    }

    /// Whether a job for the model is queued, waiting or running.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`].
    pub async fn is_downloading(&self, model_id: &ModelId) -> Result<bool> {
        Ok(self.active_job(model_id).await?.is_some())
    }

    /// Whether every file that the model needs is in the cache.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`].
    pub async fn is_completed(&self, model_id: &ModelId) -> Result<bool> {
        Ok(self.get_download_status(model_id).await?.status == Status::Completed)
    }

    async fn enqueue(&self, model: Model, presence: Presence) -> Result<Started> {
        self.refuse_when_disabled()?;
        let (job, created) = self.insert(&model).await?;
        if created {
            tracing::info!(job.id = %job.id, model.id = %model.id(), "The download is queued.");
            self.context.changed.notify_waiters();
        }
        let status = if created {
            self.status_of_new(model, presence, job.clone()).await?
        } else {
            self.status_of(&model).await?
        };
        Ok(Started {
            job: Some(job),
            created,
            status,
        })
    }

    /// Makes the job, or hands back the active one. A job that is being cancelled is waited for: who asks after a cancel
    /// wants a download, and not one that is about to end.
    async fn insert(&self, model: &Model) -> Result<(Job, bool)> {
        let asked = Instant::now();
        loop {
            let store = &self.context.store;
            let (job, created) = store.enqueue(model.key, PRIORITY, self.clock.now()).await?;
            if created || !job.cancel_requested || asked.elapsed() >= LETS_GO {
                return Ok((job, created));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn set_paused(&self, model_id: &ModelId, paused: bool) -> Result<Option<Job>> {
        let Some(job) = self.active_job(model_id).await? else {
            return Ok(None);
        };
        self.context
            .store
            .set_paused(job.key, paused, self.clock.now())
            .await?;
        self.context.changed.notify_waiters();
        Ok(self.context.store.job(job.id).await?)
    }

    pub(super) async fn active_job(&self, model_id: &ModelId) -> Result<Option<Job>> {
        let model = self.model(model_id).await?;
        Ok(self.context.store.active_job(model.key).await?)
    }

    pub(super) fn refuse_when_disabled(&self) -> Result<()> {
        if self.options.downloads_disabled {
            Err(ManagerError::DownloadsDisabled)
        } else {
            Ok(())
        }
    }
}
