//! `cache verify`: jobs for what is registered, a comparison at once for the rest.

use clap::Args;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::args::RefArgs;
use super::super::context::Context;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::follow::{self, Followed};
use super::super::output;
use super::super::progress::Display;
use super::super::registry;
use crate::domain::{
    CacheReport, CacheTarget, Failure, FailureCode, Inspection, Job, JobState, ModelId, RepoId,
};
use crate::manager::{ManagerError, UnifiedModelDownloadManager, WorkScope};

/// What to verify.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A registered id, or a repository or revision of the cache; without one everything is verified.
    #[arg(value_name = "REF")]
    reference: Option<String>,
    /// Fetch again what is wrong or missing; for registered models only.
    #[arg(long)]
    repair: bool,
}

/// What has been verified so far.
#[derive(Debug, Default)]
struct Outcome {
    results: Vec<Value>,
    /// The first failure; the exit code is its.
    failure: Option<Failure>,
    unfinished: bool,
}

pub(super) async fn run(context: &Context, args: &VerifyArgs) -> Result<Exit, CliError> {
    let manager = context.open().await?;
    let mut outcome = Outcome::default();
    match &args.reference {
        Some(text) => one(context, &manager, text, args.repair, &mut outcome).await?,
        None => all(context, &manager, args.repair, &mut outcome).await?,
    }
    if context.output.is_json() {
        output::json(&outcome.results)?;
    }
    match outcome.failure {
        Some(failure) => Err(CliError::Ended(failure)),
        None if outcome.unfinished => Ok(Exit::Unfinished),
        None => Ok(Exit::Done),
    }
}

async fn one(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
    text: &str,
    repair: bool,
    outcome: &mut Outcome,
) -> Result<(), CliError> {
    let reference = RefArgs {
        reference: text.to_owned(),
        ..RefArgs::default()
    };
    let unknown = match registry::find(manager, &reference).await {
        Ok(id) => return model(context, manager, &id, repair, outcome).await,
        Err(error @ CliError::Manager(ManagerError::UnknownModel(_))) => error,
        Err(error) => return Err(error),
    };
    let report = manager.cache_report().await?;
    let found: Vec<_> = match text.parse() {
        Ok(target) => revisions(&report, Some(&target)),
        Err(_) => Vec::new(),
    };
    if found.is_empty() {
        return Err(unknown);
    }
    if repair {
        return Err(CliError::Usage(format!(
            "`{text}` is not registered, so nobody knows which of its files are wanted: \
             `modelhaul models add` first"
        )));
    }
    for (repo, commit) in found {
        snapshot(context, manager, &repo, &commit, outcome).await?;
    }
    Ok(())
}

async fn all(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
    repair: bool,
    outcome: &mut Outcome,
) -> Result<(), CliError> {
    for found in super::super::models::all(manager).await? {
        let status = manager.get_download_status(found.id()).await?;
        let from_app = matches!(found.spec.origin, crate::domain::Origin::Handler { .. });
        if !from_app && status.cache.exists && !outcome.unfinished {
            model(context, manager, found.id(), repair, outcome).await?;
        }
    }
    let report = manager.cache_report().await?;
    for (repo, commit) in revisions(&report, None) {
        if outcome.unfinished {
            break;
        }
        snapshot(context, manager, &repo, &commit, outcome).await?;
    }
    Ok(())
}

/// The revisions of repositories that a target means; without one those that serve no registration.
fn revisions(report: &CacheReport, target: Option<&CacheTarget>) -> Vec<(String, String)> {
    let all = report
        .repos
        .iter()
        .flat_map(|repo| repo.revisions.iter().map(move |revision| (repo, revision)));
    all.filter(|(repo, revision)| match target {
        None => revision.models.is_empty(),
        Some(CacheTarget::Repo { repo_type, repo_id }) => {
            *repo_type == repo.repo_type && repo.repo_id == repo_id.as_str()
        }
        Some(CacheTarget::Revision {
            repo_type,
            repo_id,
            revision: name,
        }) => {
            let name = name.as_str();
            *repo_type == repo.repo_type
                && repo.repo_id == repo_id.as_str()
                && (revision.commit == name || revision.refs.iter().any(|r| r == name))
        }
        Some(CacheTarget::Commit(commit)) => revision.commit == *commit,
    })
    .filter_map(|(repo, revision)| {
        let typed = RepoId::of_type(&repo.repo_type, &repo.repo_id)?;
        Some((typed.to_string(), revision.commit.clone()))
    })
    .collect()
}

/// Verifies a registered model by a job, by own work or by following the one who works.
async fn model(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
    id: &ModelId,
    repair: bool,
    outcome: &mut Outcome,
) -> Result<(), CliError> {
    let started = manager.verify(id, repair).await?;
    let Some(job) = started.job else {
        return Ok(());
    };
    let mut display = Display::new(context.output, context.config.terminal);
    let ended = work_and_follow(context, manager, &job, &mut display).await;
    display.finish();
    if !matches!(ended?, Followed::Ended(_)) {
        context.output.hint(&format!(
            "stopped; the verification of {id} stays queued: `modelhaul serve` or the same command goes on"
        ));
        outcome.unfinished = true;
        return Ok(());
    }
    let job = manager.job(job.id).await?;
    outcome.results.push(object(&job));
    match job.state {
        JobState::Completed => say(
            context,
            &format!("{id}: {} files are right", job.files_total.unwrap_or(0)),
        ),
        JobState::Failed => {
            let unknown = || Failure::new(FailureCode::Internal, "the job failed without a reason");
            let failure = job.failure.unwrap_or_else(unknown);
            say(context, &format!("{id}: {}", failure.message))?;
            outcome.failure.get_or_insert(failure);
            Ok(())
        }
        state => {
            let message = format!("the verification of {id} is {state}");
            let failure = Failure::new(FailureCode::Cleared, message);
            outcome.failure.get_or_insert(failure);
            Ok(())
        }
    }
}

/// Works on the job, or stands by while another process does, and follows the row in both cases.
///
/// The process goes on after it: the next model may follow.
async fn work_and_follow(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
    job: &Job,
    display: &mut Display,
) -> Result<Followed, CliError> {
    let stop_work = CancellationToken::new();
    let scope = WorkScope::Job(job.id);
    let mut work = Box::pin(manager.run(scope, stop_work.clone()));
    let stop = context.shutdown.token();
    let following = follow::follow(
        async || manager.wait(&job.model_id, follow::LOOK).await,
        display,
        context.clock.as_ref(),
        &stop,
        None,
    );
    let mut following = Box::pin(following);
    let followed = tokio::select! {
        followed = &mut following => followed,
        worked = &mut work => {
            worked?;
            return following.await;
        }
    };
    stop_work.cancel();
    if let Some(worked) = context.shutdown.bounded(work).await {
        worked?;
    }
    followed
}

fn object(job: &Job) -> Value {
    json!({
        "model_id": job.model_id,
        "job_id": job.id,
        "commit": job.commit,
        "state": job.state,
        "repair": job.repair,
        "files": job.files_total,
        "error": job.failure,
    })
}

/// Verifies a snapshot that no registration speaks of.
async fn snapshot(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
    repo: &str,
    commit: &str,
    outcome: &mut Outcome,
) -> Result<(), CliError> {
    let (Ok(repo_id), Ok(commit_hash)) = (repo.parse(), commit.parse()) else {
        context.output.hint(&format!(
            "left out: {repo}@{commit} has no name that a hub gives"
        ));
        return Ok(());
    };
    let stop = context.shutdown.token();
    let Some(inspection) = manager.inspect(&repo_id, &commit_hash, &stop).await? else {
        outcome.unfinished |= stop.is_cancelled();
        return Ok(());
    };
    say(context, &summary(&inspection))?;
    if !inspection.corrupt.is_empty() {
        let failure = Failure::new(FailureCode::ChecksumMismatch, summary(&inspection))
            .with_remedy(
                "register it (`modelhaul models add`), then `modelhaul cache verify --repair`",
            );
        outcome.failure.get_or_insert(failure);
    }
    outcome.results.push(json!(inspection));
    Ok(())
}

fn summary(found: &Inspection) -> String {
    let name = format!("{}@{}", found.repo_id, found.commit);
    let unknown = match found.unknown.len() {
        0 => String::new(),
        count => format!("; {count} are no links and have no known digest"),
    };
    match found.corrupt.len() {
        0 => format!("{name}: {} files are right{unknown}", found.files),
        wrong => format!(
            "{name}: {wrong} of {} files do not hold what their digest says: {}{unknown}",
            found.files,
            found.corrupt.join(", ")
        ),
    }
}

fn say(context: &Context, text: &str) -> Result<(), CliError> {
    if context.output.is_json() {
        return Ok(());
    }
    output::line(text)
}
