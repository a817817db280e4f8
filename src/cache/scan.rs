//! A look over the whole cache, whoever filled it: repositories, revisions, refs, sizes, unfinished downloads.
//!
//! Counts as `huggingface_hub` does: a file is the first hop of a snapshot's entry, sizes are lengths, content that
//! is shared counts once. It is more patient: a dangling link or a ref to nowhere costs a warning, not the repository.
//! Nothing is changed, and no link to a folder is followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, Utc};

use super::files::{entry, read_small};
use super::part::{allocated, list_names};
use super::shared::SharedStore;
use super::{Cache, Result};
use crate::domain::{CacheReport, CachedRepo, CachedRevision, PartialFile};

/// Names that operating systems leave everywhere.
const IGNORED: [&str; 3] = [".DS_Store", "Thumbs.db", "desktop.ini"];
/// Folder prefixes and the types of repositories that they mean.
const TYPES: [(&str, &str); 4] = [
    ("models", "model"),
    ("datasets", "dataset"),
    ("spaces", "space"),
    ("kernels", "kernel"),
];

/// A repository with the paths behind its numbers.
#[derive(Debug, Clone)]
pub(super) struct ScannedRepo {
    pub(super) facts: CachedRepo,
    pub(super) revisions: Vec<ScannedRevision>,
    /// Finished blobs that no snapshot shows.
    pub(super) unlinked: Vec<PathBuf>,
    /// The folder of its blobs; none when it is a link.
    pub(super) blobs_dir: Option<PathBuf>,
}

/// A revision with the paths behind its numbers.
#[derive(Debug, Clone)]
pub(super) struct ScannedRevision {
    pub(super) commit: String,
    pub(super) snapshot: PathBuf,
    pub(super) refs: Vec<String>,
    /// The first hop of every entry, with its length; none for one that leads nowhere.
    pub(super) blobs: BTreeMap<PathBuf, Option<u64>>,
}

/// The cache with the paths behind its numbers.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub(super) repos: Vec<ScannedRepo>,
    pub(super) warnings: Vec<String>,
    pub(super) size_on_disk: u64,
}

impl Cache {
    /// What lies in the cache; which registrations it serves is left to the caller.
    pub(crate) fn report(&self) -> Result<CacheReport> {
        let scan = self.scan()?;
        let repos: Vec<CachedRepo> = scan.repos.into_iter().map(|repo| repo.facts).collect();
        let partial = repos.iter().flat_map(|repo| &repo.partial);
        Ok(CacheReport {
            cache_dir: self.root.clone(),
            size_on_disk: scan.size_on_disk,
            partial_size: partial.map(|file| file.size).sum(),
            repos,
            warnings: scan.warnings,
        })
    }

    pub(super) fn scan(&self) -> Result<Scan> {
        let mut scan = Scan {
            repos: Vec::new(),
            warnings: Vec::new(),
            size_on_disk: 0,
        };
        let shared = SharedStore::of(&self.root);
        let mut physical: BTreeMap<PathBuf, u64> = BTreeMap::new();
        let mut names = list_names(&self.root)?;
        names.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, facts) in names {
            let known =
                IGNORED.contains(&name.as_str()) || name == ".locks" || name == "CACHEDIR.TAG";
            if known || (name == "blobs" && shared.is_some()) {
                continue;
            }
            let path = self.root.join(&name);
            let Some((repo_type, repo_id)) = meaning(&name).filter(|_| facts.is_dir()) else {
                scan.warnings
                    .push(format!("{} is no repository of the cache", path.display()));
                continue;
            };
            let repo = scan_repo(&path, repo_type, &repo_id, &facts, &mut scan.warnings)?;
            for revision in &repo.revisions {
                for (blob, length) in &revision.blobs {
                    let payload = shared.as_ref().and_then(|store| store.target(blob));
                    let counted = payload.unwrap_or_else(|| blob.clone());
                    physical.insert(counted, length.unwrap_or(0));
                }
            }
            scan.repos.push(repo);
        }
        for (payload, length) in shared.iter().flat_map(SharedStore::payloads) {
            physical.insert(payload, length);
        }
        scan.size_on_disk = physical.values().sum();
        Ok(scan)
    }
}

/// Type and id of the repository that a folder's name means.
fn meaning(name: &str) -> Option<(&'static str, String)> {
    let (prefix, id) = name.split_once("--")?;
    let (_, repo_type) = TYPES.iter().find(|(known, _)| *known == prefix)?;
    Some((repo_type, id.replace("--", "/")))
}

fn scan_repo(
    path: &Path,
    repo_type: &str,
    repo_id: &str,
    folder: &Metadata,
    warnings: &mut Vec<String>,
) -> Result<ScannedRepo> {
    let mut own = BTreeMap::new();
    for name in ["refs", "snapshots", "blobs"] {
        let dir = path.join(name);
        let lying = entry(&dir)?;
        // What lies behind a link is another place's; it is neither counted nor removed.
        if lying.as_ref().is_some_and(|lying| !lying.is_dir()) {
            warnings.push(format!("{} is no folder of its own", dir.display()));
        } else if lying.is_some() {
            own.insert(name, dir);
        }
    }
    let mut refs = match own.get("refs") {
        Some(dir) => read_refs(dir)?,
        None => BTreeMap::new(),
    };
    let mut revisions = Vec::new();
    let mut files: BTreeMap<PathBuf, Metadata> = BTreeMap::new();
    let mut shown = Vec::new();
    let mut names = match own.get("snapshots") {
        Some(dir) => list_names(dir)?,
        None => Vec::new(),
    };
    names.sort_by(|one, other| one.0.cmp(&other.0));
    for (commit, facts) in names {
        if IGNORED.contains(&commit.as_str()) {
            continue;
        }
        let snapshot = path.join("snapshots").join(&commit);
        if !facts.is_dir() {
            warnings.push(format!("{} is no folder", snapshot.display()));
            continue;
        }
        let entries = entries(&snapshot)?;
        let mut blobs = BTreeMap::new();
        let (mut dangling, mut modified) = (0, None::<DateTime<Utc>>);
        for file in &entries {
            let blob = first_hop(file)?;
            let Some(facts) = fs::metadata(&blob).ok().filter(Metadata::is_file) else {
                dangling += 1;
                blobs.insert(blob, None);
                continue;
            };
            blobs.insert(blob.clone(), Some(facts.len()));
            modified = modified.max(Some(written(&facts)));
            files.insert(blob, facts);
        }
        if dangling > 0 {
            warnings.push(format!(
                "{} has {dangling} links that lead nowhere",
                snapshot.display()
            ));
        }
        let names = refs.remove(&commit).unwrap_or_default();
        shown.push(CachedRevision {
            commit: commit.clone(),
            path: snapshot.clone(),
            refs: names.clone(),
            size_on_disk: blobs.values().flatten().sum(),
            files: entries.len() as u64,
            dangling,
            last_modified: modified.unwrap_or_else(|| written(&facts)),
            models: Vec::new(),
            complete: None,
            verified: false,
        });
        revisions.push(ScannedRevision {
            commit,
            snapshot,
            refs: names,
            blobs,
        });
    }
    for (commit, names) in refs {
        warnings.push(format!(
            "{} names the commit {commit}, which is not here",
            path.join("refs").join(&names[0]).display()
        ));
    }
    let rest = match own.get("blobs") {
        Some(dir) => rest_of_blobs(dir, &files)?,
        None => Rest::default(),
    };
    let latest = |of: fn(&Metadata) -> DateTime<Utc>| {
        let times = files.values().map(of);
        times.max().unwrap_or_else(|| of(folder))
    };
    Ok(ScannedRepo {
        facts: CachedRepo {
            repo_type: repo_type.to_owned(),
            repo_id: repo_id.to_owned(),
            path: path.to_owned(),
            size_on_disk: files.values().map(Metadata::len).sum(),
            files: files.len() as u64,
            unlinked_size: rest.unlinked.iter().map(|(_, length)| length).sum(),
            last_accessed: latest(accessed),
            last_modified: latest(written),
            partial: rest.partial,
            revisions: shown,
        },
        revisions,
        unlinked: rest.unlinked.into_iter().map(|(path, _)| path).collect(),
        blobs_dir: own.remove("blobs"),
    })
}

/// Which refs name which commit.
fn read_refs(dir: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let mut by_commit: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in entries(dir)? {
        let Ok(name) = path.strip_prefix(dir) else {
            continue;
        };
        let name = name.to_string_lossy().into_owned();
        let content = read_small(&path, 4096).ok().flatten().unwrap_or_default();
        let commit = String::from_utf8_lossy(&content).trim().to_owned();
        by_commit.entry(commit).or_default().push(name);
    }
    for names in by_commit.values_mut() {
        names.sort();
    }
    Ok(by_commit)
}

/// All files and links below a folder, in order; folders behind links are links.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for (name, facts) in list_names(&folder)? {
            let path = folder.join(&name);
            if facts.is_dir() {
                folders.push(path);
            } else if !IGNORED.contains(&name.as_str()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Where an entry of a snapshot leads by one step; itself when it is no link.
fn first_hop(path: &Path) -> Result<PathBuf> {
    if !entry(path)?.is_some_and(|lying| lying.is_symlink()) {
        return Ok(path.to_owned());
    }
    let target = fs::read_link(path).unwrap_or_default();
    let folder = path.parent().unwrap_or(path);
    Ok(plain(&folder.join(target)))
}

/// The path without `.` and `..`, by its text alone.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// What else lies among the blobs.
#[derive(Default)]
struct Rest {
    partial: Vec<PartialFile>,
    unlinked: Vec<(PathBuf, u64)>,
}

fn rest_of_blobs(dir: &Path, linked: &BTreeMap<PathBuf, Metadata>) -> Result<Rest> {
    let mut rest = Rest::default();
    let linked: BTreeSet<&PathBuf> = linked.keys().collect();
    for (name, facts) in list_names(dir)? {
        let path = dir.join(&name);
        if facts.is_dir() || linked.contains(&path) {
            continue;
        }
        let unfinished = [".part", ".incomplete", ".tmp"];
        if unfinished.iter().any(|end| name.ends_with(end)) {
            // A part has holes: what counts is what it takes.
            let size = allocated(&facts);
            rest.partial.push(PartialFile { name, size });
        } else {
            let length = fs::metadata(&path).map_or(0, |facts| facts.len());
            rest.unlinked.push((path, length));
        }
    }
    rest.partial.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rest)
}

fn written(facts: &Metadata) -> DateTime<Utc> {
    time(facts.mtime(), facts.mtime_nsec())
}

fn accessed(facts: &Metadata) -> DateTime<Utc> {
    time(facts.atime(), facts.atime_nsec())
}

fn time(seconds: i64, nanos: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, u32::try_from(nanos).unwrap_or(0)).unwrap_or_default()
}
