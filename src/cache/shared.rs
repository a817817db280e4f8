//! The store of content that repositories share (`<cache>/blobs`), which newer `huggingface_hub` fills.
//!
//! Invariant: a payload goes only under its lock, with a manifest that was read whole, when not one of the links that
//! the manifest lists leads to it any more. In every doubt it stays: that costs room, never content.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::files::{entry, no_follow, nonce, read_small, remove, write_new};
use super::part::list_names;
use super::publish::rename;
use super::scan::plain;
use super::{CacheError, Result};
use crate::domain::Digest;

/// The longest manifest that is read, in bytes.
const LIMIT: u64 = 16 << 20;

/// A store that says that it is one, in the version that is understood.
#[derive(Debug, Clone)]
pub(super) struct SharedStore {
    root: PathBuf,
    dir: PathBuf,
}

impl SharedStore {
    /// The store of the cache at `root`; none when there is none.
    pub(super) fn of(root: &Path) -> Option<Self> {
        let dir = root.join("blobs");
        let marker = dir.join(".huggingface-shared-blobs");
        let is_store = entry(&dir).ok()??.is_dir()
            && entry(&marker).ok()??.is_file()
            && fs::read(&marker).is_ok_and(|content| content == b"1\n");
        is_store.then(|| Self {
            root: root.to_owned(),
            dir,
        })
    }

    /// The payload that a repository's blob is a link to; none when it is no such link or the payload is gone.
    pub(super) fn target(&self, blob: &Path) -> Option<PathBuf> {
        let target = plain(&blob.parent()?.join(fs::read_link(blob).ok()?));
        (self.is_payload(&target) && entry(&target).ok()??.is_file()).then_some(target)
    }

    /// Whether a path has a payload's place, `<first 2 digits>/<64 hex digits>`.
    fn is_payload(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(
            |name| matches!(Digest::parse(name), Ok(Digest::Sha256(hex)) if *hex == **name),
        ) else {
            return false;
        };
        path == self.dir.join(&name[..2]).join(name)
    }

    /// All payloads with their lengths, also those that no repository links to.
    pub(super) fn payloads(&self) -> Vec<(PathBuf, u64)> {
        let prefixes = list_names(&self.dir).unwrap_or_default();
        let folders = prefixes.into_iter().filter(|(_, facts)| facts.is_dir());
        folders
            .flat_map(|(name, _)| {
                let folder = self.dir.join(name);
                let names = list_names(&folder).unwrap_or_default();
                names
                    .into_iter()
                    .map(move |(name, facts)| (folder.join(name), facts))
            })
            .filter(|(path, facts)| facts.is_file() && self.is_payload(path))
            .map(|(path, facts)| (path, facts.len()))
            .collect()
    }

    /// Bytes that become free when these links go: payloads that no other link needs.
    pub(super) fn freed_by(&self, links: &BTreeSet<PathBuf>) -> u64 {
        let payloads: BTreeSet<PathBuf> =
            links.iter().filter_map(|link| self.target(link)).collect();
        payloads
            .iter()
            .filter(|payload| {
                self.users(payload)
                    .is_some_and(|users| users.iter().all(|user| links.contains(user)))
            })
            .filter_map(|payload| fs::metadata(payload).ok())
            .map(|facts| facts.len())
            .sum()
    }

    /// Removes a payload that no link leads to any more; the bytes that became free.
    pub(super) fn sweep(&self, payload: &Path) -> u64 {
        match self.try_sweep(payload) {
            Ok(freed) => freed,
            Err(error) => {
                tracing::debug!(path = %payload.display(), %error, "shared content stays");
                0
            }
        }
    }

    fn try_sweep(&self, payload: &Path) -> Result<u64> {
        if !self.is_payload(payload) {
            return Ok(0);
        }
        let _lock = lock(&with_end(payload, ".lock"))?;
        let Some(users) = self.users(payload) else {
            return Ok(0);
        };
        let manifest = with_end(payload, ".refs");
        if !users.is_empty() {
            self.rewrite(&manifest, &users)?;
            return Ok(0);
        }
        let Some(facts) = entry(payload)?.filter(fs::Metadata::is_file) else {
            return Ok(0);
        };
        remove(payload)?;
        remove(&manifest)?;
        Ok(facts.len())
    }

    /// The links that the manifest lists and that still lead to the payload; none when it cannot be trusted.
    fn users(&self, payload: &Path) -> Option<BTreeSet<PathBuf>> {
        let manifest = with_end(payload, ".refs");
        entry(&manifest).ok()?.filter(fs::Metadata::is_file)?;
        let content = read_small(&manifest, LIMIT).ok()??;
        let text = String::from_utf8(content).ok()?;
        // Every line was written whole before its link appeared; an unfinished last one may be a user.
        if !text.is_empty() && !text.ends_with('\n') {
            return None;
        }
        let mut users = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let parts: Vec<&str> = line.split('/').collect();
            let [repo, "blobs", name] = parts[..] else {
                return None;
            };
            if !repo.contains("--") || [repo, name].iter().any(|part| matches!(*part, "." | "..")) {
                return None;
            }
            let link = self.root.join(line);
            // A link that cannot be looked at may be a user.
            let lying = entry(&link).ok()?;
            if lying.is_some_and(|lying| lying.is_symlink())
                && self.target(&link).as_deref() == Some(payload)
            {
                users.insert(link);
            }
        }
        Some(users)
    }

    fn rewrite(&self, manifest: &Path, users: &BTreeSet<PathBuf>) -> Result<()> {
        let lines: Vec<String> = users
            .iter()
            .filter_map(|user| user.strip_prefix(&self.root).ok())
            .map(|user| format!("{}\n", user.display()))
            .collect();
        let facts = fs::symlink_metadata(manifest)
            .map_err(|error| CacheError::io("look at", manifest, error))?;
        let temporary = with_end(manifest, &format!(".{:08x}.tmp", nonce()));
        write_new(&temporary, lines.concat().as_bytes())?;
        // Other users of the same cache append to it.
        if let Err(error) = fs::set_permissions(
            &temporary,
            fs::Permissions::from_mode(facts.permissions().mode() & 0o777),
        ) {
            remove(&temporary)?;
            return Err(CacheError::io("set the mode of", temporary, error));
        }
        rename(&temporary, manifest)
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Takes the lock of a payload if it is free.
fn lock(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o666);
    let file = no_follow(&mut options)
        .open(path)
        .map_err(|error| CacheError::io("open the lock", path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(CacheError::io(
            "lock",
            path,
            io::Error::from(io::ErrorKind::WouldBlock),
        )),
        Err(fs::TryLockError::Error(error)) => Err(CacheError::io("lock", path, error)),
    }
}
