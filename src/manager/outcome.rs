//! What the use cases take and answer.

use serde::Serialize;

use crate::domain::{Job, JobId, JobState, Model, ModelId, ModelStatus, Selection};

/// The optional parts of a registration.
#[derive(Debug, Clone, Default)]
pub struct RegisterOptions {
    /// Branch, tag or commit; none means `main`.
    pub revision: Option<crate::domain::Revision>,
    /// Which files; the default is the template of the kind.
    pub selection: Selection,
    /// A sentence for people.
    pub description: Option<String>,
    /// A guess of the size in bytes.
    pub total_size_estimate: Option<u64>,
    /// A guess of the number of files.
    pub file_count_estimate: Option<u64>,
}

/// The answer to a registration.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The registration.
    pub model: Model,
    /// Whether it is new.
    pub created: bool,
}

/// The answer to a start.
#[derive(Debug, Clone)]
pub struct Started {
    /// The active job; none when the model was complete already.
    pub job: Option<Job>,
    /// Whether this call made the job.
    pub created: bool,
    /// Where the model stands now.
    pub status: ModelStatus,
}

/// What `clear` removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Cleared {
    /// Jobs whose claim or queue entry was removed.
    pub jobs: Vec<JobId>,
    /// Whether a lease was deleted, because the holder was gone.
    pub lease_deleted: bool,
    /// Partial files that were removed.
    pub parts_deleted: u64,
    /// Their bytes.
    pub bytes_deleted: u64,
}

/// Which jobs a list shows.
#[derive(Debug, Clone)]
pub struct JobFilter {
    /// Only this state.
    pub state: Option<JobState>,
    /// Only this model.
    pub model_id: Option<ModelId>,
    /// Only jobs older than this one.
    pub before: Option<JobId>,
    /// At most this many; 1 to 1000.
    pub limit: u32,
}

/// Which jobs a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkScope {
    /// All of the queue.
    All,
    /// Only one.
    Job(JobId),
}

/// Whether the service can do its work.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyReport {
    /// Whether all of it holds.
    pub ready: bool,
    /// Whether a row can be committed.
    pub database: bool,
    /// Whether a byte can be written to the cache.
    pub cache: bool,
    /// `holder`, `standby` or `idle`.
    pub role: &'static str,
    /// Free bytes where the cache is; none when the system does not say.
    pub free_bytes: Option<u64>,
    /// What is wrong.
    pub reasons: Vec<String>,
}

/// The folder that went with a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedFolder {
    /// Where it was.
    pub path: std::path::PathBuf,
    /// Bytes that its files took on disk.
    pub bytes: u64,
}
