//! What can go wrong in a transfer, told apart by what the engine does about it.
//!
//! Messages name the repository path and the cause; they never hold an address with a query.

use std::io;

use rustix::io::Errno;

use crate::domain::{Failure, FailureCode, RepoPath};

/// Why a run ended before every file was in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransferError {
    /// The caller asked to stop; what was received is checkpointed.
    #[error("the transfer was stopped")]
    Cancelled,
    /// A file cannot be had now; what was received is checkpointed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The owner may no longer write; nothing more was written or recorded.
    #[error("the right to write was lost")]
    Fenced,
}

impl TransferError {
    /// The owner's refusal: a lost lease is a fence, everything else a failure.
    pub(super) fn from_keeper(failure: Failure) -> Self {
        if failure.code == FailureCode::LeaseLost {
            Self::Fenced
        } else {
            Self::Failed(failure)
        }
    }
}

/// What the engine does about an error of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceErrorKind {
    /// Try the rest of the range again after a pause.
    Transient,
    /// The server sends the whole file whatever was asked for: read it as one stream from 0.
    RangeIgnored,
    /// The file on the server is another one than was planned: give up.
    Changed,
    /// Trying again does not help: give up.
    Permanent,
}

/// An error of a [`super::Source`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{failure}")]
pub(crate) struct SourceError {
    /// The cause, as rows keep it; its `retry_after` is obeyed.
    pub(crate) failure: Failure,
    /// What to do about it.
    pub(crate) kind: SourceErrorKind,
}

impl SourceError {
    /// An error of the given kind.
    pub(crate) fn new(kind: SourceErrorKind, failure: Failure) -> Self {
        Self { failure, kind }
    }

    /// An error that is worth another try.
    pub(crate) fn transient(code: FailureCode, message: impl Into<String>) -> Self {
        Self::new(SourceErrorKind::Transient, Failure::new(code, message))
    }
}

/// Turns an error of the file system into a failure that names the file.
pub(super) fn storage(action: &'static str, path: &RepoPath, error: &io::Error) -> Failure {
    let full = [Errno::NOSPC, Errno::DQUOT]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
        || matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
    if full {
        Failure::new(
            FailureCode::DiskFull,
            format!("no space left to {action} `{path}`"),
        )
        .with_remedy("free space on the cache's file system; the download goes on by itself")
    } else {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let message = format!("cannot {action} `{path}`: {error}");
        // A part that no sync can vouch for is opened anew by the next attempt, from its last good checkpoint.
        match errno {
            Some(Errno::FBIG) => Failure::new(FailureCode::Storage, message).with_remedy(
                "the file system or a limit (ulimit -f) does not take files of this size; move the cache or raise it",
            ),
            Some(Errno::ACCESS | Errno::PERM) => Failure::new(FailureCode::Storage, message)
                .with_remedy("give the service's user write access to the cache"),
            Some(Errno::ROFS) => Failure::new(FailureCode::StorageUnavailable, message)
                .with_remedy("the file system is mounted read-only; mount it writable"),
            _ => Failure::new(FailureCode::StorageUnavailable, message)
                .with_remedy("look at the disk and its cable or mount; the download tries again by itself"),
        }
    }
}

/// A blocking step that panicked: a defect.
pub(super) fn panicked(path: &RepoPath) -> Failure {
    Failure::new(
        FailureCode::Internal,
        format!("a step of the transfer of `{path}` panicked"),
    )
    .with_remedy(Failure::REPORT)
}
