//! The cache as its owner and its neighbours see it.

mod locks;
mod lookups;
mod parts;
mod publishing;
mod removals;
mod suspects;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use sha2::Digest as _;

use super::publish::Published;
use super::sweep::Swept;
use super::*;
use crate::domain::{CommitHash, Digest, PlannedFile, RepoId, RepoPath};

/// A cache in a folder of its own with one repository and one commit.
struct Place {
    _dir: tempfile::TempDir,
    cache: Cache,
    repo: RepoId,
    commit: CommitHash,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            cache: Cache::new(dir.path().join("hub")),
            _dir: dir,
            repo: "org/name".parse().unwrap(),
            commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
        }
    }

    /// A finished part with this content, and its name.
    fn part(&self, content: &[u8]) -> PartName {
        let (name, mut file) = self
            .cache
            .create_part(&self.repo, &digest(content))
            .unwrap();
        file.write_all(content).unwrap();
        name
    }

    /// A published blob with this content, as a planned file of this path.
    fn blob(&self, path: &str, content: &[u8]) -> PlannedFile {
        let file = planned(path, content);
        let part = self.part(content);
        self.cache
            .publish_blob(&self.repo, &part, &file.digest, file.size)
            .unwrap();
        file
    }

    fn pointer(&self, path: &str) -> PathBuf {
        let path = RepoPath::parse(path).unwrap();
        self.cache.pointer_path(&self.repo, &self.commit, &path)
    }

    fn publish(&self, files: &[PlannedFile]) -> Result<()> {
        self.cache.publish_snapshot(&self.repo, &self.commit, files)
    }

    /// The names in `blobs/`, sorted.
    fn blobs(&self) -> Vec<String> {
        names(&self.cache.blobs_dir(&self.repo))
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .map(|entries| {
            entries
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

fn digest(content: &[u8]) -> Digest {
    let mut hex = String::new();
    for byte in sha2::Sha256::digest(content) {
        write!(hex, "{byte:02x}").unwrap();
    }
    Digest::parse(&hex).unwrap()
}

fn planned(path: &str, content: &[u8]) -> PlannedFile {
    PlannedFile {
        path: RepoPath::parse(path).unwrap(),
        size: content.len() as u64,
        digest: digest(content),
    }
}

#[test]
fn there_is_room_and_a_byte_can_be_written() {
    let place = Place::new();
    let space = place.cache.space().unwrap();
    assert!(space.bytes > 0);
    assert!(!place.cache.root().exists(), "asking creates nothing");
    place.cache.can_write().unwrap();
    assert_eq!(names(&place.cache.root().join(".locks")), [""; 0]);
    let tag = fs::read_to_string(place.cache.root().join("CACHEDIR.TAG")).unwrap();
    assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55\n# This"));
    assert!(tag.ends_with("\n#\thttps://bford.info/cachedir/\n"));
}

#[test]
fn a_file_in_the_place_of_the_cache_is_a_storage_failure() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let failure = Cache::new(file.path()).can_write().unwrap_err().failure();
    assert_eq!(failure.code, crate::domain::FailureCode::Storage);
    assert!(failure.message.contains(&file.path().display().to_string()));
}

#[test]
fn nothing_is_written_through_a_link_below_the_root() {
    let place = Place::new();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.cache.root()).unwrap();
    let repo_dir = place.cache.repo_dir(&place.repo);
    std::os::unix::fs::symlink(outside.path(), &repo_dir).unwrap();
    let refused = |result: Result<()>| matches!(result, Err(CacheError::Foreign { .. }));
    let any = digest(b"x");
    assert!(refused(
        place.cache.create_part(&place.repo, &any).map(drop)
    ));
    let main = crate::domain::Revision::main();
    assert!(refused(place.cache.write_ref(
        &place.repo,
        &main,
        &place.commit
    )));
    assert!(refused(place.cache.write_tree(
        &place.repo,
        &place.commit,
        &[]
    )));
    assert_eq!(names(outside.path()), [""; 0]);
}
