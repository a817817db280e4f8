//! The exact files of a commit, and those of one job.

use serde::{Deserialize, Serialize};

use super::{Digest, RepoPath};

/// A file of a commit as the hub lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteFile {
    /// Its path in the repository.
    pub path: RepoPath,
    /// Its length in bytes.
    pub size: u64,
    /// What its content hashes to; also its blob's name.
    pub digest: Digest,
    /// The git object id (differs from `digest` for LFS files).
    pub git_oid: String,
    /// The Xet hash, 64 hex digits, when the file is stored there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xet_hash: Option<String>,
}

/// A file that a job must bring in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Its path in the repository.
    pub path: RepoPath,
    /// Its length in bytes.
    pub size: u64,
    /// What its content hashes to; also its blob's name.
    pub digest: Digest,
}

impl From<RemoteFile> for PlannedFile {
    fn from(file: RemoteFile) -> Self {
        Self {
            path: file.path,
            size: file.size,
            digest: file.digest,
        }
    }
}
