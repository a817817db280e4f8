//! What of a model is in the cache: found without a request.
//!
//! Proof is the stored plan of a commit when there is one; else the template, the listing that Python left, and the
//! index of sharded weights.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::context::Context;
use super::fetch::blocking;
use super::plan::Wanted;
use super::run::store_failure;
use crate::cache::Cache;
use crate::catalog::{Catalog, Evidence};
use crate::domain::{
    CacheState, CommitHash, Failure, FailureCode, FileRow, Model, Origin, Readiness, RepoId,
    RepoPath, UrlFile, version_of,
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
        let wanted = match (&model.spec.origin, Wanted::of(&model.spec)) {
            (Origin::Handler { model_path }, _) => {
                return of_handler(model, model_path.clone()).await;
            }
            (Origin::Urls { files }, _) => return self.of_urls(model, files).await,
            (Origin::Hub { .. }, None) => return Ok(Presence::default()),
            (Origin::Hub { .. }, Some(wanted)) => wanted,
        };
        let mut best: Option<Presence> = None;
        for commit in self.candidates(model, &wanted).await? {
            let rows = self.planned_rows(model, &wanted, &commit).await?;
            let wrong = if rows.is_empty() {
                self.known_wrong(model, &commit).await?
            } else {
                HashSet::new()
            };
            let (cache, catalog) = (Arc::clone(&self.cache), Arc::clone(&self.catalog));
            let then = wanted.clone();
            let found = blocking(move || {
                if rows.is_empty() {
                    by_template(&cache, &catalog, &then, &commit, &wrong)
                } else {
                    Ok(by_plan(&cache, &then.repo_id, commit, &rows))
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

    /// Files by addresses are here when those of the stored plan are: where there is none, nothing was fetched.
    async fn of_urls(&self, model: &Model, files: &[UrlFile]) -> Result<Presence, Failure> {
        let Some(place) = self.place(&model.spec) else {
            return Ok(Presence::default());
        };
        let version = version_of(files);
        let key = super::url_supply::plan_key(&version);
        let rows = self
            .store
            .files_of_plan(model.key, &version, Some(&key))
            .await
            .map_err(|error| store_failure(&error))?;
        if rows.is_empty() {
            return Ok(Presence::default());
        }
        blocking(move || by_plan(&place.cache, &place.repo_id, version, &rows)).await
    }

    /// The commits that may serve the revision: the one that was complete here, then the one that its ref names.
    async fn candidates(&self, model: &Model, wanted: &Wanted) -> Result<Vec<CommitHash>, Failure> {
        let ready = model.readiness.as_ref();
        let (cache, then) = (Arc::clone(&self.cache), wanted.clone());
        let shown = blocking(move || cache.read_ref(&then.repo_id, &then.revision)).await?;
        let shown = shown.map_err(|error| error.failure())?;
        let ready = ready.and_then(|ready| ready.commit.clone());
        let same = ready == shown;
        Ok(ready.into_iter().chain(shown.filter(|_| !same)).collect())
    }

    /// The stored plan of the commit, if this selection made it.
    pub(super) async fn planned_rows(
        &self,
        model: &Model,
        wanted: &Wanted,
        commit: &CommitHash,
    ) -> Result<Vec<FileRow>, Failure> {
        // A template that is gone says nothing against the plan that it made: then the last one counts.
        let key = self.plan_key(wanted).ok();
        self.store
            .files_of_plan(model.key, commit, key.as_deref())
            .await
            .map_err(|error| store_failure(&error))
    }

    /// Files of the commit that a comparison found wrong, whichever selection they were compared for.
    async fn known_wrong(
        &self,
        model: &Model,
        commit: &CommitHash,
    ) -> Result<HashSet<RepoPath>, Failure> {
        let rows = self.store.files_of(model.key, commit).await;
        let rows = rows.map_err(|error| store_failure(&error))?;
        let wrong = rows.into_iter().filter(|row| row.corrupt);
        Ok(wrong.map(|row| row.file.path).collect())
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
    wanted: &Wanted,
    commit: &CommitHash,
    wrong: &HashSet<RepoPath>,
) -> Result<Presence, Failure> {
    let repo_id = &wanted.repo_id;
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
    let found = Presence {
        exists: !sizes.is_empty(),
        commit: Some(snapshot.commit.clone()),
        path: Some(snapshot.dir.clone()),
        ..Presence::default()
    };
    let proof = match catalog.check(&wanted.selection, wanted.kind, repo_id, &evidence) {
        Ok(proof) => proof,
        // A look must not fail over a template that was removed: what cannot be proven is not complete.
        Err(failure) if failure.code == FailureCode::TemplateUnknown => {
            return Ok(Presence {
                missing: vec![failure.message],
                ..found
            });
        }
        Err(failure) => return Err(failure),
    };
    let corrupt: Vec<String> = proof
        .files
        .iter()
        .filter(|path| wrong.contains(*path))
        .take(MOST_NAMED)
        .map(ToString::to_string)
        .collect();
    Ok(Presence {
        complete: proof.complete && corrupt.is_empty(),
        missing: proof.missing.into_iter().take(MOST_NAMED).collect(),
        corrupt,
        bytes: proof.bytes,
        files: proof.files.len() as u64,
        ..found
    })
}

async fn of_handler(model: &Model, path: Option<PathBuf>) -> Result<Presence, Failure> {
    let looked_at = path.clone();
    let there = blocking(move || looked_at.is_none_or(|path| path.exists())).await?;
    let complete = model.readiness.is_some() && there;
    let gone = path
        .as_ref()
        .filter(|_| model.readiness.is_some() && !there);
    let bytes = model.readiness.as_ref().map_or(0, |ready| ready.bytes);
    let files = model.readiness.as_ref().map_or(0, |ready| ready.files);
    Ok(Presence {
        exists: complete,
        complete,
        missing: gone
            .map(|path| path.display().to_string())
            .into_iter()
            .collect(),
        path,
        bytes,
        files,
        ..Presence::default()
    })
}
