//! The Hugging Face hub cache on disk: paths, locks, parts, publication, lookup, free space.
//!
//! Invariants: no blob, link or ref appears under its final name half-written; a blob is never opened for
//! writing; no link below the root is followed when something is written or deleted.
//!
//! All calls are synchronous `std::fs` calls and may block for as long as the disk does: the owner makes
//! them from blocking threads. Fetching and hashing bytes is left to `transfer`, the choice of files to
//! `catalog`, and the decision who may publish to the owner.

mod adopt;
mod error;
mod files;
mod layout;
mod lock;
mod lookup;
mod naming;
mod part;
mod publish;
mod remove;
mod scan;
mod shards;
mod shared;
mod space;
mod suspect;
mod sweep;
#[cfg(test)]
mod tests;
mod tree;

use std::path::{Path, PathBuf};

pub(crate) use error::CacheError;
pub(crate) use layout::PartName;
pub(crate) use lock::BlobLock;
pub(crate) use remove::Trash;
pub(crate) use space::Space;
pub(crate) use suspect::Identity;

/// What the calls of this module answer.
pub(crate) type Result<T> = std::result::Result<T, CacheError>;

/// One hub cache: the folder that holds `models--…` folders.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
    links: bool,
}

impl Cache {
    /// A cache at `root`, which need not exist yet; nothing is touched.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            links: true,
        }
    }

    /// The same cache, filled without symbolic links, as `HF_HUB_DISABLE_SYMLINKS` asks for.
    #[must_use]
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "a part of the module's contract that its tests hold"
        )
    )]
    pub(crate) fn without_links(mut self) -> Self {
        self.links = false;
        self
    }

    /// The folder itself.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "a part of the module's contract that its tests hold"
        )
    )]
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}
