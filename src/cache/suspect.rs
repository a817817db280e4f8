//! What lies where a file of a snapshot belongs, opened for a comparison; and taking out what was proven wrong.
//!
//! Invariant: only a name in this repository goes, never what a link points to; and only while the very file that
//! was compared still lies there, so that a good one that came meanwhile stays.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::files::{entry, is_absent, remove, sync_dir};
use super::{Cache, CacheError, Result};
use crate::domain::{CommitHash, PlannedFile, RepoId, RepoPath};

/// Tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(facts: &Metadata) -> Self {
        Self {
            device: facts.dev(),
            inode: facts.ino(),
            length: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
        }
    }

    /// The length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }
}

/// A readable file that a snapshot's entry or a blob's name leads to.
#[derive(Debug)]
pub(crate) struct Suspect {
    /// Open for reading.
    pub(crate) file: File,
    /// Which file it is.
    pub(crate) identity: Identity,
    /// Whether the snapshot shows it.
    pub(crate) shown: bool,
}

impl Cache {
    /// What the snapshot shows of a file, and its blob when that is another file; nothing when neither is there.
    pub(crate) fn suspects(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        file: &PlannedFile,
    ) -> Result<Vec<Suspect>> {
        let mut suspects: Vec<Suspect> = Vec::new();
        let places = [
            (self.pointer_path(repo, commit, &file.path), true),
            (self.blob_path(repo, &file.digest), false),
        ];
        for (path, shown) in places {
            let Some((file, facts)) = open(&path)? else {
                continue;
            };
            let identity = Identity::of(&facts);
            if suspects.iter().all(|known| known.identity != identity) {
                suspects.push(Suspect {
                    file,
                    identity,
                    shown,
                });
            }
        }
        Ok(suspects)
    }

    /// What to report when the content of a file cannot be read.
    pub(crate) fn unreadable(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        path: &RepoPath,
        source: io::Error,
    ) -> CacheError {
        CacheError::io("read", self.pointer_path(repo, commit, path), source)
    }

    /// Takes the names that lead to wrong content out of a snapshot and out of the blobs.
    ///
    /// A link of the snapshot to its blob stays: it is right again when the blob is.
    pub(crate) fn discard_wrong(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        file: &PlannedFile,
        wrong: &[Identity],
    ) -> Result<()> {
        let blob = self.blob_path(repo, &file.digest);
        let pointer = self.pointer_path(repo, commit, &file.path);
        let through_blob = same_target(&pointer, &blob);
        if leads_to(&pointer, wrong)?
            && !(through_blob && entry(&pointer)?.is_some_and(|lying| lying.is_symlink()))
        {
            remove(&pointer)?;
            tracing::warn!(path = %pointer.display(), "removed a file that does not have its digest");
            if let Some(folder) = pointer.parent() {
                sync_dir(folder)?;
            }
        }
        if leads_to(&blob, wrong)? && self.discard_blob(repo, &file.digest)? {
            self.sync_blobs(repo)?;
        }
        Ok(())
    }
}

/// Opens a regular file, through links; none when there is none.
fn open(path: &Path) -> Result<Option<(File, Metadata)>> {
    // A pipe or a device must not be opened at all.
    match fs::metadata(path) {
        Ok(facts) if facts.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if is_absent(&error) => return Ok(None),
        // A ring of links leads nowhere either.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(None);
        }
        Err(error) => return Err(CacheError::io("look at", path, error)),
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(CacheError::io("open", path, error)),
    };
    let facts = file
        .metadata()
        .map_err(|error| CacheError::io("look at", path, error))?;
    Ok(facts.is_file().then_some((file, facts)))
}

fn leads_to(path: &Path, wrong: &[Identity]) -> Result<bool> {
    match fs::metadata(path) {
        Ok(facts) => Ok(wrong.contains(&Identity::of(&facts))),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(CacheError::io("look at", path, error)),
    }
}

/// Whether the first hop of the pointer is the blob.
fn same_target(pointer: &Path, blob: &Path) -> bool {
    let Ok(target) = fs::read_link(pointer) else {
        return false;
    };
    let reached = pointer.parent().map(|folder| folder.join(target));
    let inode = |path: &Path| {
        fs::symlink_metadata(path)
            .ok()
            .map(|facts| (facts.dev(), facts.ino()))
    };
    reached.is_some_and(|reached| inode(&reached).is_some() && inode(&reached) == inode(blob))
}
