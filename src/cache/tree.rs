//! The saved listing of a commit, `trees/<commit>.json`, shared with `huggingface_hub`.
//!
//! Invariant: a listing is used only if all of it is understood; else it counts as absent. Python refuses an
//! offline snapshot that has less than the listing says, so the owner writes one only for whole repositories.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::files::{read_small, sync_dir};
use super::{Cache, CacheError, Result};
use crate::domain::{CommitHash, Digest, RemoteFile, RepoId, RepoPath};

/// Longest listing that is read, in bytes; about 300 000 files.
const LIMIT: u64 = 64 << 20;

/// Fields in the order of their names, as Python sorts them.
#[derive(Serialize, Deserialize)]
struct Listing {
    files: BTreeMap<String, Entry>,
    format_version: u64,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    blob_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xet_hash: Option<String>,
}

impl Entry {
    fn new(file: &RemoteFile) -> Self {
        let lfs = match &file.digest {
            Digest::Sha256(hex) => Some(hex.to_string()),
            Digest::GitSha1(_) | Digest::Unhashed(_) => None,
        };
        Self {
            blob_id: file.git_oid.clone(),
            lfs_size: lfs.is_some().then_some(file.size),
            lfs_sha256: lfs,
            size: file.size,
            // One odd hash would make Python ignore the whole listing.
            xet_hash: file.xet_hash.clone().filter(|hash| is_sha256(hash)),
        }
    }

    fn into_file(self, path: &str) -> Option<RemoteFile> {
        if self
            .xet_hash
            .as_deref()
            .is_some_and(|hash| !is_sha256(hash))
        {
            return None;
        }
        let digest = Digest::parse(self.lfs_sha256.as_ref().unwrap_or(&self.blob_id)).ok()?;
        Some(RemoteFile {
            path: RepoPath::parse(path).ok()?,
            size: self.lfs_size.unwrap_or(self.size),
            digest,
            git_oid: self.blob_id,
            xet_hash: self.xet_hash,
        })
    }
}

fn is_sha256(hex: &str) -> bool {
    matches!(Digest::parse(hex), Ok(Digest::Sha256(_)))
}

impl Cache {
    /// The saved listing of a commit; none when there is none, or when it cannot be understood.
    pub(crate) fn read_tree(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
    ) -> Result<Option<Vec<RemoteFile>>> {
        let path = self.tree_path(repo, commit);
        let content = match read_small(&path, LIMIT) {
            Ok(Some(content)) => content,
            Ok(None) => return Ok(None),
            Err(CacheError::Malformed { reason, .. }) => {
                tracing::warn!(path = %path.display(), reason, "the saved listing is ignored");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let files = serde_json::from_slice::<Listing>(&content)
            .ok()
            .filter(|listing| listing.format_version == 1)
            .and_then(|listing| {
                listing
                    .files
                    .into_iter()
                    .map(|(path, entry)| entry.into_file(&path))
                    .collect::<Option<Vec<_>>>()
            });
        if files.is_none() {
            tracing::warn!(path = %path.display(), "the saved listing is ignored: it is not understood");
        }
        Ok(files)
    }

    /// Saves the listing of a commit of which every file was fetched.
    pub(crate) fn write_tree(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        files: &[RemoteFile],
    ) -> Result<()> {
        let listing = Listing {
            files: files
                .iter()
                .map(|file| (file.path.to_string(), Entry::new(file)))
                .collect(),
            format_version: 1,
        };
        let mut content = Vec::new();
        let indent = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut content, indent);
        listing
            .serialize(&mut serializer)
            .expect("a listing of texts and numbers is JSON");
        let path = self.tree_path(repo, commit);
        let folder = path
            .parent()
            .expect("a listing lies in a folder")
            .to_owned();
        self.ensure_dir(&folder)?;
        let _naming = self.begin_naming(repo)?;
        self.replace_file(repo, &path, &content)?;
        sync_dir(&folder)
    }
}
