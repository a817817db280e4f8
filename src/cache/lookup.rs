//! What is in the cache already, found without a request and without a write.
//!
//! Invariant: a file counts as present only if it resolves to a regular file of a known length; dangling links,
//! link loops and folders do not. Links are followed here, as every reader of the cache does. Whether the
//! content is right is left to a comparison of hashes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::files::{is_absent, read_small};
use super::part::list_names;
use super::{Cache, CacheError, Result};
use crate::domain::{CommitHash, Digest, PlannedFile, RepoId, RepoPath, Revision};

/// A file of a snapshot that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotFile {
    /// Its path in the repository.
    pub(crate) path: RepoPath,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// The name of the blob that it points to; none for a plain file.
    pub(crate) digest: Option<Digest>,
}

/// What the cache shows of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The commit.
    pub(crate) commit: CommitHash,
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// Its readable files in the order of their paths; perhaps not all of the commit.
    pub(crate) files: Vec<SnapshotFile>,
}

impl Snapshot {
    /// Paths and lengths of the files.
    pub(crate) fn sizes(&self) -> Vec<(RepoPath, u64)> {
        self.files
            .iter()
            .map(|file| (file.path.clone(), file.size))
            .collect()
    }
}

impl Cache {
    /// Whether the blob is there: a regular file of this length, perhaps through a link into a shared store.
    pub(crate) fn find_blob(&self, repo: &RepoId, digest: &Digest, size: u64) -> bool {
        has_length(&self.blob_path(repo, digest), size)
    }

    /// Opens what the snapshot shows of a file, read-only, for a comparison of hashes; none when nothing is there.
    pub(crate) fn open_file(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        path: &RepoPath,
    ) -> Result<Option<File>> {
        let at = self.pointer_path(repo, commit, path);
        if length(&at).is_none() {
            return Ok(None);
        }
        match File::open(&at) {
            Ok(file) => Ok(Some(file)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(CacheError::io("open", at, error)),
        }
    }

    /// Whether the bytes of a planned file are there, as a blob or as a plain file of the snapshot.
    pub(crate) fn find_file(&self, repo: &RepoId, commit: &CommitHash, file: &PlannedFile) -> bool {
        self.find_blob(repo, &file.digest, file.size)
            || has_length(&self.pointer_path(repo, commit, &file.path), file.size)
    }

    /// The length of what the snapshot shows of a file; none when it shows nothing that can be read.
    pub(crate) fn shown_length(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        path: &RepoPath,
    ) -> Option<u64> {
        length(&self.pointer_path(repo, commit, path))
    }

    /// Whether the snapshot shows the file with its length; true for each file of a finished publication.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "a part of the module's contract that its tests hold"
        )
    )]
    pub(crate) fn shows_file(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        file: &PlannedFile,
    ) -> bool {
        self.shown_length(repo, commit, &file.path) == Some(file.size)
    }

    /// The commit that a branch or tag was when it was fetched last; none when it never was.
    ///
    /// White space around it is forgiven; anything but 40 hex digits counts as no ref.
    pub(crate) fn read_ref(
        &self,
        repo: &RepoId,
        revision: &Revision,
    ) -> Result<Option<CommitHash>> {
        if let Some(commit) = revision.as_commit() {
            return Ok(Some(commit));
        }
        let path = self.ref_path(repo, revision);
        match read_small(&path, 4096) {
            Ok(content) => Ok(content
                .and_then(|content| String::from_utf8(content).ok())
                .and_then(|text| text.trim().parse().ok())),
            Err(CacheError::Malformed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the cache shows of a revision; none when nothing of it was ever published.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "a part of the module's contract that its tests hold"
        )
    )]
    pub(crate) fn lookup(&self, repo: &RepoId, revision: &Revision) -> Result<Option<Snapshot>> {
        match self.read_ref(repo, revision)? {
            Some(commit) => self.snapshot(repo, &commit),
            None => Ok(None),
        }
    }

    /// What the cache shows of a commit; none when it has no snapshot folder.
    pub(crate) fn snapshot(&self, repo: &RepoId, commit: &CommitHash) -> Result<Option<Snapshot>> {
        let dir = self.snapshot_dir(repo, commit);
        if !fs::metadata(&dir).is_ok_and(|facts| facts.is_dir()) {
            return Ok(None);
        }
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(prefix) = folders.pop() {
            for (name, facts) in list_names(&dir.join(&prefix))? {
                let text = if prefix.is_empty() {
                    name
                } else {
                    format!("{prefix}/{name}")
                };
                // A name that could not have come from a repository is no file of it.
                let Ok(path) = RepoPath::parse(&text) else {
                    continue;
                };
                if facts.is_dir() {
                    folders.push(text);
                    continue;
                }
                let at = dir.join(path.as_str());
                if let Some(size) = length(&at) {
                    let digest = fs::read_link(&at)
                        .ok()
                        .and_then(|target| blob_name(&target));
                    files.push(SnapshotFile { path, size, digest });
                }
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Some(Snapshot {
            commit: commit.clone(),
            dir,
            files,
        }))
    }
}

/// The digest in a pointer's text, when the text ends in `blobs/<digest>`.
fn blob_name(target: &Path) -> Option<Digest> {
    let name = target.file_name()?.to_str()?;
    let folder = target.parent()?.file_name()?;
    (folder == "blobs").then(|| Digest::parse(name).ok())?
}

/// The length of the regular file that a path resolves to.
fn length(path: &Path) -> Option<u64> {
    match fs::metadata(path) {
        Ok(facts) => facts.is_file().then_some(facts.len()),
        Err(error) => {
            if !is_absent(&error) {
                tracing::debug!(path = %path.display(), %error, "this entry of the cache cannot be read");
            }
            None
        }
    }
}

fn has_length(path: &Path, size: u64) -> bool {
    length(path) == Some(size)
}
