//! `outdated`: which registered models have moved on the hub.

use clap::Args;

use super::args::{RefArgs, SelectionArgs};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::models::all;
use super::output;
use super::registry;
use crate::domain::CommitHash;
use crate::manager::{Comparison, Freshness, ManagerError};

/// Which models.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 nothing has moved, 10 a model has moved; when the hub gave no answer about one, the code of that failure.")]
pub(crate) struct OutdatedArgs {
    /// Registered ids or `org/name[@revision]`; without one all registered models are compared.
    #[arg(value_name = "REF")]
    references: Vec<String>,
}

pub(crate) async fn run(context: &Context, args: &OutdatedArgs) -> Result<Exit, CliError> {
    let manager = context.open().await?;
    let models = if args.references.is_empty() {
        all(&manager).await?
    } else {
        let mut models = Vec::new();
        for reference in &args.references {
            let reference = RefArgs {
                reference: reference.clone(),
                selection: SelectionArgs::default(),
            };
            let id = registry::find(&manager, &reference).await?;
            models.push(manager.model(&id).await?);
        }
        models
    };
    let compared = manager.compare(models).await?;
    if context.output.is_json() {
        output::json(&compared)?;
    } else {
        let rows: Vec<[String; 5]> = compared.iter().map(row).collect();
        output::table(["MODEL", "REVISION", "HERE", "HUB", "STATE"], &rows)?;
    }
    Ok(verdict(&compared))
}

fn row(compared: &Comparison) -> [String; 5] {
    let short = |commit: &Option<CommitHash>| {
        commit
            .as_ref()
            .map_or_else(String::new, |commit| commit.as_str()[..10].to_owned())
    };
    let state = match (&compared.freshness, &compared.error) {
        (Freshness::Current, _) => "current".to_owned(),
        (Freshness::Moved, _) => "moved".to_owned(),
        (Freshness::Pinned, _) => "pinned".to_owned(),
        (Freshness::NotHere, _) => "not here".to_owned(),
        (Freshness::Unknown, Some(error)) => format!("unknown: {error}"),
        (Freshness::Unknown, None) => "unknown".to_owned(),
    };
    [
        compared.model_id.to_string(),
        compared.revision.to_string(),
        short(&compared.here),
        short(&compared.there),
        state,
    ]
}

/// No answer goes before "moved": the list is not complete then.
fn verdict(compared: &[Comparison]) -> Exit {
    let failure = compared.iter().find_map(|one| one.error.clone());
    if let Some(failure) = failure {
        return Exit::from(&ManagerError::Failure(failure));
    }
    if compared.iter().any(|one| one.freshness == Freshness::Moved) {
        Exit::Outdated
    } else {
        Exit::Done
    }
}
