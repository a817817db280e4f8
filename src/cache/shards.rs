//! The index of sharded weights: which files a model's weights are spread over.
//!
//! Leaves to the catalog which index counts; answers only what one says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::files::read_small;
use super::{Cache, CacheError, Result};
use crate::domain::{CommitHash, RepoId, RepoPath};

/// Longest index that is read, in bytes.
const LIMIT: u64 = 64 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Cache {
    /// The files that an index of a snapshot names, relative to the repository; none when there is no index.
    pub(crate) fn read_shards(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        index: &RepoPath,
    ) -> Result<Option<Vec<RepoPath>>> {
        let path = self.pointer_path(repo, commit, index);
        let Some(content) = read_small(&path, LIMIT)? else {
            return Ok(None);
        };
        let malformed = |reason: String| CacheError::Malformed {
            path: path.clone(),
            reason,
        };
        let parsed: Index =
            serde_json::from_slice(&content).map_err(|error| malformed(error.to_string()))?;
        let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
        if names.is_empty() {
            return Err(malformed("its weight_map names no file".to_owned()));
        }
        let folder = index.as_str().rsplit_once('/').map(|(folder, _)| folder);
        names
            .into_iter()
            .map(|name| {
                let text = folder.map_or(name.clone(), |folder| format!("{folder}/{name}"));
                RepoPath::parse(&text).map_err(|error| malformed(error.to_string()))
            })
            .collect::<Result<Vec<_>>>()
            .map(Some)
    }
}
