//! What lies in the Hugging Face cache, whoever put it there, and what was removed from it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{InvalidName, ModelId, RepoId, Revision};

/// Which part of the cache is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheTarget {
    /// All revisions of a repository.
    Repo {
        /// `model`, `dataset`, `space` or `kernel`.
        repo_type: &'static str,
        /// Its id.
        repo_id: RepoId,
    },
    /// One revision of a repository.
    Revision {
        /// `model`, `dataset`, `space` or `kernel`.
        repo_type: &'static str,
        /// Its id.
        repo_id: RepoId,
        /// A commit, or a branch or tag as it was fetched last.
        revision: Revision,
    },
    /// One revision, by its commit, in whichever repository it is.
    Commit(String),
}

/// The types of repositories that the cache holds.
const TYPES: [&str; 4] = ["model", "dataset", "space", "kernel"];

impl FromStr for CacheTarget {
    type Err = InvalidName;

    /// Reads a commit, or `[type/]org/name[@revision]`; without a type a model is meant.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let lower = text.to_ascii_lowercase();
        if lower.len() == 40 && lower.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Self::Commit(lower));
        }
        let (named, revision) = match text.split_once('@') {
            Some((named, revision)) => (named, Some(revision.parse()?)),
            None => (text, None),
        };
        let typed = named.split_once('/').and_then(|(first, id)| {
            let repo_type = TYPES.into_iter().find(|known| *known == first)?;
            Some((repo_type, id))
        });
        let (repo_type, id) = typed.unwrap_or(("model", named));
        let repo_id = id.parse()?;
        Ok(match revision {
            Some(revision) => Self::Revision {
                repo_type,
                repo_id,
                revision,
            },
            None => Self::Repo { repo_type, repo_id },
        })
    }
}

impl fmt::Display for CacheTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repo { repo_type, repo_id } => write!(formatter, "{repo_type}/{repo_id}"),
            Self::Revision {
                repo_type,
                repo_id,
                revision,
            } => write!(formatter, "{repo_type}/{repo_id}@{revision}"),
            Self::Commit(commit) => formatter.write_str(commit),
        }
    }
}

/// The whole cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CacheReport {
    /// Its folder.
    #[schema(value_type = String)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CachedRepo {
    /// `model`, `dataset`, `space` or `kernel`.
    pub repo_type: String,
    /// Its id, for example `org/name`.
    pub repo_id: String,
    /// Its folder.
    #[schema(value_type = String)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PartialFile {
    /// Its file name in `blobs/`.
    pub name: String,
    /// Bytes that it takes on disk.
    pub size: u64,
}

/// One revision of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CachedRevision {
    /// The commit.
    pub commit: String,
    /// The folder of its snapshot.
    #[schema(value_type = String)]
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

/// What a comparison of a snapshot that no registration speaks of brought.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inspection {
    /// The repository.
    pub repo_id: String,
    /// The commit.
    pub commit: String,
    /// Number of files that were compared.
    pub files: u64,
    /// Bytes of those that are right.
    pub bytes: u64,
    /// Files whose content is not what their blob's name says.
    pub corrupt: Vec<String>,
    /// Files that are no links to blobs, so that nothing here says what they must be.
    pub unknown: Vec<String>,
}

/// What a removal takes, or took, out of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_commit_a_repository_or_one_of_its_revisions() {
        let commit = "0123456789abcdef0123456789ABCDEF01234567";
        for (text, shown) in [
            (commit, "0123456789abcdef0123456789abcdef01234567"),
            ("gpt2", "model/gpt2"),
            ("org/name", "model/org/name"),
            ("org/name@v1", "model/org/name@v1"),
            ("dataset/org/name@refs/pr/1", "dataset/org/name@refs/pr/1"),
            ("model/org/name", "model/org/name"),
        ] {
            assert_eq!(text.parse::<CacheTarget>().unwrap().to_string(), shown);
        }
        for bad in ["", "a/b/c", "../x", "org/name@", "org/name@../x", "a/b@x y"] {
            assert!(bad.parse::<CacheTarget>().is_err(), "{bad}");
        }
    }
}
