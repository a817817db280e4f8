//! A job and its parts as the store keeps them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::state::words;
use super::{
    CommitHash, Failure, HashMark, JobKind, JobState, ModelId, Phase, PlannedFile, RangeSet,
    UnknownWord, WaitReason,
};

/// The public id of a job: a UUID of version 7, so ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
pub struct JobId(Uuid);

impl JobId {
    /// A fresh id for a job made at `now`.
    pub fn generate(now: DateTime<Utc>) -> Self {
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let stamp =
            uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.timestamp_subsec_nanos());
        Self(Uuid::new_v7(stamp))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A request to download one model, or to verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The store's key.
    pub key: i64,
    /// The id that callers know.
    pub id: JobId,
    /// The store's key of the model.
    pub model_key: i64,
    /// The model.
    pub model_id: ModelId,
    /// What it is for.
    pub kind: JobKind,
    /// Whether a verify job also fetches what it finds wrong.
    pub repair: bool,
    /// The stored state.
    pub state: JobState,
    /// What it does while it runs.
    pub phase: Option<Phase>,
    /// Why it waits, while it is queued.
    pub wait_reason: Option<WaitReason>,
    /// Not before this time.
    pub run_after: DateTime<Utc>,
    /// Whether this job is paused.
    pub paused: bool,
    /// Higher runs earlier; -100 to 100.
    pub priority: i32,
    /// How many times it was claimed.
    pub attempt: u32,
    /// Consecutive failed attempts without a new byte.
    pub retries: u32,
    /// The lease under which it runs.
    pub lease_token: Option<i64>,
    /// Whether someone asked to cancel it.
    pub cancel_requested: bool,
    /// Whether an administrator has cleared it: then it does not tell any more where its model stands.
    pub cleared: bool,
    /// The commit that the plan is pinned to.
    pub commit: Option<CommitHash>,
    /// Files of the plan, once it is known.
    pub files_total: Option<u64>,
    /// Files that are in the cache under their final name.
    pub files_done: u64,
    /// Bytes of the plan, once it is known; a blob that two paths share counts once.
    pub bytes_total: Option<u64>,
    /// Bytes that are here, reused ones included.
    pub bytes_done: u64,
    /// Bytes that were here before the first byte of this job was received.
    pub bytes_reused: u64,
    /// Bytes per second over the last seconds.
    pub rate: u64,
    /// The file that is being received.
    pub current_file: Option<String>,
    /// When the last byte came.
    pub last_byte_at: Option<DateTime<Utc>>,
    /// Why it failed, or why the last attempt did.
    pub failure: Option<Failure>,
    /// When it was accepted.
    pub enqueued_at: DateTime<Utc>,
    /// When it was claimed first.
    pub started_at: Option<DateTime<Utc>>,
    /// When the row changed last.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

words! {
    /// Where one file of a plan stands.
    FileState, "file state" {
        /// Nothing of it is here.
        Pending = "pending",
        /// Some synced ranges are here.
        Partial = "partial",
        /// Its blob has its final name.
        Done = "done",
    }
}

/// One file of a model at a commit; outlives the job, so that the next one resumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// The store's key.
    pub key: i64,
    /// Path, size and digest.
    pub file: PlannedFile,
    /// Where it stands.
    pub state: FileState,
    /// Ranges that are on disk and synced.
    pub ranges: RangeSet,
    /// The file name of its part in `blobs/`, when there is one.
    pub part_name: Option<String>,
    /// The lease token of the worker that wrote the part last.
    pub part_token: Option<i64>,
    /// How far its part was hashed when it was last recorded.
    pub hash_mark: Option<HashMark>,
    /// Whether its hash was compared by modelhaul.
    pub verified: bool,
    /// Whether its content was read and is not what its digest says.
    pub corrupt: bool,
    /// The key of the verify job that has compared it and has not ended yet.
    pub checked_job: Option<i64>,
}

/// One try of a job by one lease holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// The lease under which it ran.
    pub lease_token: i64,
    /// Who ran it: host, process id, instance.
    pub holder: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How: `completed`, `failed`, `cancelled`, `retry`, `released` or `lost`.
    pub outcome: Option<String>,
    /// Bytes that were here when it began.
    pub bytes_start: u64,
    /// Bytes that were here when it ended.
    pub bytes_end: Option<u64>,
    /// The code of its error.
    pub error_code: Option<String>,
    /// The error.
    pub error: Option<String>,
}

/// A line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Event {
    /// Grows by at least one per event; the id of the SSE event.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The job, if it is about one.
    pub job_id: Option<JobId>,
    /// The model, if it is about one.
    pub model_id: Option<ModelId>,
    /// What happened, for example `enqueued`, `state`, `lease_acquired`.
    pub kind: String,
    /// The state before.
    pub from_state: Option<String>,
    /// The state after.
    pub to_state: Option<String>,
    /// More, for example an error code.
    pub detail: Option<String>,
}

/// Who works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LeaseInfo {
    /// The fence; grows with every lease.
    pub token: i64,
    /// Host, process id and instance of the holder.
    pub holder: String,
    /// Grows with every renewal.
    pub beat: i64,
    /// Whether the holder also has the lock of the operating system.
    pub locked: bool,
    /// When it was taken.
    pub acquired_at: DateTime<Utc>,
    /// When it was renewed last.
    pub renewed_at: DateTime<Utc>,
    /// When people may call it expired.
    pub expires_at: DateTime<Utc>,
}
/// Where a waiting job shall stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Among those of this priority, -100 to 100, by age; higher ones go first.
    Priority(i32),
    /// Before all others that wait.
    Top,
    /// Behind all others.
    Bottom,
}
