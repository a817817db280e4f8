//! Removes what crashes left behind: parts that nobody names any more, and temporary names.
//!
//! Invariant: a part is removed only when it is not in the set to keep, is older than the given age, and its
//! blob's lock is free. Blobs, links, refs and the files of other programs are never touched.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::files::remove;
use super::layout::{PartName, is_temporary};
use super::part::{allocated, list_names};
use super::{Cache, Result};
use crate::domain::RepoId;

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Files.
    pub(crate) files: u64,
    /// Bytes that they took on disk.
    pub(crate) bytes: u64,
}

impl Cache {
    /// The repositories that have a folder here, in order.
    pub(crate) fn repos(&self) -> Result<Vec<RepoId>> {
        let mut repos: Vec<RepoId> = list_names(&self.root)?
            .into_iter()
            .filter(|(_, facts)| facts.is_dir())
            .filter_map(|(name, _)| RepoId::of_folder(&name))
            .collect();
        repos.sort();
        Ok(repos)
    }

    /// Removes parts of a repository that `keep` does not name and temporary names, both older than `age`.
    pub(crate) fn sweep_parts(
        &self,
        repo: &RepoId,
        keep: &HashSet<PartName>,
        age: Duration,
        now: DateTime<Utc>,
    ) -> Result<Swept> {
        let dir = self.blobs_dir(repo);
        let newest = now.timestamp() - i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        let mut swept = Swept::default();
        for (name, facts) in list_names(&dir)? {
            if facts.is_dir() || facts.mtime() > newest {
                continue;
            }
            let path = dir.join(&name);
            let removed = match name.parse::<PartName>() {
                Ok(part) if keep.contains(&part) => false,
                Ok(part) => match self.try_lock(repo, part.digest())? {
                    Some(_lock) => remove(&path)?,
                    None => false,
                },
                Err(_) if is_temporary(&name) => remove(&path)?,
                Err(_) => false,
            };
            if removed {
                tracing::info!(path = %path.display(), "removed a leftover");
                swept.files += 1;
                swept.bytes += allocated(&facts);
            }
        }
        Ok(swept)
    }
}
