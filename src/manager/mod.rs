//! The use cases: what an embedding app and both doors (HTTP, command line) may ask of modelhaul.

mod error;
mod handler;
mod options;
mod outcome;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::{
    Attempt, Event, FileRow, Job, JobId, JobState, Model, ModelId, ModelStatus, NewModel,
    QueueStatus, RepoId,
};

pub use error::ManagerError;
pub use handler::{DownloadHandler, HandlerContext, HandlerError};
pub use options::ManagerOptions;
pub use outcome::{
    Cleared, JobFilter, ReadyReport, RegisterOptions, Registered, Started, WorkScope,
};

/// Registers models, queues their downloads, runs them one at a time, and answers how far they are.
///
/// Cheap to clone; all clones share one database and one worker.
#[derive(Clone, Debug)]
pub struct UnifiedModelDownloadManager {
    options: Arc<ManagerOptions>,
    clock: Arc<dyn Clock>,
}

type Result<T> = std::result::Result<T, ManagerError>;

impl UnifiedModelDownloadManager {
    /// Opens (and migrates) the database. Starts no work: see [`Self::run`].
    pub async fn open(options: ManagerOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(Self {
            options: Arc::new(options),
            clock,
        })
    }

    /// Works until `stop`: takes the lease (standing by while another process holds it), claims and runs jobs.
    /// On `stop` it checkpoints, gives the lease back and returns within 5 seconds.
    pub async fn run(&self, scope: WorkScope, stop: CancellationToken) -> Result<()> {
        todo!()
    }

    /// Registers a model; the same registration again changes nothing, another one under the same id is a conflict.
    pub async fn register(&self, model: NewModel) -> Result<Registered> {
        todo!()
    }

    /// Registers a captioner or tagger.
    pub async fn register_caption_generator(
        &self,
        model_id: ModelId,
        repo_id: RepoId,
        options: RegisterOptions,
    ) -> Result<Registered> {
        todo!()
    }

    /// Registers a detector.
    pub async fn register_detection_model(
        &self,
        model_id: ModelId,
        repo_id: RepoId,
        options: RegisterOptions,
    ) -> Result<Registered> {
        todo!()
    }

    /// Registers a diffusion language model.
    pub async fn register_diffusion_llm(
        &self,
        model_id: ModelId,
        repo_id: RepoId,
        options: RegisterOptions,
    ) -> Result<Registered> {
        todo!()
    }

    /// Registers a model that the app's own function downloads.
    pub async fn register_generic_model(
        &self,
        model_id: ModelId,
        download_func: Arc<dyn DownloadHandler>,
        description: Option<String>,
        model_path: Option<std::path::PathBuf>,
    ) -> Result<Registered> {
        todo!()
    }

    /// Puts a registration in place of the one with the same id; refused while a job for it is active and the files would differ.
    pub async fn replace(&self, model: NewModel) -> Result<Registered> {
        todo!()
    }

    /// Removes a registration; refused while a job for it is active. The cache is not touched.
    pub async fn remove(&self, model_id: &ModelId) -> Result<()> {
        todo!()
    }

    /// One registration.
    pub async fn model(&self, model_id: &ModelId) -> Result<Model> {
        todo!()
    }

    /// Registrations in the order of their ids, after `after`, at most `limit`.
    pub async fn models(&self, after: Option<&ModelId>, limit: u32) -> Result<Vec<Model>> {
        todo!()
    }

    /// Asks for a download. The row is committed when this returns.
    pub async fn start_download(&self, model_id: &ModelId) -> Result<Started> {
        todo!()
    }

    /// Cancels the active job; a running one stops within a second. `None` when there is nothing to cancel.
    pub async fn cancel_download(&self, model_id: &ModelId) -> Result<Option<Job>> {
        todo!()
    }

    /// Queues the last job again when it failed; else like [`Self::start_download`]. A waiting job runs at once.
    pub async fn retry_download(&self, model_id: &ModelId) -> Result<Started> {
        todo!()
    }

    /// Pauses the active job of the model; it keeps its place and its bytes. `None` when there is none.
    pub async fn pause_download(&self, model_id: &ModelId) -> Result<Option<Job>> {
        todo!()
    }

    /// Ends the pause of the model's job.
    pub async fn resume_download(&self, model_id: &ModelId) -> Result<Option<Job>> {
        todo!()
    }

    /// Pauses or resumes the whole queue.
    pub async fn set_queue_paused(&self, paused: bool) -> Result<()> {
        todo!()
    }

    /// Whether a job for the model is queued, waiting or running.
    pub async fn is_downloading(&self, model_id: &ModelId) -> Result<bool> {
        todo!()
    }

    /// Whether every file that the model needs is in the cache.
    pub async fn is_completed(&self, model_id: &ModelId) -> Result<bool> {
        todo!()
    }

    /// Where the model stands, looked up without a request.
    pub async fn get_download_status(&self, model_id: &ModelId) -> Result<ModelStatus> {
        todo!()
    }

    /// Where the queue stands.
    pub async fn get_queue_status(&self) -> Result<QueueStatus> {
        todo!()
    }

    /// Removes a stuck claim, queue entry and failed status of the model, so that `start` works again.
    /// With `purge` its partial files too. Finished blobs are never touched.
    pub async fn clear(&self, model_id: &ModelId, purge: bool) -> Result<Cleared> {
        todo!()
    }

    /// Waits until the model's job has ended or `timeout` is over, then answers the status.
    pub async fn wait(&self, model_id: &ModelId, timeout: Duration) -> Result<ModelStatus> {
        todo!()
    }

    /// One job.
    pub async fn job(&self, job_id: JobId) -> Result<Job> {
        todo!()
    }

    /// Jobs, newest first.
    pub async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>> {
        todo!()
    }

    /// The files of a job's plan.
    pub async fn job_files(&self, job_id: JobId) -> Result<Vec<FileRow>> {
        todo!()
    }

    /// The tries of a job.
    pub async fn job_attempts(&self, job_id: JobId) -> Result<Vec<Attempt>> {
        todo!()
    }

    /// The audit trail of a job, oldest first.
    pub async fn job_events(&self, job_id: JobId) -> Result<Vec<Event>> {
        todo!()
    }

    /// Whether a row can be committed and a byte be written, and who works.
    pub async fn ready(&self) -> ReadyReport {
        todo!()
    }

    /// The options it was opened with.
    pub fn options(&self) -> &ManagerOptions {
        &self.options
    }
}
