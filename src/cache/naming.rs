//! The right to make temporary names in a repository; it tells the leftovers of the dead from the work of the living.
//!
//! Invariant: who makes a temporary name holds a shared lock from before until its rename, so whoever gets the lock
//! alone may remove every temporary name there. The lock is never waited for: without it only nothing is removed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use super::files::{no_follow, remove};
use super::layout::is_temporary;
use super::part::list_names;
use super::{Cache, CacheError, Result};
use crate::domain::RepoId;

/// Held while temporary names are made; given back when dropped.
#[derive(Debug)]
#[must_use = "temporary names may be removed as soon as this is dropped"]
pub(super) struct Naming {
    _file: File,
}

impl Cache {
    /// Removes what a death between a temporary name and its rename left, and begins to make such names.
    pub(super) fn begin_naming(&self, repo: &RepoId) -> Result<Naming> {
        let folder = self.locks_dir(repo);
        self.ensure_dir(&folder)?;
        let path = folder.join("modelhaul.lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = no_follow(&mut options)
            .mode(0o664)
            .open(&path)
            .map_err(|error| CacheError::io("open the lock", &path, error))?;
        if file.try_lock().is_ok() {
            let blobs = self.blobs_dir(repo);
            for (name, _) in list_names(&blobs)? {
                if is_temporary(&name) && remove(&blobs.join(&name))? {
                    tracing::info!(%name, "removed a leftover");
                }
            }
        }
        // Someone who sweeps at this moment may refuse it; he has listed the names already, ours come later.
        if let Err(error) = file.try_lock_shared() {
            tracing::debug!(%error, path = %path.display(), "names are made without their lock");
        }
        Ok(Naming { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn leftovers_go_while_nobody_makes_names_and_stay_while_somebody_does() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("hub"));
        let repo: RepoId = "org/name".parse().unwrap();
        let blobs = cache.blobs_dir(&repo);
        cache.ensure_dir(&blobs).unwrap();
        let (left, foreign) = (blobs.join("0123abcd.tmp"), blobs.join("tmp_of_another"));
        fs::write(&left, "x").unwrap();
        fs::write(&foreign, "x").unwrap();
        let mine = cache.begin_naming(&repo).unwrap();
        assert!(!left.exists() && foreign.exists());
        fs::write(&left, "mine").unwrap();
        let other = cache.begin_naming(&repo).unwrap();
        assert!(left.exists(), "the living keep their names");
        drop((mine, other));
        drop(cache.begin_naming(&repo).unwrap());
        assert!(!left.exists());
    }
}
