//! `wait`: follow a job without working on it.

use std::time::Duration;

use clap::Args;

use super::args::RefArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::follow::{self, Followed};
use super::output;
use super::progress::Display;
use super::registry;
use crate::config::parse_duration;

/// For what to wait.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    reference: RefArgs,
    /// Give up after this time, for example 90s; exit code 7.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(context: &Context, args: &WaitArgs) -> Result<Exit, CliError> {
    let prepared = context.unless_stopped(async {
        let manager = context.open().await?;
        let id = registry::find(&manager, &args.reference).await?;
        Ok::<_, CliError>((manager, id))
    });
    let Some(prepared) = prepared.await else {
        return Ok(Exit::Unfinished);
    };
    let (manager, id) = prepared?;
    let mut display = Display::new(context.output, context.config.terminal);
    let look = args
        .timeout
        .map_or(follow::LOOK, |limit| limit.min(follow::LOOK));
    let followed = follow::follow(
        async || manager.wait(&id, look).await,
        &mut display,
        context.clock.as_ref(),
        &context.shutdown.token(),
        args.timeout,
    )
    .await;
    display.finish();
    match followed? {
        Followed::Ended(status) => follow::report(context.output, &status, None),
        Followed::Interrupted(status) | Followed::TimedOut(status) => {
            if context.output.is_json() {
                output::json(&status)?;
            }
            context
                .output
                .hint(&format!("{id} has not ended: {}", status.state));
            Ok(Exit::Unfinished)
        }
    }
}
