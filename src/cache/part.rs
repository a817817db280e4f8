//! Parts: the files that a download writes before its bytes have proven themselves.
//!
//! Invariant: a part is a regular file of this user with exactly one name, created by modelhaul; anything else
//! under such a name is refused. Which bytes of a part are good is known to the owner alone.

use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

#[cfg(target_os = "linux")]
use rustix::io::Errno;

use super::files::{describe, entry, is_absent, no_follow, remove, same_file};
use super::layout::PartName;
use super::{Cache, CacheError, Result};
use crate::domain::{Digest, RangeSet, RepoId};

/// Bytes per copy step; keeps the time between two errors small.
#[cfg(target_os = "linux")]
const COPY_STEP: u64 = 8 << 20;

impl Cache {
    /// Creates an empty part under a fresh name; readable and writable.
    ///
    /// The name is durable only after [`Self::sync_blobs`], and the first time [`Self::sync_blobs_up`]: one call covers
    /// all parts that were created before it.
    pub(crate) fn create_part(&self, repo: &RepoId, digest: &Digest) -> Result<(PartName, File)> {
        let name = PartName::fresh(digest);
        let file = self.create_part_as(repo, &name)?;
        Ok((name, file))
    }

    /// Creates an empty part under a given name, which must be free.
    pub(crate) fn create_part_as(&self, repo: &RepoId, name: &PartName) -> Result<File> {
        let dir = self.blobs_dir(repo);
        self.ensure_dir_for_now(&dir)?;
        let path = dir.join(name.as_str());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        no_follow(&mut options)
            .open(&path)
            .map_err(|error| CacheError::io("create", &path, error))
            .inspect(|_| {
                failpoint!("part-created");
            })
    }

    /// Opens a part for reading and writing; none when it is gone.
    pub(crate) fn open_part(&self, repo: &RepoId, name: &PartName) -> Result<Option<File>> {
        let path = self.part_path(repo, name);
        Ok(open_checked(&path, true)?.map(|(file, _)| file))
    }

    /// Copies `ranges` of an old part to a new file named `new`, syncs it, and answers what was copied.
    ///
    /// For a part whose former writer may still hold it open: what that one writes from now on lands in a file
    /// without a future. Ranges past the old end are left out. The old part stays until [`Self::delete_part`],
    /// so that a crash in between loses nothing. None when the old part is gone.
    pub(crate) fn adopt_part(
        &self,
        repo: &RepoId,
        old: &PartName,
        new: &PartName,
        ranges: &RangeSet,
    ) -> Result<Option<(File, RangeSet)>> {
        let old_path = self.part_path(repo, old);
        let Some((source, facts)) = open_checked(&old_path, false)? else {
            return Ok(None);
        };
        let copied = ranges.clone().clipped(facts.len());
        let target = self.create_part_as(repo, new)?;
        let new_path = self.part_path(repo, new);
        let copy = || {
            for range in copied.iter() {
                copy_range(&source, &target, range.start, range.end)?;
            }
            target.sync_data()
        };
        match copy() {
            Ok(()) => Ok(Some((target, copied))),
            Err(error) => {
                self.delete_part(repo, new)?;
                Err(CacheError::io("copy the old part to", new_path, error))
            }
        }
    }

    /// Deletes a part; true when it was there.
    pub(crate) fn delete_part(&self, repo: &RepoId, name: &PartName) -> Result<bool> {
        remove(&self.part_path(repo, name))
    }

    /// The parts of a repository and their allocated bytes, in the order of their names.
    pub(crate) fn list_parts(&self, repo: &RepoId) -> Result<Vec<(PartName, u64)>> {
        // Only what has the name of a part is looked at: finished blobs may be ten thousand.
        let mut parts: Vec<_> = list(&self.blobs_dir(repo), |name| name.parse::<PartName>().ok())?
            .into_iter()
            .filter(|(_, facts)| facts.is_file())
            .map(|(name, facts)| (name, allocated(&facts)))
            .collect();
        parts.sort();
        Ok(parts)
    }
}

/// Bytes that a file takes on disk; a part has holes, so its length says little.
pub(super) fn allocated(facts: &Metadata) -> u64 {
    facts.blocks().saturating_mul(512)
}

/// The names in a folder with what lies there; empty when there is no folder.
pub(super) fn list_names(dir: &Path) -> Result<Vec<(String, Metadata)>> {
    list(dir, Some)
}

/// The names in a folder that `wanted` makes something of, with what lies there.
fn list<N>(dir: &Path, wanted: impl Fn(String) -> Option<N>) -> Result<Vec<(N, Metadata)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(CacheError::io("list", dir, error)),
    };
    let mut names = Vec::new();
    for found in entries {
        let found = found.map_err(|error| CacheError::io("list", dir, error))?;
        let Some(name) = found.file_name().into_string().ok().and_then(&wanted) else {
            continue;
        };
        match found.metadata() {
            Ok(metadata) => names.push((name, metadata)),
            // Gone since it was listed.
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(CacheError::io("look at", found.path(), error)),
        }
    }
    Ok(names)
}

/// Opens a part after checking that it is one; none when nothing is there.
pub(super) fn open_checked(path: &Path, write: bool) -> Result<Option<(File, Metadata)>> {
    let Some(lying) = entry(path)? else {
        return Ok(None);
    };
    let foreign = |found| CacheError::Foreign {
        path: path.to_owned(),
        expected: "a part of its own",
        found,
    };
    if !lying.is_file() {
        return Err(foreign(describe(&lying)));
    }
    let mut options = OpenOptions::new();
    let file = match no_follow(options.read(true).write(write)).open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(CacheError::io("open", path, error)),
    };
    let facts = file
        .metadata()
        .map_err(|error| CacheError::io("look at", path, error))?;
    if !same_file(&lying, &facts) {
        return Err(foreign("a file that was just exchanged"));
    }
    if facts.nlink() != 1 {
        return Err(foreign("a file with another name beside this one"));
    }
    if facts.uid() != rustix::process::geteuid().as_raw() {
        return Err(foreign("a file of another user"));
    }
    Ok(Some((file, facts)))
}

/// Copies `start..end` where the kernel has no call for it.
#[cfg(not(target_os = "linux"))]
pub(super) fn copy_range(
    source: &File,
    target: &File,
    start: u64,
    end: u64,
) -> std::io::Result<()> {
    copy_by_hand(source, target, start, end)
}

/// Copies `start..end`, inside the kernel where the file system can (which then shares the blocks).
#[cfg(target_os = "linux")]
pub(super) fn copy_range(
    source: &File,
    target: &File,
    start: u64,
    end: u64,
) -> std::io::Result<()> {
    let mut at = start;
    while at < end {
        let step = (end - at).min(COPY_STEP);
        let (mut from, mut to) = (at, at);
        let length = usize::try_from(step).expect("a step fits the memory");
        let moved =
            rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), length);
        match moved {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => at += count as u64,
            Err(Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::PERM) => {
                return copy_by_hand(source, target, at, end);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// The same through memory.
fn copy_by_hand(source: &File, target: &File, start: u64, end: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let piece = &mut buffer[..length];
        source.read_exact_at(piece, at)?;
        target.write_all_at(piece, at)?;
        at += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copying_through_memory_equals_copying_in_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(dir.path().join("a"), &content).unwrap();
        let source = File::open(dir.path().join("a")).unwrap();
        for (name, copy) in [
            ("k", copy_range as fn(&File, &File, u64, u64) -> _),
            ("m", copy_by_hand),
        ] {
            let path = dir.path().join(name);
            let target = File::create(&path).unwrap();
            copy(&source, &target, 1_000, 2_500_001).unwrap();
            let got = fs::read(&path).unwrap();
            assert_eq!(got[1_000..], content[1_000..2_500_001], "{name}");
            assert!(got[..1_000].iter().all(|byte| *byte == 0));
            assert!(copy(&source, &target, 2_999_999, 3_000_001).is_err());
        }
    }
}
