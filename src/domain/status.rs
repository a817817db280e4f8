//! The status objects that polling, streams and the command line show; one shape for all.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    CacheState, CommitHash, Failure, JobId, JobKind, Kind, LeaseInfo, LimitStatus, ModelId, Phase,
    Status, WaitReason,
};

/// Where a model stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// The model.
    pub model_id: ModelId,
    /// Its family.
    pub kind: Kind,
    /// The short answer.
    pub status: Status,
    /// The last job's state, with `waiting` and `paused` told apart from `queued`; `not_started` without a job.
    pub state: String,
    /// What the running job does.
    pub phase: Option<Phase>,
    /// What a waiting job waits for.
    pub waiting: Option<Waiting>,
    /// 1 for the job that runs next; none when it does not stand in the queue.
    pub queue_position: Option<u64>,
    /// The last job.
    pub job_id: Option<JobId>,
    /// What the last job is for.
    #[serde(default)]
    pub job_kind: Option<JobKind>,
    /// How many times it was claimed.
    pub attempt: u32,
    /// How far it is.
    pub progress: ProgressStatus,
    /// When things happened.
    pub timestamps: Timestamps,
    /// The last error.
    pub error: Option<Failure>,
    /// What is in the cache.
    pub cache: CacheStatus,
    /// The queue in short.
    pub queue: QueueSummary,
}

/// What a job waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The reason.
    pub reason: WaitReason,
    /// When it is tried again at the latest.
    pub until: DateTime<Utc>,
}

/// How far a download is. Bytes only go up within an attempt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProgressStatus {
    /// The file that is being received.
    pub current_file: Option<String>,
    /// Files under their final name.
    pub files_downloaded: u64,
    /// Files of the plan.
    pub files_total: Option<u64>,
    /// Bytes that are here, reused ones included.
    pub bytes_downloaded: u64,
    /// Bytes of the plan.
    pub bytes_total: Option<u64>,
    /// Bytes that were here before.
    pub bytes_reused: u64,
    /// 0 to 100, one decimal.
    pub percent: Option<f64>,
    /// Bytes per second over the last seconds.
    pub speed_bytes_per_second: u64,
    /// Seconds that the rest takes at this speed.
    pub eta_seconds: Option<u64>,
    /// When the last byte came.
    pub last_byte_at: Option<DateTime<Utc>>,
    /// Whether totals are the caller's guess, because the plan is not known yet.
    pub estimated: bool,
}

/// When things happened to the last job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timestamps {
    /// It was accepted.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// It was claimed first.
    pub started_at: Option<DateTime<Utc>>,
    /// Its row changed last.
    pub updated_at: Option<DateTime<Utc>>,
    /// It ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// What is in the cache, looked up without a request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheStatus {
    /// What is there, in one word.
    #[serde(default)]
    pub state: CacheState,
    /// Whether any file of the model is there.
    pub exists: bool,
    /// Whether every required file is there.
    pub complete: bool,
    /// Whether modelhaul compared every hash.
    pub verified: bool,
    /// The commit of the snapshot.
    pub commit: Option<CommitHash>,
    /// The snapshot's folder.
    pub path: Option<PathBuf>,
    /// Files that are known to be missing; at most 100 are listed.
    pub missing: Vec<String>,
    /// Files whose content is not what their digest or length says; at most 100 are listed.
    #[serde(default)]
    pub corrupt: Vec<String>,
}

/// The queue in three numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueueSummary {
    /// Jobs that wait for their turn.
    pub queue_size: u64,
    /// Whether a job runs.
    pub running: bool,
    /// The model of the job that runs.
    pub currently_downloading: Option<ModelId>,
    /// The bandwidth limit in force and its reason.
    #[serde(default)]
    pub limit: LimitStatus,
}

/// The whole queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// The three numbers.
    #[serde(flatten)]
    pub summary: QueueSummary,
    /// Whether the queue is paused.
    pub paused: bool,
    /// Bytes per second over all connections in force; 0 while a window lets nothing through, none without a limit.
    #[serde(default)]
    pub bandwidth_limit: Option<u64>,
    /// The window that is open, as a sentence.
    #[serde(default)]
    pub limited_by: Option<LimitedBy>,
    /// Whether `DISABLE_MODEL_DOWNLOADS` is set.
    pub downloads_disabled: bool,
    /// A page of the jobs that have not ended, the running one first; `queue_size` counts all that wait.
    pub queue: Vec<QueueEntry>,
    /// The last job of this page when there are more behind it.
    #[serde(default)]
    pub next: Option<JobId>,
    /// Who works; none when nobody does.
    pub lease: Option<LeaseInfo>,
}

/// A window that holds downloads back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitedBy {
    /// For people.
    pub text: String,
    /// When it ends.
    pub until: Option<DateTime<Utc>>,
}

/// One job of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueEntry {
    /// The job.
    pub job_id: JobId,
    /// Its model.
    pub model_id: ModelId,
    /// What it is for.
    pub kind: JobKind,
    /// `running`, `queued`, `waiting` or `paused`.
    pub state: String,
    /// What the running job does.
    pub phase: Option<Phase>,
    /// What a waiting job waits for.
    pub waiting: Option<Waiting>,
    /// 1 for the job that runs next; none for the running one.
    pub queue_position: Option<u64>,
    /// How many times it was claimed.
    pub attempt: u32,
    /// How far it is.
    pub progress: ProgressStatus,
    /// When it was accepted.
    pub enqueued_at: DateTime<Utc>,
}
