//! `pull --locked`: brings in exactly what the lock file names, and refuses anything else.

use std::path::Path;
use std::time::Duration;

use super::args::RefArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::lock;
use super::pull;
use super::reference::{HubReference, Reference};
use super::registry;
use crate::manager::{LockFile, LockedModel, UnifiedModelDownloadManager};

/// Pulls the model that REF means, or all models of the lock file one after the other.
pub(crate) async fn run(
    context: &Context,
    reference: Option<&RefArgs>,
    file: &Path,
    timeout: Option<Duration>,
) -> Result<Exit, CliError> {
    let prepared = context.unless_stopped(async {
        let lock = lock::read(file)?;
        let manager = context.open().await?;
        let chosen = match reference {
            Some(args) => vec![find(&manager, &lock, args, file).await?],
            None => lock.models().to_vec(),
        };
        Ok::<_, CliError>((manager, chosen))
    });
    let Some(prepared) = prepared.await else {
        return Ok(Exit::Unfinished);
    };
    let (manager, chosen) = prepared?;
    if chosen.is_empty() {
        context
            .output
            .hint(&format!("{} names no model", file.display()));
    }
    for model in &chosen {
        let started = context.unless_stopped(manager.start_locked(model)).await;
        let Some(started) = started else {
            return Ok(Exit::Unfinished);
        };
        let exit = pull::follow(context, &manager, &model.id, started?, timeout).await?;
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    Ok(Exit::Done)
}

/// The locked model that REF means: by its id, or by the id that would follow from it.
async fn find(
    manager: &UnifiedModelDownloadManager,
    lock: &LockFile,
    args: &RefArgs,
    file: &Path,
) -> Result<LockedModel, CliError> {
    let args = registry::expand(manager, args).await?;
    let reference = Reference::parse(&args)?;
    let derived = reference.hub.iter().flat_map(HubReference::ids);
    let mut ids = reference.id.iter().cloned().chain(derived);
    let named = ids.find_map(|id| lock.get(&id));
    named.cloned().ok_or_else(|| CliError::LockFile {
        path: file.to_owned(),
        reason: format!(
            "`{}` is not in it; `modelhaul lock {}` adds it",
            args.reference, args.reference
        ),
    })
}
