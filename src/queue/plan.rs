//! The first step of a job: which commit, which files.
//!
//! A plan is made once and pinned: a later attempt of the same job asks the hub nothing, and a branch that moves
//! meanwhile moves the next job, not this one.

use std::collections::HashSet;

use super::run::{Run, Stop};
use crate::domain::{
    CommitHash, Failure, FailureCode, FileRow, PlannedFile, RemoteFile, RepoId, Revision, Selection,
};

/// The files of one job.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What everything is pinned to.
    pub(crate) commit: CommitHash,
    /// One row per path.
    pub(crate) rows: Vec<FileRow>,
    /// The whole commit, when this attempt asked for it and the job wants all of it.
    pub(crate) whole_tree: Option<Vec<RemoteFile>>,
}

impl Plan {
    /// Bytes of all files; a blob that two paths share counts once.
    pub(crate) fn bytes(&self) -> u64 {
        bytes_of(&self.rows)
    }
}

/// Bytes of all files of a plan; a blob that two paths share counts once.
pub(crate) fn bytes_of<'a>(rows: impl IntoIterator<Item = &'a FileRow>) -> u64 {
    let mut seen = HashSet::new();
    rows.into_iter()
        .filter(|row| seen.insert(&row.file.digest))
        .map(|row| row.file.size)
        .sum()
}

/// Makes the plan of the job, or finds the one that it made earlier.
pub(crate) async fn make(
    run: &Run,
    repo_id: &RepoId,
    revision: &Revision,
    selection: &Selection,
) -> Result<Plan, Stop> {
    if let Some(commit) = &run.job.commit {
        let rows = run
            .context
            .store
            .files_of_job(run.job.key)
            .await
            .map_err(|e| run.stopped_by(&e))?;
        if !rows.is_empty() {
            let plan = Plan {
                commit: commit.clone(),
                rows,
                whole_tree: None,
            };
            run.live.set_total(plan.bytes());
            return Ok(plan);
        }
    }
    if run.context.options.offline {
        return Err(offline(run).into());
    }
    let commit = match revision.as_commit() {
        Some(commit) => commit,
        None => {
            run.unless_halted(run.context.hub.resolve_revision(repo_id, revision))
                .await?
                .commit
        }
    };
    let (files, whole_tree) = match known_files(run, &commit).await? {
        Some(files) => (files, None),
        None => listed_files(run, repo_id, &commit, selection).await?,
    };
    let started = run.context.clock.monotonic();
    let rows = run
        .context
        .store
        .set_plan(run.claim, &commit, &files, run.context.clock.now())
        .await;
    let plan = Plan {
        commit,
        rows: run.renewed(started, rows)?,
        whole_tree,
    };
    run.live.set_total(plan.bytes());
    Ok(plan)
}

/// The files of a commit that an earlier job of this registration completed: no listing is needed.
async fn known_files(run: &Run, commit: &CommitHash) -> Result<Option<Vec<PlannedFile>>, Stop> {
    if run
        .model
        .readiness
        .as_ref()
        .and_then(|ready| ready.commit.as_ref())
        != Some(commit)
    {
        return Ok(None);
    }
    let rows = run
        .context
        .store
        .files_of(run.model.key, commit)
        .await
        .map_err(|e| run.stopped_by(&e))?;
    Ok((!rows.is_empty()).then(|| rows.into_iter().map(|row| row.file).collect()))
}

pub(super) type Listed = (Vec<PlannedFile>, Option<Vec<RemoteFile>>);

pub(super) async fn listed_files(
    run: &Run,
    repo_id: &RepoId,
    commit: &CommitHash,
    selection: &Selection,
) -> Result<Listed, Stop> {
    let tree = run
        .unless_halted(run.context.hub.tree(repo_id, commit))
        .await?;
    let selected = run
        .context
        .catalog
        .plan(selection, run.model.spec.kind, repo_id, &tree)?;
    let files: Vec<PlannedFile> = selected
        .files
        .iter()
        .map(|choice| tree[choice.index].clone().into())
        .collect();
    if files.is_empty() {
        let message = format!("no file of `{repo_id}` at {commit} matches the selection");
        return Err(Failure::new(FailureCode::TemplateUnsatisfied, message)
            .with_remedy("check template and patterns of the registration")
            .into());
    }
    Ok((files, selected.whole.then_some(tree)))
}

pub(super) fn offline(run: &Run) -> Failure {
    let message = format!(
        "`{}` is not complete in the cache and HF_HUB_OFFLINE is set",
        run.model.id()
    );
    Failure::new(FailureCode::Offline, message).with_remedy("unset HF_HUB_OFFLINE to download it")
}
