//! `cancel`: end a job on a person's word.

use super::args::RefArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::registry;

pub(crate) async fn run(context: &Context, args: &RefArgs) -> Result<Exit, CliError> {
    let manager = context.open().await?;
    let id = registry::find(&manager, args).await?;
    let job = manager.cancel_download(&id).await?;
    if context.output.is_json() {
        output::json(&manager.get_download_status(&id).await?)?;
    } else {
        match job {
            Some(job) => output::line(&format!("cancelled {id}, job {}", job.id))?,
            None => output::line(&format!("nothing to cancel for {id}"))?,
        }
    }
    Ok(Exit::Done)
}
