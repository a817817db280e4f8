//! Which job goes first.

use super::{ManagerError, Result, UnifiedModelDownloadManager};
use crate::domain::{Job, JobId, ModelId, Place};

impl UnifiedModelDownloadManager {
    /// Gives an active job another place in the queue; one that has ended stays as it is.
    ///
    /// # Errors
    /// [`ManagerError::UnknownJob`]; [`ManagerError::Invalid`] for a priority beyond -100 to 100.
    pub async fn place_job(&self, job_id: JobId, place: Place) -> Result<Job> {
        if let Place::Priority(priority) = place
            && !(-100..=100).contains(&priority)
        {
            return Err(ManagerError::Invalid {
                field: "priority",
                reason: format!("{priority} is not between -100 and 100"),
            });
        }
        let job = self.job(job_id).await?;
        let context = &self.context;
        context
            .store
            .place_job(job.key, place, self.clock.now())
            .await?;
        context.changed.notify_waiters();
        self.job(job_id).await
    }

    /// The job of the model that has not ended, if there is one.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`].
    pub async fn active_job_of(&self, model_id: &ModelId) -> Result<Option<Job>> {
        self.active_job(model_id).await
    }
}
