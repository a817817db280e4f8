//! Files that lie elsewhere on this machine become parts of the cache, to be published once they have proven themselves.
//!
//! Invariant: the file itself is only read. A copy is a part of its own, synced; a hard link goes straight to the final
//! name, since a part has exactly one name.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;

use super::layout::PartName;
use super::part::copy_range;
use super::{Cache, CacheError, Result};
use crate::domain::{Digest, RepoId};

impl Cache {
    /// Copies the first `size` bytes of `source` into a new part and syncs it. File systems that can share blocks
    /// between files do so, and nothing is copied.
    ///
    /// The caller holds the blob's lock.
    pub(crate) fn copy_in(
        &self,
        repo: &RepoId,
        digest: &Digest,
        source: &File,
        size: u64,
    ) -> Result<(PartName, File)> {
        let (name, part) = self.create_part(repo, digest)?;
        let path = self.part_path(repo, &name);
        let copied = copy_range(source, &part, 0, size).and_then(|()| part.sync_all());
        match copied {
            Ok(()) => Ok((name, part)),
            Err(error) => {
                self.delete_part(repo, &name)?;
                Err(CacheError::io("copy a file to", path, error))
            }
        }
    }

    /// Gives a file elsewhere the blob's name too. From then on a change of one is a change of both.
    ///
    /// The caller holds the blob's lock and has proven the content of this very file, which is synced here: whoever wrote
    /// it may not have done so. What was opened gets the name, wherever the path leads by now. A name that is taken stays.
    ///
    /// # Errors
    /// Also when the file is on another file system, or where the system has no `/proc`.
    pub(crate) fn link_in(&self, repo: &RepoId, digest: &Digest, source: &File) -> Result<()> {
        let to = self.blob_path(repo, digest);
        self.ensure_dir_for_now(&self.blobs_dir(repo))?;
        let failed = |error| CacheError::io("link a file to", &to, error);
        source.sync_all().map_err(failed)?;
        let opened = format!("/proc/self/fd/{}", source.as_raw_fd());
        match rustix::fs::linkat(CWD, opened, CWD, &to, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(failed(errno.into())),
        }
    }
}
