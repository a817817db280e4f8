//! What of a model is in the cache: found without a request.
//!
//! Proof is the stored plan of a commit when there is one; else the template, the listing that Python left, and the
//! index of sharded weights.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::context::Context;
use super::fetch::blocking;
use super::run::store_failure;
use crate::cache::Cache;
use crate::catalog::{Catalog, Evidence};
use crate::domain::{
    CacheState, CommitHash, Failure, FileRow, Kind, Model, Origin, Readiness, RepoId, RepoPath,
    Revision, Selection,
};

/// At most this many missing files are named.
const MOST_NAMED: usize = 100;

/// What of a model is in the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    /// Whether any of its files is there.
    pub(crate) exists: bool,
    /// Whether every file that it needs is there.
    pub(crate) complete: bool,
    /// The commit of the snapshot.
    pub(crate) commit: Option<CommitHash>,
    /// The snapshot's folder, or where the app puts the model.
    pub(crate) path: Option<PathBuf>,
    /// Files known to be missing.
    pub(crate) missing: Vec<String>,
    /// Files whose content is not what their digest or length says.
    pub(crate) corrupt: Vec<String>,
    /// Bytes of the files that it needs, when complete.
    pub(crate) bytes: u64,
    /// Number of the files that it needs, when complete.
    pub(crate) files: u64,
}

impl Presence {
    /// What is there, in one word.
    pub(crate) fn state(&self) -> CacheState {
        if self.complete {
            CacheState::Complete
        } else if !self.corrupt.is_empty() {
            CacheState::Corrupt
        } else if self.exists {
            CacheState::Partial
        } else {
            CacheState::Absent
        }
    }

    /// The readiness of a complete model whose hashes nobody compared.
    pub(crate) fn readiness(&self, now: DateTime<Utc>) -> Option<Readiness> {
        self.complete.then(|| Readiness {
            commit: self.commit.clone(),
            bytes: self.bytes,
            files: self.files,
            verified: false,
            since: now,
        })
    }
}

impl Context {
    /// Looks what of the model is in the cache.
    pub(crate) async fn presence(&self, model: &Model) -> Result<Presence, Failure> {
        let (repo_id, revision, selection) = match &model.spec.origin {
            Origin::Handler { model_path } => return of_handler(model, model_path.clone()).await,
            Origin::Hub {
                repo_id,
                revision,
                selection,
            } => (repo_id.clone(), revision.clone(), selection.clone()),
        };
        let mut best: Option<Presence> = None;
        for commit in self.candidates(model, &repo_id, &revision).await? {
            let rows = self.planned_rows(model, &commit).await?;
            let (cache, catalog) = (Arc::clone(&self.cache), Arc::clone(&self.catalog));
            let (repo, selection, kind) = (repo_id.clone(), selection.clone(), model.spec.kind);
            let found = blocking(move || {
                if rows.is_empty() {
                    by_template(&cache, &catalog, &repo, &commit, &selection, kind)
                } else {
                    Ok(by_plan(&cache, &repo, commit, &rows))
                }
            })
            .await??;
            if found.complete {
                return Ok(found);
            }
            best = Some(best.filter(|best| best.exists).unwrap_or(found));
        }
        Ok(best.unwrap_or_default())
    }

    /// The commits that may serve the revision: the one that was complete here, then the one that its ref names.
    async fn candidates(
        &self,
        model: &Model,
        repo_id: &RepoId,
        revision: &Revision,
    ) -> Result<Vec<CommitHash>, Failure> {
        let ready = model.readiness.as_ref();
        let (cache, repo, revision) = (Arc::clone(&self.cache), repo_id.clone(), revision.clone());
        let shown = blocking(move || cache.read_ref(&repo, &revision)).await?;
        let shown = shown.map_err(|error| error.failure())?;
        let ready = ready.and_then(|ready| ready.commit.clone());
        let same = ready == shown;
        Ok(ready.into_iter().chain(shown.filter(|_| !same)).collect())
    }

    async fn planned_rows(
        &self,
        model: &Model,
        commit: &CommitHash,
    ) -> Result<Vec<FileRow>, Failure> {
        self.store
            .files_of(model.key, commit)
            .await
            .map_err(|error| store_failure(&error))
    }
}

fn by_plan(cache: &Cache, repo_id: &RepoId, commit: CommitHash, rows: &[FileRow]) -> Presence {
    let mut presence = Presence {
        path: Some(cache.snapshot_dir(repo_id, &commit)),
        ..Presence::default()
    };
    let mut whole = true;
    for row in rows {
        let shown = cache.shown_length(repo_id, &commit, &row.file.path);
        let lacking = match shown {
            Some(length) if length == row.file.size && !row.corrupt => {
                presence.files += 1;
                presence.exists = true;
                continue;
            }
            Some(_) => {
                presence.exists = true;
                &mut presence.corrupt
            }
            None => &mut presence.missing,
        };
        whole = false;
        if lacking.len() < MOST_NAMED {
            lacking.push(row.file.path.to_string());
        }
    }
    presence.bytes = super::plan::bytes_of(rows);
    presence.complete = whole;
    presence.commit = Some(commit);
    presence
}

fn by_template(
    cache: &Cache,
    catalog: &Catalog,
    repo_id: &RepoId,
    commit: &CommitHash,
    selection: &Selection,
    kind: Kind,
) -> Result<Presence, Failure> {
    let snapshot = cache
        .snapshot(repo_id, commit)
        .map_err(|error| error.failure())?;
    let Some(snapshot) = snapshot else {
        return Ok(Presence::default());
    };
    let tree = cache
        .read_tree(repo_id, &snapshot.commit)
        .map_err(|error| error.failure())?;
    let sizes = snapshot.sizes();
    let shards = |index: &RepoPath| {
        cache
            .read_shards(repo_id, &snapshot.commit, index)
            .ok()
            .flatten()
    };
    let evidence = Evidence {
        local: &sizes,
        tree: tree.as_deref(),
        plan: None,
        shards: &shards,
    };
    let proof = catalog.check(selection, kind, repo_id, &evidence)?;
    Ok(Presence {
        exists: !sizes.is_empty(),
        complete: proof.complete,
        commit: Some(snapshot.commit),
        path: Some(snapshot.dir),
        missing: proof.missing.into_iter().take(MOST_NAMED).collect(),
        corrupt: Vec::new(),
        bytes: proof.bytes,
        files: proof.files.len() as u64,
    })
}

async fn of_handler(model: &Model, path: Option<PathBuf>) -> Result<Presence, Failure> {
    let looked_at = path.clone();
    let there = blocking(move || looked_at.is_none_or(|path| path.exists())).await?;
    let complete = model.readiness.is_some() && there;
    let bytes = model.readiness.as_ref().map_or(0, |ready| ready.bytes);
    let files = model.readiness.as_ref().map_or(0, |ready| ready.files);
    Ok(Presence {
        exists: complete,
        complete,
        path,
        bytes,
        files,
        ..Presence::default()
    })
}
