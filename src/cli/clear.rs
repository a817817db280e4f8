//! `clear`: make a stuck model startable again.

use clap::Args;
use indicatif::DecimalBytes;

use super::args::RefArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::registry;

/// What to clear.
#[derive(Debug, Args)]
pub(crate) struct ClearArgs {
    #[command(flatten)]
    reference: RefArgs,
    /// Delete its partial files too; finished files stay.
    #[arg(long)]
    purge: bool,
}

pub(crate) async fn run(context: &Context, args: &ClearArgs) -> Result<Exit, CliError> {
    let output = context.output;
    let manager = context.open().await?;
    let id = registry::find(&manager, &args.reference).await?;
    let cleared = manager.clear(&id, args.purge).await?;
    if output.is_json() {
        output::json(&cleared)?;
        return Ok(Exit::Done);
    }
    if cleared.jobs.is_empty() && !cleared.lease_deleted && cleared.parts_deleted == 0 {
        output::line(&format!("nothing to clear for {id}"))?;
    }
    for job in &cleared.jobs {
        output::line(&format!("removed job {job}"))?;
    }
    if cleared.lease_deleted {
        output::line("deleted the lease of a holder that is gone")?;
    }
    if cleared.parts_deleted > 0 {
        let bytes = DecimalBytes(cleared.bytes_deleted);
        output::line(&format!(
            "deleted {} partial files, {bytes}",
            cleared.parts_deleted
        ))?;
    }
    Ok(Exit::Done)
}
