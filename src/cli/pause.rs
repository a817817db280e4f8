//! `pause` and `resume`: one job, or the whole queue.

use clap::{ArgGroup, Args};

use super::args::{RefArgs, SelectionArgs};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::registry;

/// What to pause or resume.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["reference", "queue"])))]
pub(crate) struct PauseArgs {
    /// A registered id, or `org/name[@revision]`.
    #[arg(value_name = "REF")]
    reference: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// The whole queue.
    #[arg(long)]
    queue: bool,
}

pub(crate) async fn run(
    context: &Context,
    args: &PauseArgs,
    pause: bool,
) -> Result<Exit, CliError> {
    let output = context.output;
    let manager = context.open().await?;
    let word = if pause { "paused" } else { "resumed" };
    let Some(reference) = &args.reference else {
        manager.set_queue_paused(pause).await?;
        if output.is_json() {
            output::json(&manager.get_queue_status().await?)?;
        } else {
            output::line(&format!("{word} the queue"))?;
        }
        return Ok(Exit::Done);
    };
    let reference = RefArgs {
        reference: reference.clone(),
        selection: args.selection.clone(),
    };
    let id = registry::find(&manager, &reference).await?;
    let job = if pause {
        manager.pause_download(&id).await?
    } else {
        manager.resume_download(&id).await?
    };
    if output.is_json() {
        output::json(&manager.get_download_status(&id).await?)?;
    } else if job.is_some() {
        output::line(&format!("{word} {id}"))?;
    } else {
        output::line(&format!("no job for {id} is active"))?;
    }
    Ok(Exit::Done)
}
