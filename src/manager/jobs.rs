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

    /// At most `limit` files of a job's plan, in the order of their paths, after that path.
    ///
    /// # Errors
    /// [`ManagerError::UnknownJob`].
    pub async fn job_files(
        &self,
        job_id: JobId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<FileRow>> {
        let job = self.job(job_id).await?;
        let store = &self.context.store;
        Ok(store.files_of_job_after(job.key, after, limit).await?)
    }

    /// At most `limit` tries of a job after that one (0: from the first), oldest first.
    ///
    /// # Errors
    /// [`ManagerError::UnknownJob`].
    pub async fn job_attempts(
        &self,
        job_id: JobId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Attempt>> {
        let job = self.job(job_id).await?;
        Ok(self.context.store.attempts(job.key, after, limit).await?)
    }

    /// At most `limit` lines of a job's audit trail after the one with this id (0: from the first), oldest first.
    ///
    /// # Errors
    /// [`ManagerError::UnknownJob`].
    pub async fn job_events(&self, job_id: JobId, after: i64, limit: u32) -> Result<Vec<Event>> {
        let job = self.job(job_id).await?;
        Ok(self.context.store.job_events(job.key, after, limit).await?)
    }
}
