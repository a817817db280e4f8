//! Which files a verify job compares: the pinned plan, the saved listing, or the names of the blobs.
//!
//! The commit is the one that is here, never a newer one; the hub is asked only for what the cache cannot tell.

use std::collections::HashSet;
use std::sync::Arc;

use super::fetch::blocking;
use super::plan::{self, Plan};
use super::run::{Run, Stop};
use crate::cache::CacheError;
use crate::catalog::Evidence;
use crate::domain::{
    CommitHash, Failure, FailureCode, PlannedFile, RepoId, RepoPath, Revision, Selection,
};

/// The commit that is here and its files, pinned; the hub is asked only for what the cache cannot tell.
pub(super) async fn make(
    run: &Arc<Run>,
    repo_id: &RepoId,
    revision: &Revision,
    selection: &Selection,
) -> Result<Plan, Stop> {
    let (commit, files) = match pinned(run).await? {
        Some(pinned) => pinned,
        None => find_files(run, repo_id, revision, selection).await?,
    };
    let started = run.context.clock.monotonic();
    let rows = run
        .context
        .store
        .plan_verify(run.claim, &commit, &files, run.context.clock.now())
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
async fn pinned(run: &Run) -> Result<Option<(CommitHash, Vec<PlannedFile>)>, Stop> {
    let Some(commit) = run.job.commit.clone() else {
        return Ok(None);
    };
    let rows = run.context.store.files_of_job(run.job.key).await;
    let rows = rows.map_err(|error| run.stopped_by(&error))?;
    let files: Vec<_> = rows.into_iter().map(|row| row.file).collect();
    Ok((!files.is_empty()).then_some((commit, files)))
}

async fn find_files(
    run: &Arc<Run>,
    repo_id: &RepoId,
    revision: &Revision,
    selection: &Selection,
) -> Result<(CommitHash, Vec<PlannedFile>), Stop> {
    let context = &run.context;
    let presence = context.presence(&run.model).await?;
    if let Some(commit) = &presence.commit {
        let rows = context.store.files_of(run.model.key, commit).await;
        let rows = rows.map_err(|error| run.stopped_by(&error))?;
        if !rows.is_empty() {
            return Ok((
                commit.clone(),
                rows.into_iter().map(|row| row.file).collect(),
            ));
        }
        if presence.exists {
            if let Some(files) = local_files(run, repo_id, commit, selection).await? {
                return Ok((commit.clone(), files));
            }
            return Ok((
                commit.clone(),
                listed(run, repo_id, commit, selection).await?,
            ));
        }
    }
    if !run.job.repair {
        let message = format!("nothing of `{}` is in the cache", run.model.id());
        return Err(Failure::new(FailureCode::FileNotFound, message)
            .with_remedy("start its download")
            .into());
    }
    if context.options.offline {
        return Err(plan::offline(run).into());
    }
    let commit = match revision.as_commit() {
        Some(commit) => commit,
        None => {
            run.unless_halted(context.hub.resolve_revision(repo_id, revision))
                .await?
                .commit
        }
    };
    let files = listed(run, repo_id, &commit, selection).await?;
    Ok((commit, files))
}

/// The wanted files as the saved listing has them, else as the links of a complete snapshot name them.
async fn local_files(
    run: &Arc<Run>,
    repo_id: &RepoId,
    commit: &CommitHash,
    selection: &Selection,
) -> Result<Option<Vec<PlannedFile>>, Stop> {
    let (cache, catalog) = (
        Arc::clone(&run.context.cache),
        Arc::clone(&run.context.catalog),
    );
    let (repo, commit, selection) = (repo_id.clone(), commit.clone(), selection.clone());
    let kind = run.model.spec.kind;
    let found = blocking(move || {
        let failure = |error: CacheError| error.failure();
        if let Some(tree) = cache.read_tree(&repo, &commit).map_err(failure)? {
            let selected = catalog.plan(&selection, kind, &repo, &tree)?;
            let chosen = selected.files.iter();
            return Ok(Some(
                chosen
                    .map(|choice| tree[choice.index].clone().into())
                    .collect(),
            ));
        }
        let Some(snapshot) = cache.snapshot(&repo, &commit).map_err(failure)? else {
            return Ok(None);
        };
        let sizes = snapshot.sizes();
        let shards = |index: &RepoPath| cache.read_shards(&repo, &commit, index).ok().flatten();
        let evidence = Evidence {
            local: &sizes,
            tree: None,
            plan: None,
            shards: &shards,
        };
        let proof = catalog.check(&selection, kind, &repo, &evidence)?;
        if !proof.complete {
            return Ok(None);
        }
        let wanted: HashSet<RepoPath> = proof.files.into_iter().collect();
        let files = snapshot.files.into_iter();
        let named = files
            .filter(|file| wanted.contains(&file.path))
            .map(|file| {
                file.digest.map(|digest| PlannedFile {
                    path: file.path,
                    size: file.size,
                    digest,
                })
            });
        Ok::<_, Failure>(named.collect::<Option<Vec<_>>>())
    });
    Ok(found.await??.filter(|files: &Vec<_>| !files.is_empty()))
}

/// The wanted files as the hub lists them.
async fn listed(
    run: &Run,
    repo_id: &RepoId,
    commit: &CommitHash,
    selection: &Selection,
) -> Result<Vec<PlannedFile>, Stop> {
    if run.context.options.offline {
        let message = format!(
            "the digests of `{}` are not known here: a part of it is missing, or its files are no links",
            run.model.id()
        );
        return Err(Failure::new(FailureCode::Offline, message)
            .with_remedy("unset HF_HUB_OFFLINE to ask the hub for them")
            .into());
    }
    let (files, _whole) = plan::listed_files(run, repo_id, commit, selection).await?;
    Ok(files)
}
