//! Why a job, an attempt or a request did not succeed: a stable code, a sentence, the next step.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::UnknownWord;
use super::state::{WaitReason, words};
use std::str::FromStr;

words! {
    /// Stable codes of failures, the same in rows, answers and logs.
    FailureCode, "failure code" {
        /// A connection broke or could not be made while the hub is otherwise reachable.
        Network = "network",
        /// No byte came for too long.
        Timeout = "timeout",
        /// 429, or 503 with a time to wait.
        RateLimited = "rate_limited",
        /// 5xx.
        ServerError = "server_error",
        /// The server cannot do at all what was asked of it: 501 or 505.
        NotSupported = "not_supported",
        /// The hub's address does not answer at all.
        HubUnreachable = "hub_unreachable",
        /// What answers is no hub, for example a captive portal.
        NotAHub = "not_a_hub",
        /// The repository does not exist, or the token may not see it.
        RepoNotFound = "repo_not_found",
        /// The branch, tag or commit does not exist.
        RevisionNotFound = "revision_not_found",
        /// A planned file does not exist.
        FileNotFound = "file_not_found",
        /// The licence must be accepted on the hub first.
        Gated = "gated",
        /// A token is needed and none was found.
        TokenMissing = "token_missing",
        /// The hub refuses the token.
        TokenInvalid = "token_invalid",
        /// The token may not read this.
        Forbidden = "forbidden",
        /// The hub has closed access to the repository.
        RepoDisabled = "repo_disabled",
        /// The hub's answer cannot be understood.
        BadMetadata = "bad_metadata",
        /// A file name, etag or commit from the hub is dangerous.
        UnsafePath = "unsafe_path",
        /// No template has this name.
        TemplateUnknown = "template_unknown",
        /// The repository has no file that the template requires.
        TemplateUnsatisfied = "template_unsatisfied",
        /// `HF_HUB_OFFLINE` is set and the model is not complete here.
        Offline = "offline",
        /// `DISABLE_MODEL_DOWNLOADS` is set.
        DownloadsDisabled = "downloads_disabled",
        /// The content does not hash to its digest, twice.
        ChecksumMismatch = "checksum_mismatch",
        /// The server sent another range, length or version than was asked for.
        BadResponse = "bad_response",
        /// The address of a file is not public, and the configuration does not allow it.
        BlockedAddress = "blocked_address",
        /// The file has another length than its registration says.
        SizeMismatch = "size_mismatch",
        /// Not enough free space.
        DiskFull = "disk_full",
        /// The file system refused.
        Storage = "storage",
        /// The file system or the database has trouble now: an I/O error, read-only, gone, changed by someone else.
        StorageUnavailable = "storage_unavailable",
        /// Another program holds the lock of a file.
        CacheLocked = "cache_locked",
        /// The app has not registered the download function.
        HandlerMissing = "handler_missing",
        /// The app's download function failed.
        HandlerFailed = "handler_failed",
        /// The lease was lost or deleted.
        LeaseLost = "lease_lost",
        /// The service was asked to stop.
        Released = "released",
        /// An administrator cleared the job.
        Cleared = "cleared",
        /// A defect of modelhaul.
        Internal = "internal",
    }
}

/// What a failure means for the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Try again after a pause; the tries without progress are counted.
    Retry(WaitReason),
    /// Try again later without counting: the cause lies outside and time or a person mends it.
    Wait(WaitReason),
    /// Do not try again by itself.
    Permanent,
}

impl FailureCode {
    /// What the code means for a job.
    pub const fn disposition(self) -> Disposition {
        match self {
            Self::Network
            | Self::Timeout
            | Self::ServerError
            | Self::BadResponse
            | Self::StorageUnavailable
            | Self::NotAHub => Disposition::Retry(WaitReason::RetryBackoff),
            Self::RateLimited => Disposition::Retry(WaitReason::RateLimited),
            Self::HubUnreachable => Disposition::Retry(WaitReason::HubUnreachable),
            Self::DiskFull => Disposition::Wait(WaitReason::DiskFull),
            Self::CacheLocked => Disposition::Wait(WaitReason::CacheLocked),
            Self::HandlerMissing => Disposition::Wait(WaitReason::HandlerMissing),
            Self::DownloadsDisabled => Disposition::Wait(WaitReason::DownloadsDisabled),
            Self::Storage
            | Self::NotSupported
            | Self::RepoNotFound
            | Self::RevisionNotFound
            | Self::FileNotFound
            | Self::Gated
            | Self::TokenMissing
            | Self::TokenInvalid
            | Self::Forbidden
            | Self::RepoDisabled
            | Self::BadMetadata
            | Self::UnsafePath
            | Self::TemplateUnknown
            | Self::TemplateUnsatisfied
            | Self::Offline
            | Self::ChecksumMismatch
            | Self::BlockedAddress
            | Self::SizeMismatch
            | Self::HandlerFailed
            | Self::LeaseLost
            | Self::Released
            | Self::Cleared
            | Self::Internal => Disposition::Permanent,
        }
    }

    /// What to do next when a job has failed for this and nothing more exact is known.
    pub const fn next_step(self) -> &'static str {
        match self {
            Self::Network
            | Self::Timeout
            | Self::RateLimited
            | Self::ServerError
            | Self::HubUnreachable => {
                "start it again when network and hub are well; what has come is kept"
            }
            Self::BadResponse | Self::NotAHub | Self::NotSupported => {
                "check proxies and mirrors between this machine and the hub, then start it again"
            }
            Self::Storage => "check the cache's disk and its rights, then start it again",
            _ => "look into the service's log, then start it again",
        }
    }

    /// Whether trying again without a change may help.
    pub const fn is_retryable(self) -> bool {
        !matches!(self.disposition(), Disposition::Permanent)
    }
}

/// A failure as rows keep it and people read it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// The stable code.
    pub code: FailureCode,
    /// One sentence with file and cause; holds no secret and no signed URL.
    pub message: String,
    /// What to do next, when there is something to do.
    #[serde(default)]
    pub remedy: Option<String>,
    /// How long the server asked to wait. Not stored: the due time is.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Whether a request that carried no token was refused. Not stored.
    #[serde(skip)]
    pub anonymous: bool,
}

impl Failure {
    /// The next step after a defect.
    pub(crate) const REPORT: &'static str =
        "start it again; when it fails again, report it with the log of the service";

    /// A failure without a next step.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            remedy: None,
            retry_after: None,
            anonymous: false,
        }
    }

    /// The same failure with a next step.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same failure with a next step: its own, or the usual one of its code.
    #[must_use]
    pub fn with_next_step(mut self) -> Self {
        let code = self.code;
        self.remedy
            .get_or_insert_with(|| code.next_step().to_owned());
        self
    }

    /// The same failure with the time that the server asked for.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        self.remedy
            .as_ref()
            .map_or(Ok(()), |remedy| write!(formatter, " ({remedy})"))
    }
}

impl std::error::Error for Failure {}

/// A failure as answers show it: with `retryable`, which follows from the code.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Failure)]
pub(crate) struct Shown<'a> {
    /// Stable, for programs.
    code: FailureCode,
    /// One sentence with the cause.
    message: &'a str,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
    /// Whether it makes sense to try again.
    retryable: bool,
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown {
            code: self.code,
            message: &self.message,
            remedy: self.remedy.as_deref(),
            retryable: self.code.is_retryable(),
        }
        .serialize(serializer)
    }
}
