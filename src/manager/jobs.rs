//! Looking at jobs.

use super::{JobFilter, ManagerError, Result, UnifiedModelDownloadManager};
use crate::domain::{Attempt, Event, FileRow, Job, JobId};

/// The longest list that is handed out at once.
const LONGEST_LIST: u32 = 1000;

impl UnifiedModelDownloadManager {
    /// One job.
    ///
    /// # Errors
    /// [`ManagerError::UnknownJob`].
    pub async fn job(&self, job_id: JobId) -> Result<Job> {
        self.context
            .store
            .job(job_id)
            .await?
            .ok_or(ManagerError::UnknownJob(job_id))
    }

    /// Jobs, newest first.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`] when the filter names one.
    pub async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>> {
        let model_key = match &filter.model_id {
            None => None,
            Some(model_id) => Some(self.model(model_id).await?.key),
        };
        let limit = filter.limit.clamp(1, LONGEST_LIST);
        Ok(self
            .context
            .store
            .jobs(filter.state, model_key, filter.before, limit)
            .await?)
    }

    /// The files of a job's plan.
    ///
    /// # Errors
    /// [`ManagerError::UnknownJob`].
    pub async fn job_files(&self, job_id: JobId) -> Result<Vec<FileRow>> {
        let job = self.job(job_id).await?;
        Ok(self.context.store.files_of_job(job.key).await?)
    }

    /// The tries of a job.
    ///
    /// # Errors
    /// [`ManagerError::UnknownJob`].
    pub async fn job_attempts(&self, job_id: JobId) -> Result<Vec<Attempt>> {
        let job = self.job(job_id).await?;
        Ok(self.context.store.attempts(job.key).await?)
    }

    /// The audit trail of a job, oldest first.
    ///
    /// # Errors
    /// [`ManagerError::UnknownJob`].
    pub async fn job_events(&self, job_id: JobId) -> Result<Vec<Event>> {
        let job = self.job(job_id).await?;
        Ok(self.context.store.job_events(job.key).await?)
    }
}
