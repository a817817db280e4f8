//! What can go wrong in the cache, always with the path that it happened to.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::domain::{Failure, FailureCode};

/// An operation on the cache that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example `open`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// Something else lies where modelhaul writes, for example a symbolic link.
    #[error("{} is {found}, not {expected}: nothing was written through it", path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A finished part does not have the length of its file.
    #[error("{} has {got} bytes, {expected} were expected", path.display())]
    WrongLength {
        /// The part.
        path: PathBuf,
        /// The length of the file in bytes.
        expected: u64,
        /// The length of the part in bytes.
        got: u64,
    },
    /// A file of the snapshot has no blob.
    #[error("{} is missing or has another length than {size} bytes, so `{file}` cannot be published", path.display())]
    BlobMissing {
        /// The blob.
        path: PathBuf,
        /// The file that needs it.
        file: String,
        /// Its length in bytes.
        size: u64,
    },
    /// Two files of one snapshot cannot both exist, for example `a` and `a/b`.
    #[error("the files `{first}` and `{second}` of one snapshot exclude each other")]
    Overlap {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// Another program works on a blob that was to be removed.
    #[error("another program works on {}", path.display())]
    InUse {
        /// The blob.
        path: PathBuf,
    },
    /// A name that is no part's name.
    #[error("`{given}` is no part name: `<etag>.<8 hex digits>.part` is expected")]
    BadPartName {
        /// The name that was refused, escaped and cut to 100 characters.
        given: String,
    },
    /// A file of the cache does not hold what it should.
    #[error("{} cannot be read: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl CacheError {
    /// An error of the file system at `path`.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source: source.into(),
        }
    }

    /// The error as jobs keep it.
    pub(crate) fn failure(&self) -> Failure {
        let message = self.to_string();
        match self {
            Self::Io { source, .. } => io_failure(source, message),
            Self::Foreign { .. } => Failure::new(FailureCode::Storage, message)
                .with_remedy("move it away, or point HF_HUB_CACHE to the real folder"),
            Self::WrongLength { .. } | Self::BlobMissing { .. } => {
                Failure::new(FailureCode::StorageUnavailable, message).with_remedy(
                    "another program changed the cache meanwhile; the download looks again what is there",
                )
            }
            Self::Malformed { .. } => Failure::new(FailureCode::Storage, message)
                .with_remedy("delete the file and start the download again"),
            Self::InUse { .. } => Failure::new(FailureCode::CacheLocked, message)
                .with_remedy("wait until it has ended"),
            Self::Overlap { .. } => Failure::new(FailureCode::UnsafePath, message),
            Self::BadPartName { .. } => Failure::new(FailureCode::Internal, message),
        }
    }
}

fn io_failure(source: &io::Error, message: String) -> Failure {
    let errno = source.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        Some(Errno::NOSPC) => Failure::new(FailureCode::DiskFull, message)
            .with_remedy("free some space; the download then goes on by itself"),
        Some(Errno::DQUOT) => Failure::new(FailureCode::DiskFull, message)
            .with_remedy("the disk quota is used up; the download goes on when there is room"),
        Some(Errno::ROFS) => Failure::new(FailureCode::StorageUnavailable, message)
            .with_remedy("the file system is mounted read-only; mount it writable"),
        Some(Errno::NOENT | Errno::NOTDIR) => {
            Failure::new(FailureCode::StorageUnavailable, message)
                .with_remedy("another program removed it; the download looks again what is there")
        }
        Some(Errno::IO | Errno::STALE | Errno::NXIO | Errno::NODEV | Errno::NOTCONN) => {
            Failure::new(FailureCode::StorageUnavailable, message).with_remedy(
                "look at the disk and its cable or mount; the download tries again by itself",
            )
        }
        Some(Errno::ACCESS | Errno::PERM) => Failure::new(FailureCode::Storage, message)
            .with_remedy("give the service's user write access to the cache"),
        Some(Errno::FBIG) => Failure::new(FailureCode::Storage, message)
            .with_remedy("the file system does not take files of this size; move the cache"),
        Some(Errno::MFILE | Errno::NFILE) => Failure::new(FailureCode::StorageUnavailable, message)
            .with_remedy("raise the limit of open files (ulimit -n)"),
        None if source.kind() == io::ErrorKind::NotFound => {
            Failure::new(FailureCode::StorageUnavailable, message)
                .with_remedy("another program removed it; the download looks again what is there")
        }
        _ => Failure::new(FailureCode::Storage, message)
            .with_remedy("mend what the message says and start the download again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_waits_trouble_is_tried_again_and_everything_else_is_storage() {
        let code = |errno: Errno| CacheError::io("write", "/c/x", errno).failure().code;
        assert_eq!(code(Errno::NOSPC), FailureCode::DiskFull);
        assert_eq!(code(Errno::DQUOT), FailureCode::DiskFull);
        for errno in [Errno::ACCESS, Errno::XDEV, Errno::FBIG] {
            assert_eq!(code(errno), FailureCode::Storage, "{errno}");
        }
        for errno in [Errno::ROFS, Errno::IO, Errno::NOENT, Errno::MFILE] {
            assert_eq!(code(errno), FailureCode::StorageUnavailable, "{errno}");
        }
        let failure = CacheError::io("open", "/c/x", Errno::ROFS).failure();
        assert!(failure.message.starts_with("cannot open /c/x: "));
        assert!(failure.remedy.is_some());
    }
}
