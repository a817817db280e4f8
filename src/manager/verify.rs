//! Asking for a comparison of what the cache holds of a model with its digests.

use super::{ManagerError, Result, Started, UnifiedModelDownloadManager};
use crate::domain::{Job, JobKind, ModelId, Origin};

/// Priority of a job that nobody gave another one.
const PRIORITY: i32 = 0;

impl UnifiedModelDownloadManager {
    /// Asks for a comparison of every file of the model with its digest. The row is committed when this returns.
    ///
    /// The job completes when all are right, else it fails and names those that are not. With `repair` it fetches
    /// exactly these again, and completes. An active verify job is handed back instead of a second one.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`], [`ManagerError::Busy`] while the model is downloaded,
    /// [`ManagerError::Invalid`] for a model that the app's own function downloads,
    /// [`ManagerError::DownloadsDisabled`], because then no job runs.
    pub async fn verify(&self, model_id: &ModelId, repair: bool) -> Result<Started> {
        let model = self.model(model_id).await?;
        if matches!(model.spec.origin, Origin::Handler { .. }) {
            return Err(ManagerError::Invalid {
                field: "model_id",
                reason: format!(
                    "`{model_id}` comes from the app's function: its digests are not known"
                ),
            });
        }
        self.refuse_when_disabled()?;
        let (job, created) = self
            .context
            .store
            .enqueue_verify(model.key, repair, PRIORITY, self.clock.now())
            .await?;
        if job.kind == JobKind::Download {
            return Err(ManagerError::Busy(model_id.clone()));
        }
        if created {
            tracing::info!(job.id = %job.id, model.id = %model_id, repair, "The comparison is queued.");
            self.context.changed.notify_waiters();
        }
        Ok(Started {
            status: self.status_of(&model).await?,
            job: Some(job),
            created,
        })
    }

    /// Waits until the job has ended or `timeout` is over, then answers it.
    ///
    /// # Errors
    /// [`ManagerError::UnknownJob`].
    pub async fn wait_job(&self, job: &Job, timeout: std::time::Duration) -> Result<Job> {
        self.wait(&job.model_id, timeout).await?;
        self.job(job.id).await
    }
}
