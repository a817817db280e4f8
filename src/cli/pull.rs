//! `pull`: make the model be here, by own work or by following the one who works.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::args::{RefArgs, SelectionArgs};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::follow::{self, Followed};
use super::locked;
use super::output;
use super::progress::Display;
use super::registry;
use super::work;
use crate::config::parse_duration;
use crate::domain::{JobId, ModelId, ModelStatus};
use crate::manager::{Started, UnifiedModelDownloadManager, WorkScope};

/// What to download.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  modelhaul pull SmilingWolf/wd-vit-tagger-v3 --template wdv3
  modelhaul pull org/name@v1.0 -i '*.safetensors' -i '*.json' -x 'onnx/*'
  cd \"$(modelhaul pull -q org/name)\"
  modelhaul pull --locked                   everything in models.lock, and nothing else

Ctrl-C stops following. A job that this process works on keeps what it received and stays queued;
a job of a running service goes on.")]
pub(crate) struct PullArgs {
    /// A registered id, the id of a template for one repository, or `org/name[@revision]`.
    #[arg(value_name = "REF", required_unless_present = "locked")]
    reference: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Accept only what the lock file names; without REF all of it is pulled.
    #[arg(long)]
    locked: bool,
    /// The lock file.
    #[arg(
        long = "lock",
        value_name = "FILE",
        default_value = "models.lock",
        requires = "locked"
    )]
    lock_file: PathBuf,
    /// Stop following after this time, for example 30m; the job stays.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(context: &Context, args: &PullArgs) -> Result<Exit, CliError> {
    let reference = args.reference.as_ref().map(|reference| RefArgs {
        reference: reference.clone(),
        selection: args.selection.clone(),
    });
    let reference = match (args.locked, reference) {
        (true, reference) => {
            let file = &args.lock_file;
            return locked::run(context, reference.as_ref(), file, args.timeout).await;
        }
        (false, Some(reference)) => reference,
        (false, None) => return Err(CliError::Usage("pull needs a REF".to_owned())),
    };
    let prepared = context.unless_stopped(async {
        let manager = context.open().await?;
        let id = registry::find_or_register(&manager, &reference).await?;
        let started = manager.refresh_download(&id).await?;
        Ok::<_, CliError>((manager, id, started))
    });
    let Some(prepared) = prepared.await else {
        return Ok(Exit::Unfinished);
    };
    let (manager, id, started) = prepared?;
    follow(context, &manager, &id, started, args.timeout).await
}

/// Sees a started download to its end and prints the result.
pub(crate) async fn follow(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
    id: &ModelId,
    started: Started,
    timeout: Option<Duration>,
) -> Result<Exit, CliError> {
    let output = context.output;
    let Some(job) = started.job else {
        return follow::report(output, &started.status, None);
    };
    let mut display = Display::new(output, context.config.terminal);
    let ended = work_and_follow(context, manager, id, job.id, &mut display, timeout).await;
    display.finish();
    let (followed, own) = ended?;
    match followed {
        Followed::Ended(status) => {
            // The status speaks of the model: with an older snapshot here it says completed, whatever became of the job.
            let job = manager.job(job.id).await.ok();
            follow::report(output, &status, job.as_ref())
        }
        Followed::Interrupted(status) | Followed::TimedOut(status) => {
            if output.is_json() {
                output::json(&status)?;
            }
            output.hint(&farewell(&status, own));
            Ok(Exit::Unfinished)
        }
    }
}

/// Works on the job, or stands by while another process does, and follows the row in both cases.
async fn work_and_follow(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
    id: &ModelId,
    job: JobId,
    display: &mut Display,
    limit: Option<Duration>,
) -> Result<(Followed, bool), CliError> {
    let stop_work = CancellationToken::new();
    let stop = context.shutdown.token();
    let following = follow::follow(
        async || manager.wait(id, follow::LOOK).await,
        display,
        context.clock.as_ref(),
        &stop,
        limit,
    );
    work::beside(
        &context.shutdown,
        Box::pin(manager.run(WorkScope::Job(job), stop_work.clone())),
        &stop_work,
        Box::pin(following),
        async || manager.ready().await.role == "holder",
    )
    .await
}

fn farewell(status: &ModelStatus, own: bool) -> String {
    let id = &status.model_id;
    let here = indicatif::DecimalBytes(status.progress.bytes_downloaded);
    if own {
        format!(
            "stopped; {here} of {id} are kept and its job stays queued: \
             `modelhaul pull` again or `modelhaul serve` goes on from there"
        )
    } else if status.queue.running {
        format!(
            "detached; the job for {id} goes on elsewhere: `modelhaul wait {id}` follows it again"
        )
    } else {
        format!(
            "detached; the job for {id} stays queued: `modelhaul serve` or `modelhaul pull` works on it"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::progress::tests::status;
    use super::*;

    #[test]
    fn whoever_leaves_is_told_what_becomes_of_the_job() {
        let mut status = status("running");
        assert!(farewell(&status, true).contains("stays queued"));
        assert!(farewell(&status, false).contains("`modelhaul serve`"));
        status.queue.running = true;
        assert!(farewell(&status, false).contains("goes on elsewhere"));
    }
}
