//! A verify job: compare everything that the cache shows of a model with its digests, and repair it when asked.
//!
//! Without a repair nothing in the cache changes. A repair takes out only what was read and found wrong, fetches only
//! that and what is missing, and moves no ref.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::compare::{self, Findings, Wrong};
use super::fetch::{self, blocking};
use super::plan::{self, Plan};
use super::run::{Run, Stop};
use crate::cache::CacheError;
use crate::catalog::Evidence;
use crate::domain::{
    CommitHash, Failure, FailureCode, FileRow, Phase, PlannedFile, Readiness, RepoId, RepoPath,
    Revision, Selection,
};

/// At most this many files are named in one sentence.
const MOST_NAMED: usize = 10;

/// Runs the job.
pub(crate) async fn run(
    run: &Arc<Run>,
    repo_id: &RepoId,
    revision: &Revision,
    selection: &Selection,
) -> Result<(), Stop> {
    run.enter(Phase::Resolving).await?;
    let plan = make_plan(run, repo_id, revision, selection).await?;
    run.enter(Phase::Verifying).await?;
    let findings = compare::compare(run, repo_id, &plan.commit, &plan.rows, true).await?;
    if findings.is_clean() {
        return finish(run, repo_id, revision, plan, false).await;
    }
    if !run.job.repair {
        return Err(what_is_wrong(run, &plan, &findings).into());
    }
    if run.context.options.offline {
        let mut failure = what_is_wrong(run, &plan, &findings);
        failure.remedy = Some("unset HF_HUB_OFFLINE to repair it".to_owned());
        return Err(failure.into());
    }
    discard(run, repo_id, &plan.commit, findings.wrong).await?;
    let plan = reread(run, plan).await?;
    run.enter(Phase::CheckingCache).await?;
    let compared = run.live.present_bytes.load(Ordering::Relaxed);
    let missing = fetch::what_is_missing(run, repo_id, &plan).await?;
    count_on(run, compared, &missing).await?;
    if !missing.is_empty() {
        run.enter(Phase::Downloading).await?;
        fetch::fetch(run, repo_id, &plan, missing).await?;
    }
    run.enter(Phase::Publishing).await?;
    finish(run, repo_id, revision, plan, true).await
}

/// Takes files of a download's plan out that an earlier comparison found wrong and that still are.
pub(crate) async fn discard_known_wrong(
    run: &Arc<Run>,
    repo_id: &RepoId,
    plan: Plan,
) -> Result<Plan, Stop> {
    let suspects: Vec<FileRow> = plan
        .rows
        .iter()
        .filter(|row| row.corrupt)
        .cloned()
        .collect();
    if suspects.is_empty() {
        return Ok(plan);
    }
    let findings = compare::compare(run, repo_id, &plan.commit, &suspects, false).await?;
    discard(run, repo_id, &plan.commit, findings.wrong).await?;
    reread(run, plan).await
}

/// The commit that is here and its files, pinned; the hub is asked only for what the cache cannot tell.
async fn make_plan(
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

/// Takes wrong content out of the cache, in the transaction that records it.
async fn discard(
    run: &Arc<Run>,
    repo_id: &RepoId,
    commit: &CommitHash,
    wrong: Vec<Wrong>,
) -> Result<(), Stop> {
    if wrong.is_empty() {
        return Ok(());
    }
    let (cache, repo) = (Arc::clone(&run.context.cache), repo_id.clone());
    let digests: HashSet<_> = wrong
        .iter()
        .map(|wrong| wrong.row.file.digest.clone())
        .collect();
    let locks = blocking(move || {
        let locks = digests.iter().map(|digest| cache.try_lock(&repo, digest));
        locks.collect::<Result<Option<Vec<_>>, _>>()
    })
    .await?
    .map_err(|error| error.failure())?;
    let Some(locks) = locks else {
        let message = "another program downloads a file that is to be repaired";
        return Err(Failure::new(FailureCode::CacheLocked, message).into());
    };
    let keys = wrong.iter().map(|wrong| wrong.row.key).collect();
    let (cache, trust) = (Arc::clone(&run.context.cache), Arc::clone(&run.trust));
    let (repo, commit) = (repo_id.clone(), commit.clone());
    let act = move || {
        let _locks = locks;
        if !trust.holds() {
            return Err(io::Error::other(Run::fenced()));
        }
        for Wrong { row, identities } in &wrong {
            cache
                .discard_wrong(&repo, &commit, &row.file, identities)
                .map_err(|error| io::Error::other(error.failure()))?;
        }
        Ok(())
    };
    let clock = &run.context.clock;
    let (started, now) = (clock.monotonic(), clock.now());
    let done = run
        .context
        .store
        .discard_files(run.claim, keys, now, act)
        .await;
    run.renewed(started, done)
}

async fn reread(run: &Run, plan: Plan) -> Result<Plan, Stop> {
    let rows = run.context.store.files_of_job(run.job.key).await;
    let rows = rows.map_err(|error| run.stopped_by(&error))?;
    Ok(Plan { rows, ..plan })
}

/// Lets the numbers go on from what was compared to what is fetched: they never go down.
async fn count_on(run: &Run, compared: u64, missing: &[Vec<FileRow>]) -> Result<(), Stop> {
    let fetched: u64 = missing.iter().map(|rows| rows[0].file.size).sum();
    let total = compared + fetched;
    run.live.present_bytes.store(compared, Ordering::Relaxed);
    run.live.set_total(total);
    let clock = &run.context.clock;
    let started = clock.monotonic();
    let done = run
        .context
        .store
        .set_bytes_total(run.claim, total, clock.now())
        .await;
    run.renewed(started, done)
}

/// Ends the job as completed; after a repair the snapshot shows every file again.
async fn finish(
    run: &Run,
    repo_id: &RepoId,
    revision: &Revision,
    plan: Plan,
    repaired: bool,
) -> Result<(), Stop> {
    let now = run.context.clock.now();
    let bytes = plan.bytes();
    let plan = reread(run, plan).await?;
    let before = run.model.readiness.as_ref();
    let readiness = Readiness {
        since: before
            .filter(|ready| ready.commit.as_ref() == Some(&plan.commit))
            .map_or(now, |ready| ready.since),
        commit: Some(plan.commit.clone()),
        bytes,
        files: plan.rows.len() as u64,
        verified: plan.rows.iter().all(|row| row.verified),
    };
    let files: Vec<_> = plan.rows.into_iter().map(|row| row.file).collect();
    let (cache, trust) = (Arc::clone(&run.context.cache), Arc::clone(&run.trust));
    let (repo, revision, commit) = (repo_id.clone(), revision.clone(), plan.commit);
    let act = move || {
        if !repaired {
            return Ok(());
        }
        if !trust.holds() {
            return Err(io::Error::other(Run::fenced()));
        }
        let published = || {
            cache.publish_snapshot(&repo, &commit, &files)?;
            // A branch that another program moved meanwhile stays where it is.
            match cache.read_ref(&repo, &revision)? {
                Some(_) => Ok(()),
                None => cache.write_ref(&repo, &revision, &commit),
            }
        };
        published().map_err(|error: CacheError| io::Error::other(error.failure()))
    };
    let started = run.context.clock.monotonic();
    let done = run
        .context
        .store
        .complete(run.claim, readiness, now, act)
        .await;
    run.renewed(started, done)
}

/// The failure that names what is wrong.
fn what_is_wrong(run: &Run, plan: &Plan, findings: &Findings) -> Failure {
    let id = run.model.id();
    let all = plan.rows.len();
    let wrong: Vec<&FileRow> = findings.wrong.iter().map(|wrong| &wrong.row).collect();
    let missing: Vec<&FileRow> = findings.missing.iter().collect();
    let mut message = String::new();
    if !wrong.is_empty() {
        message = format!(
            "{} of {all} files of `{id}` do not hold what their digest says: {}",
            wrong.len(),
            names(&wrong)
        );
    }
    if !missing.is_empty() {
        let joint = if wrong.is_empty() { "" } else { "; " };
        let of = if wrong.is_empty() {
            format!(" of {all} files of `{id}`")
        } else {
            String::new()
        };
        message = format!(
            "{message}{joint}{}{of} are missing: {}",
            missing.len(),
            names(&missing)
        );
    }
    let code = if wrong.is_empty() {
        FailureCode::FileNotFound
    } else {
        FailureCode::ChecksumMismatch
    };
    Failure::new(code, message).with_remedy(
        "verify with `repair` (`modelhaul cache verify --repair`): it fetches only these files",
    )
}

fn names(rows: &[&FileRow]) -> String {
    let named: Vec<String> = rows
        .iter()
        .take(MOST_NAMED)
        .map(|row| row.file.path.to_string())
        .collect();
    match rows.len().checked_sub(MOST_NAMED) {
        Some(more @ 1..) => format!("{} and {more} more", named.join(", ")),
        _ => named.join(", "),
    }
}
