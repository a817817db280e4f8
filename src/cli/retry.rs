//! `retry`: queue a failed job again, or let a waiting one run at once.

use super::args::RefArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::registry;

pub(crate) async fn run(context: &Context, args: &RefArgs) -> Result<Exit, CliError> {
    let output = context.output;
    let manager = context.open().await?;
    let id = registry::find(&manager, args).await?;
    let started = manager.retry_download(&id).await?;
    if output.is_json() {
        output::json(&started.status)?;
    } else {
        let line = started.job.as_ref().map_or_else(
            || format!("{id} is complete already"),
            |job| format!("{id} is {}, job {}", started.status.state, job.id),
        );
        output::line(&line)?;
    }
    if started.job.is_some() && manager.get_queue_status().await?.lease.is_none() {
        output.hint("nobody works on the queue: run `modelhaul serve` or `modelhaul pull`");
    }
    Ok(Exit::Done)
}
