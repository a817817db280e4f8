//! Which files a verify job compares: the pinned plan, the saved listing, or the names of the blobs.
//!
//! The commit is the one that is here, never a newer one; the hub is asked only for what the cache cannot tell.

use std::collections::HashSet;
use std::sync::Arc;

use super::fetch::blocking;
use super::plan::{self, Plan, Wanted};
use super::run::{Run, Stop};
use crate::cache::CacheError;
use crate::catalog::Evidence;
use crate::domain::{CommitHash, Failure, FailureCode, Model, PlannedFile, RepoPath};

/// The files to compare.
struct Found {
    commit: CommitHash,
    files: Vec<PlannedFile>,
    /// The fingerprint of the selection, when it chose them from a listing now. What a stored plan or the links of a
    /// snapshot name makes no new plan.
    selection: Option<String>,
}

/// The commit that is here and its files, pinned; the hub is asked only for what the cache cannot tell.
pub(super) async fn make(run: &Arc<Run>, wanted: &Wanted) -> Result<Plan, Stop> {
    let found = match pinned(run).await? {
        Some(pinned) => pinned,
        None => find_files(run, wanted).await?,
    };
    pin(run, found.commit, found.files, found.selection.as_deref()).await
}

/// Stores what a comparison reads; with a selection these files are its plan from now on.
pub(super) async fn pin(
    run: &Run,
    commit: CommitHash,
    files: Vec<PlannedFile>,
    selection: Option<&str>,
) -> Result<Plan, Stop> {
    let (store, clock) = (&run.context.store, &run.context.clock);
    let started = clock.monotonic();
    let rows = store
        .plan_verify(run.claim, &commit, &files, selection, clock.now())
        .await;
    let plan = Plan {
        commit,
        rows: run.renewed(started, rows)?,
        whole_tree: None,
    };
    run.live.set_total(plan.bytes());
    Ok(plan)
}

/// The plan of an earlier attempt of this job.
async fn pinned(run: &Run) -> Result<Option<Found>, Stop> {
    let Some(commit) = run.job.commit.clone() else {
        return Ok(None);
    };
    let rows = run.context.store.files_of_job(run.job.key).await;
    let rows = rows.map_err(|error| run.stopped_by(&error))?;
    let files: Vec<_> = rows.into_iter().map(|row| row.file).collect();
    Ok((!files.is_empty()).then_some(Found {
        commit,
        files,
        selection: None,
    }))
}

/// There is nothing to compare.
pub(super) fn nothing_here(model: &Model) -> Failure {
    let message = format!("nothing of `{}` is in the cache", model.id());
    Failure::new(FailureCode::FileNotFound, message).with_remedy("start its download")
}

async fn find_files(run: &Arc<Run>, wanted: &Wanted) -> Result<Found, Stop> {
    let context = &run.context;
    let presence = context.presence(&run.model).await?;
    if let Some(commit) = &presence.commit {
        let rows = context.planned_rows(&run.model, wanted, commit).await?;
        if !rows.is_empty() {
            return Ok(Found {
                commit: commit.clone(),
                files: rows.into_iter().map(|row| row.file).collect(),
                selection: None,
            });
        }
        if presence.exists {
            return match local_files(run, wanted, commit).await? {
                Some(found) => Ok(found),
                None => listed(run, wanted, commit.clone()).await,
            };
        }
    }
    if !run.job.repair {
        return Err(nothing_here(&run.model).into());
    }
    if context.options.offline {
        return Err(plan::offline(&run.model).into());
    }
    let (commit, _) = plan::resolve(run, wanted).await?;
    listed(run, wanted, commit).await
}

/// The wanted files as the saved listing has them, else as the links of a complete snapshot name them.
async fn local_files(
    run: &Arc<Run>,
    wanted: &Wanted,
    commit: &CommitHash,
) -> Result<Option<Found>, Stop> {
    let key = run.context.plan_key(wanted)?;
    let (cache, catalog) = (
        Arc::clone(&run.context.cache),
        Arc::clone(&run.context.catalog),
    );
    let (wanted, commit) = (wanted.clone(), commit.clone());
    let found = blocking(move || {
        let (repo, selection, kind) = (&wanted.repo_id, &wanted.selection, wanted.kind);
        let failure = |error: CacheError| error.failure();
        if let Some(tree) = cache.read_tree(repo, &commit).map_err(failure)? {
            let selected = catalog.plan(selection, kind, repo, &tree)?;
            let chosen = selected.files.iter();
            let files = chosen.map(|choice| tree[choice.index].clone().into());
            return Ok(Some(Found {
                files: files.collect(),
                commit,
                selection: Some(key),
            }));
        }
        let Some(snapshot) = cache.snapshot(repo, &commit).map_err(failure)? else {
            return Ok(None);
        };
        let sizes = snapshot.sizes();
        let shards = |index: &RepoPath| cache.read_shards(repo, &commit, index).ok().flatten();
        let evidence = Evidence {
            local: &sizes,
            tree: None,
            plan: None,
            shards: &shards,
        };
        let proof = catalog.check(selection, kind, repo, &evidence)?;
        if !proof.complete {
            return Ok(None);
        }
        let needed: HashSet<RepoPath> = proof.files.into_iter().collect();
        let files = snapshot.files.into_iter();
        let named = files
            .filter(|file| needed.contains(&file.path))
            .map(|file| {
                file.digest.map(|digest| PlannedFile {
                    path: file.path,
                    size: file.size,
                    digest,
                })
            });
        let files = named.collect::<Option<Vec<_>>>();
        Ok::<_, Failure>(files.map(|files| Found {
            commit,
            files,
            selection: None,
        }))
    });
    Ok(found.await??.filter(|found| !found.files.is_empty()))
}

/// The wanted files as the hub lists them.
async fn listed(run: &Run, wanted: &Wanted, commit: CommitHash) -> Result<Found, Stop> {
    let context = &run.context;
    if context.options.offline {
        let message = format!(
            "the digests of `{}` are not known here: a part of it is missing, or its files are no links",
            run.model.id()
        );
        return Err(Failure::new(FailureCode::Offline, message)
            .with_remedy("unset HF_HUB_OFFLINE to ask the hub for them")
            .into());
    }
    let key = context.plan_key(wanted)?;
    let outline = run.unless_halted(context.outline(wanted, &commit)).await?;
    Ok(Found {
        files: outline.files(),
        commit,
        selection: Some(key),
    })
}
