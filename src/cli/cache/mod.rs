//! `cache`: what lies in the Hugging Face cache, whoever put it there.

mod ls;
mod rm;
mod verify;

use clap::Subcommand;

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// List repositories and revisions: sizes, refs, last use, registrations, unfinished downloads.
    Ls,
    /// Compare files with their digests; without REF everything that is there.
    Verify(verify::VerifyArgs),
    /// Remove revisions; what another revision needs stays.
    Rm(rm::RmArgs),
}

pub(crate) async fn run(context: &Context, command: &CacheCommand) -> Result<Exit, CliError> {
    match command {
        CacheCommand::Ls => {
            let ls = Box::pin(ls::run(context));
            context
                .unless_stopped(ls)
                .await
                .unwrap_or(Ok(Exit::Unfinished))
        }
        CacheCommand::Verify(args) => verify::run(context, args).await,
        // A removal that has begun is finished.
        CacheCommand::Rm(args) => rm::run(context, args).await,
    }
}
