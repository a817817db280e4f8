//! `import`: files that are on this machine already need not be fetched.

use std::path::PathBuf;

use clap::Args;

use super::args::{RefArgs, SelectionArgs};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::pull;
use super::registry;
use crate::domain::{Adopted, AdoptedHow};

/// What to import.
#[derive(Debug, Args)]
#[command(after_help = "\
Each file is compared with the digest that the hub names before it is taken in; the files at PATH are only read.
What is missing then is downloaded, as `pull` does, unless --no-download says otherwise.

Examples:
  modelhaul import ~/models/joycaption fancyfeast/llama-joycaption-beta-one-hf-llava
  modelhaul import ./wd-vit-tagger-v3.safetensors SmilingWolf/wd-vit-tagger-v3 --no-download")]
pub(crate) struct ImportArgs {
    /// A folder that is searched, or one file.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// A registered id, the id of a template for one repository, or `org/name[@revision]`.
    #[arg(value_name = "REF")]
    reference: String,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Give the files a second name instead of copying them: no room is needed, but a change of one is a change of both.
    #[arg(long)]
    hard_link: bool,
    /// Download nothing.
    #[arg(long)]
    no_download: bool,
}

pub(crate) async fn run(context: &Context, args: &ImportArgs) -> Result<Exit, CliError> {
    if !args.path.exists() {
        let message = format!("there is nothing at {}", args.path.display());
        return Err(CliError::Usage(message));
    }
    let reference = RefArgs {
        reference: args.reference.clone(),
        selection: args.selection.clone(),
    };
    let how = if args.hard_link {
        AdoptedHow::HardLink
    } else {
        AdoptedHow::Copy
    };
    let imported = context.unless_stopped(async {
        let manager = context.open().await?;
        let id = registry::find_or_register(&manager, &reference).await?;
        let adoption = manager.import(&id, args.path.clone(), how).await?;
        Ok::<_, CliError>((manager, id, adoption))
    });
    let Some(imported) = imported.await else {
        return Ok(Exit::Unfinished);
    };
    let (manager, id, adoption) = imported?;
    for file in &adoption.files {
        let why = match file.outcome {
            Adopted::Different => "the file there has another content",
            Adopted::Unreadable => "what may be it cannot be read",
            Adopted::Locked => "another program fetches it now",
            Adopted::Taken | Adopted::WasHere | Adopted::NotFound => continue,
        };
        context.output.hint(&format!("{}: {why}", file.path));
    }
    let (taken, here) = (
        adoption.count(Adopted::Taken),
        adoption.count(Adopted::WasHere),
    );
    let missing = adoption.files.len() - taken - here;
    context.output.hint(&format!(
        "{taken} files taken in ({}), {here} were here, {missing} are missing",
        indicatif::DecimalBytes(adoption.bytes)
    ));
    if args.no_download {
        if context.output.is_json() {
            output::json(&adoption)?;
        }
        return Ok(Exit::Done);
    }
    let started = manager.refresh_download(&id).await?;
    pull::follow(context, &manager, &id, started, None).await
}
