//! Where everything lies: pure functions from checked names to paths.
//!
//! Invariant: every path is beneath the root, because ids, digests, commits, revisions and file names were
//! checked when they were parsed, and part names are checked here. Touches no file.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Cache, CacheError};
use crate::domain::{CommitHash, Digest, RepoId, RepoPath, Revision};

/// The file name of an unfinished blob: `<etag>.<8 hex digits>.part`.
///
/// Not `*.incomplete`: other programs prune those, or append to them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartName {
    text: String,
    digest: Digest,
}

impl PartName {
    /// A name that no other worker uses.
    pub(crate) fn fresh(digest: &Digest) -> Self {
        Self::new(digest, super::files::nonce())
    }

    /// The name for a digest and a number.
    pub(crate) fn new(digest: &Digest, nonce: u32) -> Self {
        Self {
            text: format!("{digest}.{nonce:08x}.part"),
            digest: digest.clone(),
        }
    }

    /// The name as text, as rows keep it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// What the finished part must hash to.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for PartName {
    type Err = CacheError;

    fn from_str(text: &str) -> Result<Self, CacheError> {
        let parsed = || {
            let (etag, nonce) = text.strip_suffix(".part")?.split_once('.')?;
            is_nonce(nonce).then_some(())?;
            let digest = Digest::stored(etag).ok()?;
            // The parser forgives quotes; a file name must be the bare digits.
            (digest.as_str() == etag).then(|| Self {
                text: text.to_owned(),
                digest,
            })
        };
        parsed().ok_or_else(|| CacheError::BadPartName {
            given: text
                .chars()
                .take(100)
                .flat_map(char::escape_debug)
                .collect(),
        })
    }
}

/// Whether `text` is 8 lower-case hex digits.
fn is_nonce(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `name` is one of modelhaul's temporary names, `<8 hex digits>.tmp`.
pub(super) fn is_temporary(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(is_nonce)
}

impl Cache {
    /// The folder of a repository.
    pub(crate) fn repo_dir(&self, repo: &RepoId) -> PathBuf {
        self.root.join(repo.folder_name())
    }

    /// The folder of its blobs and parts.
    pub(super) fn blobs_dir(&self, repo: &RepoId) -> PathBuf {
        self.repo_dir(repo).join("blobs")
    }

    /// The final place of a file's bytes.
    pub(crate) fn blob_path(&self, repo: &RepoId, digest: &Digest) -> PathBuf {
        self.blobs_dir(repo).join(digest.as_str())
    }

    /// The place of a part.
    pub(crate) fn part_path(&self, repo: &RepoId, part: &PartName) -> PathBuf {
        self.blobs_dir(repo).join(part.as_str())
    }

    /// A place for something that gets its final name by a rename.
    ///
    /// It lies in `blobs/`, where no reader looks: a leftover in `refs/` or `snapshots/` would be read as a
    /// ref or a file.
    pub(super) fn temporary_path(&self, repo: &RepoId) -> PathBuf {
        self.blobs_dir(repo)
            .join(format!("{:08x}.tmp", super::files::nonce()))
    }

    /// The folder that shows the files of one commit.
    pub(crate) fn snapshot_dir(&self, repo: &RepoId, commit: &CommitHash) -> PathBuf {
        self.repo_dir(repo).join("snapshots").join(commit.as_str())
    }

    /// The place of one file in a snapshot.
    pub(crate) fn pointer_path(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        path: &RepoPath,
    ) -> PathBuf {
        self.snapshot_dir(repo, commit).join(path.as_str())
    }

    /// The file that says which commit a branch or tag was.
    pub(crate) fn ref_path(&self, repo: &RepoId, revision: &Revision) -> PathBuf {
        self.repo_dir(repo).join("refs").join(revision.as_str())
    }

    /// The lock that all programs take before they write a blob.
    pub(crate) fn lock_path(&self, repo: &RepoId, digest: &Digest) -> PathBuf {
        self.locks_dir(repo).join(format!("{digest}.lock"))
    }

    /// The folder of a repository's locks.
    pub(super) fn locks_dir(&self, repo: &RepoId) -> PathBuf {
        self.root.join(".locks").join(repo.folder_name())
    }

    /// The saved listing of a commit.
    pub(crate) fn tree_path(&self, repo: &RepoId, commit: &CommitHash) -> PathBuf {
        self.repo_dir(repo)
            .join("trees")
            .join(format!("{commit}.json"))
    }
}

/// The text of a pointer: the way from `snapshots/<commit>/<path>` to its blob.
pub(super) fn pointer_target(path: &RepoPath, digest: &Digest) -> PathBuf {
    let mut target = PathBuf::from("../..");
    for _ in 0..path.depth() {
        target.push("..");
    }
    target.push("blobs");
    target.push(digest.as_str());
    target
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SHA256: &str = "9879879879879879879879879879879879879879879879879879879879879879";

    #[test]
    fn paths_are_those_of_huggingface_hub() {
        let cache = Cache::new("/c");
        let repo: RepoId = "org/name".parse().unwrap();
        let digest = Digest::parse(SHA256).unwrap();
        let commit: CommitHash = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let path = RepoPath::parse("sub/dir/f").unwrap();
        let at =
            |text: &str| PathBuf::from(text.replace('@', SHA256).replace('#', commit.as_str()));
        assert_eq!(
            cache.blob_path(&repo, &digest),
            at("/c/models--org--name/blobs/@")
        );
        assert_eq!(
            cache.pointer_path(&repo, &commit, &path),
            at("/c/models--org--name/snapshots/#/sub/dir/f")
        );
        assert_eq!(
            cache.ref_path(&repo, &"refs/pr/1".parse().unwrap()),
            at("/c/models--org--name/refs/refs/pr/1")
        );
        assert_eq!(
            cache.lock_path(&repo, &digest),
            at("/c/.locks/models--org--name/@.lock")
        );
        assert_eq!(
            cache.tree_path(&repo, &commit),
            at("/c/models--org--name/trees/#.json")
        );
        assert_eq!(
            cache.part_path(&repo, &PartName::new(&digest, 0xab)),
            at("/c/models--org--name/blobs/@.000000ab.part")
        );
        assert_eq!(pointer_target(&path, &digest), at("../../../../blobs/@"));
        let root = RepoPath::parse("f").unwrap();
        assert_eq!(pointer_target(&root, &digest), at("../../blobs/@"));
        assert_eq!(
            cache.repo_dir(&"gpt2".parse().unwrap()),
            Path::new("/c/models--gpt2")
        );
    }

    #[test]
    fn only_its_own_names_are_part_names() {
        let good = format!("{SHA256}.0123abcd.part");
        assert_eq!(good.parse::<PartName>().unwrap().as_str(), good);
        for bad in [
            "",
            "x.part",
            "../../x.0123abcd.part",
            &format!("{SHA256}.0123abc.part"),
            &format!("{SHA256}.0123ABCD.part"),
            &format!("{SHA256}.0123abcd.incomplete"),
            &format!("\"{SHA256}\".0123abcd.part"),
            &format!("{SHA256}..part"),
            &format!("{SHA256}.0123abcd.part/x"),
        ] {
            assert!(bad.parse::<PartName>().is_err(), "{bad}");
        }
        assert!(is_temporary("0123abcd.tmp"));
        assert!(!is_temporary("tmp_0123abcd") && !is_temporary("0123abcd.part"));
    }
}
