//! The first step of a job: which commit, which files.
//!
//! A plan is made once and pinned to its commit and to the selection that chose it: a later attempt of the same job
//! asks the hub nothing, and a branch that moves meanwhile moves the next job, not this one. A dry run chooses by the
//! same function; what it tells people is left to `dry_run`.

use std::collections::HashSet;
use std::sync::Arc;

use super::context::Context;
use super::fetch::blocking;
use super::run::{Run, Stop};
use crate::catalog::Selected;
use crate::domain::{
    CommitHash, Failure, FailureCode, FileRow, FileState, Kind, Model, NewModel, Origin,
    PlannedFile, RemoteFile, RepoId, Revision, Selection,
};
use crate::store::NewPlan;

/// What is wanted of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The repository.
    pub(crate) repo_id: RepoId,
    /// The branch, tag or commit.
    pub(crate) revision: Revision,
    /// Which of its files.
    pub(crate) selection: Selection,
    /// The family, which decides the template when none is named.
    pub(crate) kind: Kind,
}

impl Wanted {
    /// What a registration wants; none when the app's own function brings it.
    pub(crate) fn of(model: &NewModel) -> Option<Self> {
        let Origin::Hub {
            repo_id,
            revision,
            selection,
        } = &model.origin
        else {
            return None;
        };
        Some(Self {
            repo_id: repo_id.clone(),
            revision: revision.clone(),
            selection: selection.clone(),
            kind: model.kind,
        })
    }
}

/// What a commit holds, and what of it was chosen.
#[derive(Debug)]
pub(crate) struct Outline {
    /// Every file of the commit, in the order of the paths.
    pub(crate) tree: Vec<RemoteFile>,
    /// Which of them, and why.
    pub(crate) selected: Selected,
}

impl Outline {
    /// The chosen files.
    pub(crate) fn files(&self) -> Vec<PlannedFile> {
        self.selected
            .files
            .iter()
            .map(|choice| self.tree[choice.index].clone().into())
            .collect()
    }
}

impl Context {
    /// Lists the commit and chooses its files: the one place where a selection meets a listing.
    ///
    /// Asks for each page of the listing once and for nothing else; writes nothing.
    pub(crate) async fn outline(
        &self,
        wanted: &Wanted,
        commit: &CommitHash,
    ) -> Result<Outline, Failure> {
        let tree = self
            .hub
            .tree(&wanted.repo_id, commit)
            .await
            .map_err(|error| error.failure())?;
        let (catalog, wanted) = (Arc::clone(&self.catalog), wanted.clone());
        blocking(move || {
            let selected = catalog.plan(&wanted.selection, wanted.kind, &wanted.repo_id, &tree)?;
            Ok(Outline { tree, selected })
        })
        .await?
    }

    /// Makes the connections for the files that a listing will bring, while it is on its way.
    async fn expect_files(&self, wanted: &Wanted, names: Vec<String>) {
        // One file alone finds the time for its connection later.
        if names.len() < 2 {
            return;
        }
        let (catalog, wanted) = (Arc::clone(&self.catalog), wanted.clone());
        let counted = blocking(move || {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            catalog.count(&wanted.selection, wanted.kind, &wanted.repo_id, &names)
        });
        // Without them the requests make their connections themselves.
        let files = counted.await.unwrap_or_default();
        if files > 1 {
            self.hub.connect_ahead(files.min(self.engine.connections()));
        }
    }

    /// The fingerprint under which a plan of this selection is stored.
    pub(crate) fn plan_key(&self, wanted: &Wanted) -> Result<String, Failure> {
        self.catalog.fingerprint(
            &wanted.repo_id,
            &wanted.revision,
            &wanted.selection,
            wanted.kind,
        )
    }
}

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
pub(crate) async fn make(run: &Run, wanted: &Wanted) -> Result<Plan, Stop> {
    let context = &run.context;
    if let Some(plan) = made_earlier(run, wanted).await? {
        return Ok(plan);
    }
    let key = context.plan_key(wanted)?;
    if context.options.offline {
        return Err(offline(&run.model).into());
    }
    let (commit, names) = resolve(run, wanted).await?;
    let (files, whole_tree) = if let Some(files) = known_files(run, &commit, &key).await? {
        (files, None)
    } else {
        let outline = run.unless_halted(context.outline(wanted, &commit));
        let ahead = context.expect_files(wanted, names);
        let (outline, ()) = tokio::join!(outline, ahead);
        let outline = outline?;
        if context.hub.has_token().await {
            context.past.token_worked(run.job.id);
        }
        let files = outline.files();
        (files, outline.selected.whole.then_some(outline.tree))
    };
    let started = context.clock.monotonic();
    let chosen = NewPlan {
        commit: &commit,
        selection: &key,
        files: &files,
    };
    let rows = context
        .store
        .set_plan(run.claim, chosen, context.clock.now())
        .await;
    let plan = Plan {
        rows: run.renewed(started, rows)?,
        commit,
        whole_tree,
    };
    run.live.set_total(plan.bytes());
    Ok(plan)
}

/// The commit that the revision means now, and the names of its files where the hub was asked.
pub(super) async fn resolve(run: &Run, wanted: &Wanted) -> Result<(CommitHash, Vec<String>), Stop> {
    if let Some(commit) = wanted.revision.as_commit() {
        return Ok((commit, Vec::new()));
    }
    let hub = &run.context.hub;
    let asked = hub.resolve_revision(&wanted.repo_id, &wanted.revision);
    let answer = run.unless_halted(async { asked.await.map_err(|error| error.failure()) });
    let info = answer.await?;
    Ok((info.commit, info.names))
}

/// The plan of an earlier attempt, or the one that came with the job, unless other files are wanted since.
async fn made_earlier(run: &Run, wanted: &Wanted) -> Result<Option<Plan>, Stop> {
    let Some(commit) = &run.job.commit else {
        return Ok(None);
    };
    let store = &run.context.store;
    let rows = store
        .files_of_job(run.job.key)
        .await
        .map_err(|e| run.stopped_by(&e))?;
    if rows.is_empty() {
        return Ok(None);
    }
    // A template that is gone since says nothing against a plan that it made.
    if let Ok(key) = run.context.plan_key(wanted)
        && !store
            .is_planned_for(run.job.key, &key)
            .await
            .map_err(|e| run.stopped_by(&e))?
    {
        tracing::info!(job.id = %run.job.id, "Other files are wanted since the last attempt: planning anew.");
        return Ok(None);
    }
    let rows = with_parts_of_twins(run, rows).await?;
    let plan = Plan {
        commit: commit.clone(),
        rows,
        whole_tree: None,
    };
    run.live.set_total(plan.bytes());
    Ok(Some(plan))
}

/// The rows of an earlier plan, with the parts that a twin has left of their contents since.
async fn with_parts_of_twins(run: &Run, rows: Vec<FileRow>) -> Result<Vec<FileRow>, Stop> {
    if rows.iter().all(|row| row.state != FileState::Pending) {
        return Ok(rows);
    }
    let (store, clock) = (&run.context.store, &run.context.clock);
    let started = clock.monotonic();
    let taken = store.take_over(run.claim, clock.now()).await;
    Ok(run.renewed(started, taken)?.unwrap_or(rows))
}

/// The files of a commit that an earlier job of this registration completed: no listing is needed.
async fn known_files(
    run: &Run,
    commit: &CommitHash,
    key: &str,
) -> Result<Option<Vec<PlannedFile>>, Stop> {
    let ready = run.model.readiness.as_ref();
    if ready.and_then(|ready| ready.commit.as_ref()) != Some(commit) {
        return Ok(None);
    }
    let rows = run
        .context
        .store
        .files_of_plan(run.model.key, commit, Some(key))
        .await
        .map_err(|e| run.stopped_by(&e))?;
    Ok((!rows.is_empty()).then(|| rows.into_iter().map(|row| row.file).collect()))
}

pub(super) fn offline(model: &Model) -> Failure {
    let message = format!(
        "`{}` is not complete in the cache and HF_HUB_OFFLINE is set",
        model.id()
    );
    Failure::new(FailureCode::Offline, message).with_remedy("unset HF_HUB_OFFLINE to download it")
}
