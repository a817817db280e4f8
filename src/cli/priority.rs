//! `priority`: which of the waiting downloads goes first.

use clap::{ArgGroup, Args};

use super::args::RefArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::registry;
use crate::domain::Place;

/// Which job, and where to.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("place").required(true).args(["priority", "top", "bottom"])))]
pub(crate) struct PriorityArgs {
    #[command(flatten)]
    reference: RefArgs,
    /// A number from -100 to 100; higher ones go first, equal ones in the order in which they were asked for.
    #[arg(long = "set", value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Before all others that wait.
    #[arg(long)]
    top: bool,
    /// Behind all others.
    #[arg(long)]
    bottom: bool,
}

pub(crate) async fn run(context: &Context, args: &PriorityArgs) -> Result<Exit, CliError> {
    let manager = context.open().await?;
    let id = registry::find(&manager, &args.reference).await?;
    let place = match args.priority {
        Some(priority) => Place::Priority(priority),
        None if args.top => Place::Top,
        None => Place::Bottom,
    };
    let Some(job) = manager.active_job_of(&id).await? else {
        output::line(&format!("no job for {id} is active"))?;
        return Ok(Exit::NotFound);
    };
    let job = manager.place_job(job.id, place).await?;
    let status = manager.get_download_status(&id).await?;
    if context.output.is_json() {
        output::json(&status)?;
    } else {
        let place = match status.queue_position {
            None => "runs already".to_owned(),
            Some(1) => "is next".to_owned(),
            Some(place) => format!("is number {place} in the queue"),
        };
        output::line(&format!("{id} {place} (priority {})", job.priority))?;
    }
    Ok(Exit::Done)
}
