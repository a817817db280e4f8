//! The words of modelhaul: names that parse, states and their legal steps, progress, failures.
//!
//! Nothing here does I/O, and every value that came from outside was checked when it was made.

mod access;
mod adoption;
mod artifact;
mod cached;
mod credential;
mod digest;
mod failure;
mod hex;
mod job;
mod limit;
mod live;
mod mark;
mod model;
mod names;
mod network;
mod path;
mod plan;
mod random;
mod ranges;
mod report;
mod size;
mod state;
mod status;
mod webhook;
mod window;

pub use access::{AccessToken, Role, SecretHash, TokenName};
pub use adoption::{Adopted, AdoptedFile, AdoptedHow, Adoption};
pub use artifact::{
    FileUrl, InvalidFiles, InvalidUrl, MOST_URL_FILES, UrlFile, artifact_folder, check_url_files,
    unhashed, version_of,
};
pub use cached::{
    CacheReport, CacheTarget, CachedRepo, CachedRevision, Inspection, PartialFile, Removal,
    RemovedRevision,
};
pub use credential::{Credential, S3Keys};
pub use digest::{Digest, InvalidDigest};
pub use failure::{Disposition, Failure, FailureCode};
pub(crate) use hex::hex;
pub use job::{Attempt, Event, FileRow, FileState, Job, JobId, LeaseInfo, Place};
pub use limit::{LimitOrigin, LimitStatus};
pub use live::{
    EventId, FileProgress, InvalidEventId, JobEvent, LiveEvent, ResetReason, Resumed, RunningJob,
    ServerInfo, Snapshot,
};
pub use mark::{HashMark, InvalidMark};
pub use model::{Kind, Model, NewModel, Origin, Readiness, Selection};
pub use names::{CommitHash, InvalidName, ModelId, RepoId, Revision};
pub use network::{InvalidNetwork, Network, is_public};
pub use path::{InvalidPath, RepoPath};
pub use plan::{PlannedFile, RemoteFile};
pub(crate) use random::random_hex;
pub use ranges::RangeSet;
pub use report::{Gating, PlanDisk, PlanEntry, PlanReport, PlanState, PlanTotals, PlanWarning};
pub use size::Size;
pub use state::{CacheState, JobKind, JobState, Phase, Status, UnknownWord, WaitReason};
pub use status::{
    CacheStatus, LimitedBy, ModelStatus, ProgressStatus, QueueEntry, QueueStatus, QueueSummary,
    Timestamps, Waiting,
};
pub use webhook::Webhook;
pub use window::{Allowed, InvalidWindow, Open, Schedule, Window};
