//! What lies in the Hugging Face cache, whoever put it there, and what was removed from it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ModelId;

/// The whole cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheReport {
    /// Its folder.
    pub cache_dir: PathBuf,
    /// Bytes of all files that snapshots show; content that repositories share counts once.
    pub size_on_disk: u64,
    /// Bytes of unfinished downloads.
    pub partial_size: u64,
    /// The repositories, in the order of their names.
    pub repos: Vec<CachedRepo>,
    /// What does not look like a cache, each with its path.
    pub warnings: Vec<String>,
}

/// One repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedRepo {
    /// `model`, `dataset`, `space` or `kernel`.
    pub repo_type: String,
    /// Its id, for example `org/name`.
    pub repo_id: String,
    /// Its folder.
    pub path: PathBuf,
    /// Bytes of the files that its snapshots show; content that revisions share counts once.
    pub size_on_disk: u64,
    /// Number of these files.
    pub files: u64,
    /// Bytes of finished blobs that no snapshot shows, for example of a download that has not ended.
    pub unlinked_size: u64,
    /// When one of the files was read last, as far as the file system says.
    pub last_accessed: DateTime<Utc>,
    /// When one of the files was written last.
    pub last_modified: DateTime<Utc>,
    /// Unfinished downloads, of modelhaul and of other programs.
    pub partial: Vec<PartialFile>,
    /// The revisions, in the order of their commits.
    pub revisions: Vec<CachedRevision>,
}

/// An unfinished download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialFile {
    /// Its file name in `blobs/`.
    pub name: String,
    /// Bytes that it takes on disk.
    pub size: u64,
}

/// One revision of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedRevision {
    /// The commit.
    pub commit: String,
    /// The folder of its snapshot.
    pub path: PathBuf,
    /// Branches and tags that were this commit when they were fetched last.
    pub refs: Vec<String>,
    /// Bytes of its files; content under two names counts once.
    pub size_on_disk: u64,
    /// Number of its files.
    pub files: u64,
    /// Links that lead nowhere.
    pub dangling: u64,
    /// When one of its files was written last.
    pub last_modified: DateTime<Utc>,
    /// The registrations that it serves.
    pub models: Vec<ModelId>,
    /// Whether one of these registrations is known to be complete here; none when nothing is known.
    pub complete: Option<bool>,
    /// Whether modelhaul compared the hashes of all files that one of these registrations needs.
    pub verified: bool,
}

/// What a removal takes, or took, out of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Removal {
    /// Whether nothing was touched.
    pub dry_run: bool,
    /// The revisions.
    pub revisions: Vec<RemovedRevision>,
    /// Bytes that become free.
    pub freed_size: u64,
    /// What was asked for and is not there.
    pub missing: Vec<String>,
}

/// A revision that is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedRevision {
    /// `model`, `dataset`, `space` or `kernel`.
    pub repo_type: String,
    /// The repository.
    pub repo_id: String,
    /// The commit.
    pub commit: String,
    /// Its branches and tags, which go with it.
    pub refs: Vec<String>,
    /// Bytes of its files, shared ones included.
    pub size_on_disk: u64,
    /// Whether the repository's folder goes with it, because no other revision is left.
    pub whole_repo: bool,
    /// The registrations that it served.
    pub models: Vec<ModelId>,
}
