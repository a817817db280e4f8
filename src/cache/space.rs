//! How much room the cache's file system has, and whether it can be written at all.

use std::path::Path;

use super::files::{nonce, remove, write_new};
use super::{Cache, CacheError, Result};

/// The room that is left for this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Free bytes.
    pub(crate) bytes: u64,
    /// Free inodes; none when the file system does not count them.
    pub(crate) inodes: Option<u64>,
}

impl Cache {
    /// The free room where the cache is, or where it will be created.
    pub(crate) fn space(&self) -> Result<Space> {
        let existing = self
            .root
            .ancestors()
            .find(|path| path.exists())
            .filter(|path| !path.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        let facts = rustix::fs::statvfs(existing)
            .map_err(|error| CacheError::io("ask for the free space of", existing, error))?;
        Ok(Space {
            bytes: facts.f_bavail.saturating_mul(facts.f_frsize),
            inodes: (facts.f_files > 0).then_some(facts.f_favail),
        })
    }

    /// Proves that the cache takes a byte: writes one, syncs it, removes it.
    ///
    /// In the folder of the locks, because every reader of the cache ignores what it finds there.
    pub(crate) fn can_write(&self) -> Result<()> {
        let dir = self.root.join(".locks");
        self.ensure_dir(&dir)?;
        let probe = dir.join(format!("{:08x}.probe", nonce()));
        write_new(&probe, b"1")?;
        remove(&probe)?;
        Ok(())
    }
}
