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
    CommitHash, Failure, FileRow, Kind, Model, Origin, Readiness, RepoId, RepoPath, Revision,
    Selection,
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
    /// Bytes of the files that it needs, when complete.
    pub(crate) bytes: u64,
    /// Number of the files that it needs, when complete.
    pub(crate) files: u64,
}

impl Presence {
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
        let commit = model
            .readiness
            .as_ref()
            .and_then(|ready| ready.commit.clone())
            .or_else(|| revision.as_commit());
        let planned = match &commit {
            Some(commit) => self.planned_rows(model, commit).await?,
            None => Vec::new(),
        };
        let (cache, catalog, kind) = (
            Arc::clone(&self.cache),
            Arc::clone(&self.catalog),
            model.spec.kind,
        );
        let planned = commit
            .filter(|_| !planned.is_empty())
            .map(|commit| (commit, planned));
        if let Some((commit, rows)) = planned {
            return blocking(move || by_plan(&cache, &repo_id, commit, &rows)).await;
        }
        let (cache_then, repo_then, revision_then) =
            (Arc::clone(&cache), repo_id.clone(), revision.clone());
        let shown = blocking(move || cache_then.read_ref(&repo_then, &revision_then)).await?;
        let rows = match shown.map_err(|error| error.failure())? {
            Some(commit) => {
                let rows = self.planned_rows(model, &commit).await?;
                (!rows.is_empty()).then_some((commit, rows))
            }
            None => None,
        };
        blocking(move || match rows {
            Some((commit, rows)) => Ok(by_plan(&cache, &repo_id, commit, &rows)),
            None => by_template(&cache, &catalog, &repo_id, &revision, &selection, kind),
        })
        .await?
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
    for row in rows {
        if cache.shows_file(repo_id, &commit, &row.file) {
            presence.exists = true;
            presence.files += 1;
        } else if presence.missing.len() < MOST_NAMED {
            presence.missing.push(row.file.path.to_string());
        }
    }
    presence.bytes = super::plan::bytes_of(rows);
    presence.complete = presence.missing.is_empty();
    presence.commit = Some(commit);
    presence
}

fn by_template(
    cache: &Cache,
    catalog: &Catalog,
    repo_id: &RepoId,
    revision: &Revision,
    selection: &Selection,
    kind: Kind,
) -> Result<Presence, Failure> {
    let snapshot = cache
        .lookup(repo_id, revision)
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
