//! States of a job, its phases while it runs, and the reasons for which it waits.
//!
//! The database keeps the same words in CHECK constraints and the legal steps in a table; the store's
//! tests compare both.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word that is none of the known ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{given}`")]
pub struct UnknownWord {
    /// What was to be read, for example `job state`.
    pub what: &'static str,
    /// The word.
    pub given: String,
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word as rows and answers hold it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord { what: $what, given: text.to_owned() }),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// The stored state of a job. `waiting` and `paused` are views of `queued`.
    JobState, "job state" {
        /// Waits for its turn, for `run_after`, or for a pause to end.
        Queued = "queued",
        /// Runs under a lease.
        Running = "running",
        /// Ended: every file of the plan is in the cache.
        Completed = "completed",
        /// Ended by an error that a retry would not mend, or by too many tries.
        Failed = "failed",
        /// Ended by a person.
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// Whether the job has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether a job may step from `self` to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Queued, Self::Running | Self::Cancelled | Self::Failed)
                | (
                    Self::Running,
                    Self::Completed | Self::Failed | Self::Cancelled | Self::Queued
                )
                | (Self::Failed, Self::Queued)
        )
    }
}

words! {
    /// What a running job does.
    Phase, "phase" {
        /// Asks the hub for commit and files.
        Resolving = "resolving",
        /// Looks which files are here.
        CheckingCache = "checking_cache",
        /// Receives bytes.
        Downloading = "downloading",
        /// Compares hashes after the last byte.
        Verifying = "verifying",
        /// Makes links and the ref.
        Publishing = "publishing",
    }
}

words! {
    /// Why a queued job does not run yet.
    WaitReason, "wait reason" {
        /// A transient error; the next try comes after a growing pause.
        RetryBackoff = "retry_backoff",
        /// The hub asked for fewer requests.
        RateLimited = "rate_limited",
        /// The hub does not answer.
        HubUnreachable = "hub_unreachable",
        /// Not enough free space; goes on when there is.
        DiskFull = "disk_full",
        /// Another program downloads the same file.
        CacheLocked = "cache_locked",
        /// A token is needed.
        AuthRequired = "auth_required",
        /// The app has not registered the download function since the restart.
        HandlerMissing = "handler_missing",
        /// Downloads are switched off by configuration.
        DownloadsDisabled = "downloads_disabled",
    }
}

words! {
    /// The short status that apps ask for.
    Status, "status" {
        /// Not here, and nobody fetches it.
        NotStarted = "not_started",
        /// A job for it is queued, waiting or running.
        Downloading = "downloading",
        /// Every file that it needs is in the cache.
        Completed = "completed",
    }
}

words! {
    /// What a job is for.
    JobKind, "kind of job" {
        /// Brings a model's files into the cache.
        Download = "download",
        /// Compares what is in the cache with its digests.
        Verify = "verify",
    }
}

words! {
    /// What the cache holds of a model.
    #[derive(Default)]
    CacheState, "cache state" {
        /// Every file that it needs.
        Complete = "complete",
        /// Some of its files.
        Partial = "partial",
        /// At least one file whose content is not what its digest says.
        Corrupt = "corrupt",
        /// Nothing.
        #[default]
        Absent = "absent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for reason in WaitReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert!("succeeded".parse::<JobState>().is_err());
    }

    #[test]
    fn ended_jobs_do_not_run_again_except_failed_ones_through_the_queue() {
        for from in JobState::ALL {
            assert!(!from.is_final() || !from.may_become(JobState::Running));
        }
        assert!(JobState::Failed.may_become(JobState::Queued));
        assert!(!JobState::Completed.may_become(JobState::Queued));
    }
}
