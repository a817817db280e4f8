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
use super::plan::Plan;
use super::reporter;
use super::run::{Run, Stop};
use super::supply::{Place, Supply};
use crate::cache::CacheError;
use crate::domain::{CommitHash, Failure, FailureCode, FileRow, Phase, Readiness};

/// At most this many files are named in one sentence.
const MOST_NAMED: usize = 10;

/// Runs the job.
pub(crate) async fn run(run: &Arc<Run>, supply: &dyn Supply) -> Result<(), Stop> {
    let place = supply.place();
    run.show(Phase::Resolving);
    let plan = supply.plan_to_compare(run).await?;
    run.enter(Phase::Verifying).await?;
    let findings = compare::compare(run, place, &plan.commit, &plan.rows, true).await?;
    // A short comparison ends before the first regular report.
    reporter::checkpoint(run, &[]).await?;
    if findings.is_clean() {
        return finish(run, place, plan, false).await;
    }
    if !run.job.repair {
        return Err(what_is_wrong(run, &plan, &findings).into());
    }
    if run.context.options.offline {
        let mut failure = what_is_wrong(run, &plan, &findings);
        failure.remedy = Some("unset HF_HUB_OFFLINE to repair it".to_owned());
        return Err(failure.into());
    }
    discard(run, place, &plan.commit, findings.wrong).await?;
    let plan = supply.plan_to_repair(run, reread(run, plan).await?).await?;
    run.show(Phase::CheckingCache);
    let compared = run.live.present_bytes.load(Ordering::Relaxed);
    let missing = fetch::what_is_missing(run, place, &plan).await?;
    count_on(run, compared, &missing).await?;
    if !missing.is_empty() {
        run.show(Phase::Downloading);
        fetch::fetch(run, supply, &plan, missing).await?;
    }
    run.show(Phase::Publishing);
    finish(run, place, plan, true).await
}

/// Takes files of a download's plan out that an earlier comparison found wrong and that still are.
pub(crate) async fn discard_known_wrong(
    run: &Arc<Run>,
    place: &Place,
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
    let findings = compare::compare(run, place, &plan.commit, &suspects, false).await?;
    discard(run, place, &plan.commit, findings.wrong).await?;
    reread(run, plan).await
}

/// Takes wrong content out of the cache, in the transaction that records it.
async fn discard(
    run: &Arc<Run>,
    place: &Place,
    commit: &CommitHash,
    wrong: Vec<Wrong>,
) -> Result<(), Stop> {
    if wrong.is_empty() {
        return Ok(());
    }
    let (cache, repo) = (Arc::clone(&place.cache), place.repo_id.clone());
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
    let (cache, trust) = (Arc::clone(&place.cache), Arc::clone(&run.trust));
    let (repo, commit) = (place.repo_id.clone(), commit.clone());
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
async fn finish(run: &Run, place: &Place, plan: Plan, repaired: bool) -> Result<(), Stop> {
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
    let (cache, trust) = (Arc::clone(&place.cache), Arc::clone(&run.trust));
    let (repo, revision, commit) = (place.repo_id.clone(), place.revision.clone(), plan.commit);
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
