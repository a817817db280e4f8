//! The lock of one blob, shared with every other program that fills the cache.
//!
//! Invariant: the lock file is created when missing, never truncated and never deleted; dropping the value, or
//! the death of the process, frees the lock. A lock is a courtesy (some network file systems grant it to
//! everyone), so nothing else relies on it: parts have names of their own and a blob appears by a rename.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;

use super::files::{describe, entry, is_unsupported, no_follow, same_file};
use super::{Cache, CacheError, Result};
use crate::domain::{Digest, RepoId};

/// The right to fetch and publish one blob; given back when dropped.
#[derive(Debug)]
#[must_use = "the lock is free as soon as this is dropped"]
pub(crate) struct BlobLock {
    /// Holds the `flock`; the kernel frees it when the last descriptor closes.
    _file: File,
}

impl Cache {
    /// Takes the lock of a blob if it is free, and never waits; none when another program holds it.
    ///
    /// Whoever gets it must look again whether the blob is there: the last holder may have made it.
    pub(crate) fn try_lock(&self, repo: &RepoId, digest: &Digest) -> Result<Option<BlobLock>> {
        let path = self.lock_path(repo, digest);
        self.ensure_dir_for_now(&self.locks_dir(repo))?;
        // Another program may delete the file between our open and our lock: then the lock is on a file that
        // nobody else will ever find. Each round needs a new deletion, so a few are plenty.
        for _ in 0..16 {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = no_follow(&mut options)
                .mode(0o664)
                .open(&path)
                .map_err(|error| CacheError::io("open the lock", &path, error))?;
            let held = file
                .metadata()
                .map_err(|error| CacheError::io("look at", &path, error))?;
            if !held.is_file() {
                return Err(CacheError::Foreign {
                    path,
                    expected: "a lock file",
                    found: describe(&held),
                });
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if is_unsupported(&error) => {
                    tracing::warn!(path = %path.display(), "this file system has no locks: going on without");
                    return Ok(Some(BlobLock { _file: file }));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(CacheError::io("lock", &path, error));
                }
            }
            if entry(&path)?.is_some_and(|found| same_file(&held, &found)) {
                return Ok(Some(BlobLock { _file: file }));
            }
        }
        Ok(None)
    }
}
