//! Publication: the only place where something gets its final name.
//!
//! Invariants: a name appears by one rename of something complete and synced, so a reader or a crash sees the
//! old state or the new one; a valid blob is never replaced; the order is blobs, then pointers, then the ref,
//! each synced before the next. That the content hashes to its digest was proven by the caller, who has synced it too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::files::{describe, entry, is_unsupported, no_follow, remove, sync_dir, write_new};
use super::layout::{PartName, pointer_target};
use super::part::open_checked;
use super::{Cache, CacheError, Result};
use crate::domain::{CommitHash, Digest, PlannedFile, RepoId, RepoPath, Revision};

/// How a part became a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// The part is the blob now.
    Placed,
    /// Another program had made the blob meanwhile; the part was dropped.
    AlreadyThere,
}

/// Gives `from` its final name; the one rename of the program.
#[expect(clippy::disallowed_methods, reason = "this is the publication")]
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| CacheError::io("give its final name to", to, error))
}

/// The same, but only while nothing lies at `to`; not every file system can do that.
fn rename_to_free_name(from: &Path, to: &Path) -> std::result::Result<(), Errno> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

impl Cache {
    /// Makes a verified part, whose data is synced, the blob `digest`. Call [`Self::sync_blobs`] after a batch.
    ///
    /// Length and identity of the part are checked once more. A damaged blob under the name (wrong length,
    /// dangling link) is replaced; a good one is kept and the part dropped.
    pub(crate) fn publish_blob(
        &self,
        repo: &RepoId,
        part: &PartName,
        digest: &Digest,
        size: u64,
    ) -> Result<Published> {
        let from = self.part_path(repo, part);
        let to = self.blob_path(repo, digest);
        if self.find_blob(repo, digest, size) {
            remove(&from)?;
            return Ok(Published::AlreadyThere);
        }
        let Some((_file, facts)) = open_checked(&from, false)? else {
            return Err(CacheError::io("open", from, io::ErrorKind::NotFound));
        };
        if facts.len() != size {
            return Err(CacheError::WrongLength {
                path: from,
                expected: size,
                got: facts.len(),
            });
        }
        failpoint!("blob-synced");
        if let Some(lying) = entry(&to)?.filter(fs::Metadata::is_dir) {
            return Err(CacheError::Foreign {
                path: to,
                expected: "a blob",
                found: describe(&lying),
            });
        }
        match rename_to_free_name(&from, &to) {
            Ok(()) => {
                failpoint!("blob-renamed");
                Ok(Published::Placed)
            }
            // Somebody was faster: what lies there stays if it is good, and goes if it is damaged.
            Err(Errno::EXIST) if self.find_blob(repo, digest, size) => {
                remove(&from)?;
                Ok(Published::AlreadyThere)
            }
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rename(&from, &to)?;
                Ok(Published::Placed)
            }
            Err(errno) => Err(CacheError::io("give its final name to", to, errno)),
        }
    }

    /// Takes a blob whose content was proven wrong out of the cache, so that it is fetched again.
    ///
    /// Only its name in this repository goes, never what a link points to. True when it was there.
    pub(crate) fn discard_blob(&self, repo: &RepoId, digest: &Digest) -> Result<bool> {
        let path = self.blob_path(repo, digest);
        let removed = remove(&path)?;
        if removed {
            tracing::warn!(path = %path.display(), "removed a blob that does not hash to its name");
        }
        Ok(removed)
    }

    /// Makes the names of published blobs durable; once per batch.
    pub(crate) fn sync_blobs(&self, repo: &RepoId) -> Result<()> {
        sync_dir(&self.blobs_dir(repo))?;
        failpoint!("blobs-synced");
        Ok(())
    }

    /// Makes also the folders above them durable; once before anything is promised about a repository.
    pub(crate) fn sync_blobs_up(&self, repo: &RepoId) -> Result<()> {
        self.sync_up([self.blobs_dir(repo).as_path()])
    }

    /// Shows `files` in the snapshot of `commit`; their blobs must be there. Repeating it changes nothing.
    ///
    /// Where the file system has no links, blobs are hard-linked or moved into the snapshot instead.
    pub(crate) fn publish_snapshot(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        files: &[PlannedFile],
    ) -> Result<()> {
        refuse_overlaps(files)?;
        let _naming = self.begin_naming(repo)?;
        // Everything is looked at before the first name appears: a snapshot is shown whole or not at all.
        for file in files {
            if !self.find_file(repo, commit, file) {
                return Err(CacheError::BlobMissing {
                    path: self.blob_path(repo, &file.digest),
                    file: file.path.to_string(),
                    size: file.size,
                });
            }
        }
        self.ensure_dir(&self.blobs_dir(repo))?;
        self.sync_blobs(repo)?;
        let mut users: BTreeMap<&Digest, usize> = BTreeMap::new();
        for file in files {
            *users.entry(&file.digest).or_default() += 1;
        }
        let mut folders = BTreeSet::new();
        for file in files {
            let at = self.pointer_path(repo, commit, &file.path);
            let folder = at.parent().expect("a pointer lies in a folder").to_owned();
            if folders.insert(folder.clone()) {
                self.ensure_dir(&folder)?;
            }
            let left = users.entry(&file.digest).or_insert(1);
            *left -= 1;
            self.point(repo, &at, file, *left > 0)?;
        }
        self.sync_up(folders.iter().map(PathBuf::as_path))?;
        failpoint!("links-synced");
        Ok(())
    }

    /// Makes one entry of a snapshot; `shared` when another entry will need the blob after this one.
    fn point(&self, repo: &RepoId, at: &Path, file: &PlannedFile, shared: bool) -> Result<()> {
        let target = pointer_target(&file.path, &file.digest);
        let has_blob = self.find_blob(repo, &file.digest, file.size);
        match entry(at)? {
            Some(lying) if lying.is_symlink() && fs::read_link(at).ok() == Some(target.clone()) => {
                return Ok(());
            }
            Some(lying) if lying.is_dir() => {
                return Err(CacheError::Foreign {
                    path: at.to_owned(),
                    expected: "a file",
                    found: describe(&lying),
                });
            }
            // A plain file may be all there is of these bytes.
            Some(lying) if lying.is_file() && lying.len() == file.size && !has_blob => {
                return Ok(());
            }
            Some(lying) if lying.is_file() && lying.len() == file.size && !self.links => {
                return Ok(());
            }
            _ => {}
        }
        if !has_blob {
            // The old entry reached the bytes by a way of its own; it stays.
            return Ok(());
        }
        // A link is whole from its birth, so a free name needs no detour; a taken one is exchanged by a rename.
        if self.links && symlink(&target, at).is_ok() {
            return Ok(());
        }
        let temporary = self.temporary_path(repo);
        let made = if self.links {
            symlink(&target, &temporary)
        } else {
            Err(Errno::NOSYS.into())
        };
        match made {
            Ok(()) => {}
            Err(error) if !self.links || links_are_missing(&error) => {
                let blob = self.blob_path(repo, &file.digest);
                return place_bytes(&blob, &temporary, at, shared);
            }
            Err(error) => return Err(CacheError::io("link", temporary, error)),
        }
        failpoint!("link-temporary");
        rename(&temporary, at)?;
        failpoint!("link-made");
        Ok(())
    }

    /// Records which commit a branch or tag is; a full commit needs no record.
    pub(crate) fn write_ref(
        &self,
        repo: &RepoId,
        revision: &Revision,
        commit: &CommitHash,
    ) -> Result<()> {
        if revision.as_commit().is_some() {
            return Ok(());
        }
        let path = self.ref_path(repo, revision);
        let folder = path.parent().expect("a ref lies in a folder").to_owned();
        self.ensure_dir(&folder)?;
        let lying = entry(&path)?;
        if let Some(lying) = lying.as_ref().filter(|lying| lying.is_dir()) {
            return Err(CacheError::Foreign {
                path,
                expected: "a ref file",
                found: describe(lying),
            });
        }
        // Exactly 40 bytes: a line break would break every reader in Python.
        let same = lying.is_some_and(|lying| lying.is_file())
            && fs::read(&path).is_ok_and(|content| content == commit.as_str().as_bytes());
        if same {
            return Ok(());
        }
        let _naming = self.begin_naming(repo)?;
        self.replace_file(repo, &path, commit.as_str().as_bytes())?;
        failpoint!("ref-renamed");
        self.sync_up([folder.as_path()])?;
        failpoint!("ref-synced");
        Ok(())
    }

    /// Puts a whole new file in the place of `path`.
    pub(super) fn replace_file(&self, repo: &RepoId, path: &Path, content: &[u8]) -> Result<()> {
        self.ensure_dir(&self.blobs_dir(repo))?;
        let temporary = self.temporary_path(repo);
        write_new(&temporary, content)?;
        failpoint!("ref-written");
        rename(&temporary, path)
    }
}

/// Refuses sets in which one file would have to be the folder of another.
fn refuse_overlaps(files: &[PlannedFile]) -> Result<()> {
    let mut seen: BTreeMap<&str, &RepoPath> = BTreeMap::new();
    for file in files {
        if let Some(first) = seen.insert(file.path.as_str(), &file.path) {
            return Err(overlap(first, &file.path));
        }
    }
    for file in files {
        let text = file.path.as_str();
        for (at, _) in text.match_indices('/') {
            if let Some(first) = seen.get(&text[..at]) {
                return Err(overlap(first, &file.path));
            }
        }
    }
    Ok(())
}

fn overlap(first: &RepoPath, second: &RepoPath) -> CacheError {
    CacheError::Overlap {
        first: first.to_string(),
        second: second.to_string(),
    }
}

/// Whether the error says that this file system or user can make no symbolic link.
fn links_are_missing(error: &io::Error) -> bool {
    is_unsupported(error) || error.raw_os_error() == Some(Errno::PERM.raw_os_error())
}

/// Puts the bytes themselves at `at`: a second name, else a copy while they are needed again, else a move.
fn place_bytes(blob: &Path, temporary: &Path, at: &Path, shared: bool) -> Result<()> {
    // A blob that is a link into a store shared by repositories is not ours to name or to move.
    let own = entry(blob)?.is_some_and(|lying| lying.is_file());
    if own {
        match fs::hard_link(blob, temporary) {
            Ok(()) => return rename(temporary, at),
            Err(error) if links_are_missing(&error) || crosses(&error) => {}
            Err(error) => return Err(CacheError::io("link", temporary, error)),
        }
    }
    move_or_copy(blob, temporary, at, shared || !own)
}

fn crosses(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::XDEV | Errno::MLINK))
}

fn move_or_copy(blob: &Path, temporary: &Path, at: &Path, shared: bool) -> Result<()> {
    if !shared && rename(blob, at).is_ok() {
        return Ok(());
    }
    let copy = || -> io::Result<()> {
        let mut source = File::open(blob)?;
        let mut options = OpenOptions::new();
        let mut target = no_follow(options.write(true).create_new(true)).open(temporary)?;
        io::copy(&mut source, &mut target)?;
        target.sync_all()
    };
    if let Err(error) = copy() {
        remove(temporary)?;
        return Err(CacheError::io("copy", temporary, error));
    }
    rename(temporary, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_needed_again_are_copied_and_the_last_user_moves_them() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("blob"), "bytes").unwrap();
        move_or_copy(&at("blob"), &at("tmp"), &at("one"), true).unwrap();
        assert!(at("blob").exists());
        move_or_copy(&at("blob"), &at("tmp"), &at("two"), false).unwrap();
        assert!(!at("blob").exists() && !at("tmp").exists());
        for name in ["one", "two"] {
            assert_eq!(fs::read_to_string(at(name)).unwrap(), "bytes");
        }
    }
}
