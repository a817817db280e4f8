//! Removal of revisions, as `hf cache rm` does it, but safe to interrupt.
//!
//! Everything that goes is first moved, by renames, into a folder that no reader looks at; only then is it deleted.
//! So a crash leaves the cache as it was, or without the revision, and a rest that [`Cache::sweep_trash`] deletes.
//! Refs go first, then snapshots, then blobs: no ref ever names a snapshot that is gone. No link is followed: of a
//! blob that is a link, the link goes, and what it leads to only by the rules of the shared store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::files::{entry, no_follow, nonce, sync_dir};
use super::part::{allocated, list_names};
use super::publish::rename;
use super::scan::{Scan, ScannedRepo, ScannedRevision};
use super::shared::SharedStore;
use super::{Cache, CacheError, Result};
use crate::domain::{CacheTarget, Removal, RemovedRevision, RepoId};

/// What a removal moved out of sight is its own business for so long.
const TRASH_AGE: Duration = Duration::from_hours(1);

/// A removal that was thought through and not begun.
#[derive(Debug, Clone)]
pub(crate) struct RemovalPlan {
    /// What it takes out, for people.
    pub(crate) removal: Removal,
    repos: Vec<RepoPlan>,
    /// Links into the shared store that go.
    links: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone)]
struct RepoPlan {
    folder: PathBuf,
    whole: bool,
    refs: Vec<PathBuf>,
    snapshots: Vec<PathBuf>,
    blobs: Vec<PathBuf>,
}

/// What lies in the trash and what it led to.
#[derive(Debug)]
pub(crate) struct Trash {
    folder: PathBuf,
    payloads: BTreeSet<PathBuf>,
}

impl Cache {
    /// Thinks a removal through; changes nothing.
    pub(crate) fn plan_removal(&self, targets: &[CacheTarget]) -> Result<RemovalPlan> {
        let Scan { repos, .. } = self.scan()?;
        let mut removal = Removal {
            dry_run: true,
            ..Removal::default()
        };
        let mut chosen: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for target in targets {
            let found = find(&repos, target);
            if found.is_empty() {
                removal.missing.push(target.to_string());
            }
            for (repo, revision) in found {
                let revisions = chosen.entry(repo).or_default();
                revisions.extend(revision);
            }
        }
        let shared = SharedStore::of(&self.root);
        let mut plan = RemovalPlan {
            removal,
            repos: Vec::new(),
            links: BTreeSet::new(),
        };
        for (repo, revisions) in chosen {
            plan.add(&repos[repo], &revisions, shared.as_ref());
        }
        if let Some(store) = shared {
            plan.removal.freed_size += store.freed_by(&plan.links);
        }
        Ok(plan)
    }

    /// Moves everything that goes out of sight. Refused while another program downloads into one of the repositories.
    pub(crate) fn begin_removal(&self, plan: &RemovalPlan) -> Result<Trash> {
        let locks = self.root.join(".locks");
        self.ensure_dir(&locks)?;
        for repo in &plan.repos {
            self.refuse_locked(repo)?;
        }
        let shared = SharedStore::of(&self.root);
        let payloads = plan
            .links
            .iter()
            .filter_map(|link| shared.as_ref()?.target(link))
            .collect();
        let folder = locks.join(format!("{:08x}.trash", nonce()));
        DirBuilder::new()
            .create(&folder)
            .map_err(|error| CacheError::io("create the folder", &folder, error))?;
        let trash = Trash { folder, payloads };
        let mut number = 0;
        for repo in &plan.repos {
            let going: Vec<&PathBuf> = if repo.whole {
                vec![&repo.folder]
            } else {
                let parts = [&repo.refs, &repo.snapshots, &repo.blobs];
                parts.into_iter().flatten().collect()
            };
            let mut folders = BTreeSet::new();
            for path in going {
                if entry(path)?.is_none() {
                    continue;
                }
                number += 1;
                rename(path, &trash.folder.join(number.to_string()))?;
                folders.extend(path.parent());
            }
            folders.into_iter().try_for_each(sync_dir)?;
        }
        Ok(trash)
    }

    /// Moves a whole repository out of sight, and says how many bytes its blobs and parts take; none when there is none.
    pub(crate) fn begin_removal_of(&self, repo: &RepoId) -> Result<Option<(Trash, u64)>> {
        let folder = self.repo_dir(repo);
        if entry(&folder)?.is_none() {
            return Ok(None);
        }
        let blobs = list_names(&self.blobs_dir(repo))?;
        let bytes = blobs.iter().map(|(_, facts)| allocated(facts)).sum();
        let plan = RemovalPlan {
            removal: Removal::default(),
            repos: vec![RepoPlan {
                folder,
                whole: true,
                refs: Vec::new(),
                snapshots: Vec::new(),
                blobs: Vec::new(),
            }],
            links: BTreeSet::new(),
        };
        Ok(Some((self.begin_removal(&plan)?, bytes)))
    }

    /// Deletes what was moved out of sight, and shared content that nobody uses any more.
    pub(crate) fn finish_removal(&self, trash: &Trash) -> Result<()> {
        delete_tree(&trash.folder)?;
        if let Some(store) = SharedStore::of(&self.root) {
            for payload in &trash.payloads {
                store.sweep(payload);
            }
        }
        Ok(())
    }

    /// Deletes what interrupted removals left; how many there were.
    pub(crate) fn sweep_trash(&self, now: DateTime<Utc>) -> Result<u64> {
        let locks = self.root.join(".locks");
        let mut swept = 0;
        for (name, facts) in list_names(&locks)? {
            let old = now.timestamp() - facts.mtime() > TRASH_AGE.as_secs().cast_signed();
            if facts.is_dir() && is_trash(&name) && old {
                delete_tree(&locks.join(name))?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Refuses when a blob that goes is being downloaded by someone.
    fn refuse_locked(&self, repo: &RepoPlan) -> Result<()> {
        let Some(name) = repo.folder.file_name() else {
            return Ok(());
        };
        let locks = self.root.join(".locks").join(name);
        for (name, facts) in list_names(&locks)? {
            let digest = name.strip_suffix(".lock").unwrap_or(&name);
            let goes = repo.whole || repo.blobs.iter().any(|blob| blob.ends_with(digest));
            if facts.is_file() && goes && is_held(&locks.join(&name))? {
                return Err(CacheError::InUse {
                    path: repo.folder.join("blobs").join(digest),
                });
            }
        }
        Ok(())
    }
}

impl RemovalPlan {
    /// Whether there is nothing to remove.
    pub(crate) fn is_empty(&self) -> bool {
        self.repos.is_empty()
    }

    fn add(&mut self, repo: &ScannedRepo, chosen: &BTreeSet<usize>, shared: Option<&SharedStore>) {
        let (go, stay): (Vec<_>, Vec<_>) = repo
            .revisions
            .iter()
            .enumerate()
            .partition(|(index, _)| chosen.contains(index));
        let go: Vec<&ScannedRevision> = go.into_iter().map(|(_, revision)| revision).collect();
        let whole = stay.is_empty();
        let used: BTreeSet<&PathBuf> = stay
            .iter()
            .flat_map(|(_, revision)| revision.blobs.keys())
            .collect();
        let folder = repo.facts.path.clone();
        let own_blobs = repo.blobs_dir.as_deref();
        let mut blobs: BTreeMap<PathBuf, u64> = BTreeMap::new();
        for revision in &go {
            for (blob, length) in &revision.blobs {
                if used.contains(blob) {
                    continue;
                }
                // What lies in the snapshot goes with it; what lies elsewhere is not this cache's to delete.
                let inside = blob.starts_with(&revision.snapshot);
                if inside || (own_blobs.is_some() && blob.parent() == own_blobs) {
                    blobs.insert(blob.clone(), length.unwrap_or(0));
                }
            }
        }
        if whole {
            for blob in &repo.unlinked {
                let length = fs::metadata(blob).map_or(0, |facts| facts.len());
                blobs.insert(blob.clone(), length);
            }
            let partial = repo.facts.partial.iter().map(|file| file.size);
            self.removal.freed_size += partial.sum::<u64>();
        }
        for (blob, length) in &blobs {
            if shared.is_some_and(|store| store.target(blob).is_some()) {
                self.links.insert(blob.clone());
            } else {
                self.removal.freed_size += length;
            }
        }
        for revision in &go {
            let facts = repo.facts.revisions.iter();
            let size = facts
                .filter(|facts| facts.commit == revision.commit)
                .map(|facts| facts.size_on_disk);
            self.removal.revisions.push(RemovedRevision {
                repo_type: repo.facts.repo_type.clone(),
                repo_id: repo.facts.repo_id.clone(),
                commit: revision.commit.clone(),
                refs: revision.refs.clone(),
                size_on_disk: size.sum(),
                whole_repo: whole,
                models: Vec::new(),
            });
        }
        let refs = go.iter().flat_map(|revision| &revision.refs);
        self.repos.push(RepoPlan {
            refs: refs.map(|name| folder.join("refs").join(name)).collect(),
            snapshots: go
                .iter()
                .map(|revision| revision.snapshot.clone())
                .collect(),
            blobs: blobs
                .into_keys()
                .filter(|blob| own_blobs.is_some_and(|own| blob.starts_with(own)))
                .collect(),
            folder,
            whole,
        });
    }
}

/// The repositories and revisions that a target means; a repository without revisions stands alone.
fn find(repos: &[ScannedRepo], target: &CacheTarget) -> Vec<(usize, Vec<usize>)> {
    let matching = |repo: &ScannedRepo| -> Option<Vec<usize>> {
        let is = |kind: &str, id: &RepoId| {
            repo.facts.repo_type == kind && repo.facts.repo_id == id.as_str()
        };
        let those = |wanted: &dyn Fn(&ScannedRevision) -> bool| {
            let revisions = repo.revisions.iter().enumerate();
            let wanted = revisions.filter(|(_, revision)| wanted(revision));
            wanted.map(|(index, _)| index).collect()
        };
        match target {
            CacheTarget::Repo { repo_type, repo_id } => {
                is(repo_type, repo_id).then(|| those(&|_| true))
            }
            CacheTarget::Revision {
                repo_type,
                repo_id,
                revision,
            } => is(repo_type, repo_id).then(|| {
                let name = revision.as_str();
                those(&|found| found.commit == name || found.refs.iter().any(|r| r == name))
            }),
            CacheTarget::Commit(commit) => Some(those(&|found| found.commit == *commit)),
        }
    };
    let whole = matches!(target, CacheTarget::Repo { .. });
    repos
        .iter()
        .enumerate()
        .filter_map(|(index, repo)| Some((index, matching(repo)?)))
        .filter(|(_, revisions)| whole || !revisions.is_empty())
        .collect()
}

/// Whether someone holds the lock now.
fn is_held(path: &Path) -> Result<bool> {
    let mut options = OpenOptions::new();
    let file: File = match no_follow(options.read(true).write(true)).open(path) {
        Ok(file) => file,
        Err(error) if super::files::is_absent(&error) => return Ok(false),
        Err(error) => return Err(CacheError::io("open the lock", path, error)),
    };
    Ok(matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn is_trash(name: &str) -> bool {
    name.strip_suffix(".trash")
        .is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Deletes a folder and all below it; links are deleted, not followed.
fn delete_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if !super::files::is_absent(&error) => {
            Err(CacheError::io("delete", path, error))
        }
        _ => Ok(()),
    }
}
