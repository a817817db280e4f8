//! `cache rm`: says what goes, and takes it out only when told so.

use std::io::{self, IsTerminal as _};

use clap::Args;
use indicatif::DecimalBytes;

use super::super::context::Context;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::output;
use crate::domain::{Failure, FailureCode, Removal};

/// What to remove.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  modelhaul cache rm org/name --dry-run
  modelhaul cache rm org/name@v1.0 --yes
  modelhaul cache rm dataset/org/name 7ece29097d9d9c1b8c2d1f0a5b6c7d8e9f0a1b2c --yes")]
pub(crate) struct RmArgs {
    /// A repository, `org/name@revision`, a commit, or a registered id.
    #[arg(value_name = "TARGET", required = true)]
    targets: Vec<String>,
    /// Remove it; without this a terminal only sees what would go.
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,
    /// Say what would go.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, args: &RmArgs) -> Result<Exit, CliError> {
    if !args.yes && !args.dry_run && !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "nobody can be asked here: add --yes to remove it, or --dry-run to look".to_owned(),
        ));
    }
    let output = context.output;
    let manager = context.open().await?;
    let mut targets = Vec::with_capacity(args.targets.len());
    for text in &args.targets {
        targets.push(manager.cache_target(text).await?);
    }
    // A name that is not there stops all of it: it may be a slip of the hand.
    let planned = manager.remove_cached(&targets, true).await?;
    if !planned.missing.is_empty() {
        let message = format!("not in the cache: {}", planned.missing.join(", "));
        return Err(CliError::Ended(
            Failure::new(FailureCode::FileNotFound, message)
                .with_remedy("`modelhaul cache ls` lists what is there"),
        ));
    }
    let removal = if args.yes {
        manager.remove_cached(&targets, false).await?
    } else {
        planned
    };
    if output.is_json() {
        output::json(&removal)?;
    } else {
        for line in lines(&removal) {
            output::line(&line)?;
        }
    }
    if !args.yes && !args.dry_run {
        output.hint("nothing was removed: add --yes to do it");
    }
    Ok(Exit::Done)
}

fn lines(removal: &Removal) -> Vec<String> {
    let verb = if removal.dry_run {
        "would remove"
    } else {
        "removed"
    };
    let mut lines: Vec<String> = removal
        .revisions
        .iter()
        .map(|revision| {
            let refs = match revision.refs.len() {
                0 => String::new(),
                _ => format!(", refs {}", revision.refs.join(" ")),
            };
            let folder = if revision.whole_repo {
                ", with the repository's folder"
            } else {
                ""
            };
            let users: Vec<String> = revision
                .models
                .iter()
                .map(|model| format!(", used by {model}"))
                .collect();
            format!(
                "{verb} {}/{} {} {}{refs}{folder}{}",
                revision.repo_type,
                revision.repo_id,
                revision.commit,
                DecimalBytes(revision.size_on_disk),
                users.concat()
            )
        })
        .collect();
    let frees = if removal.dry_run {
        "would free"
    } else {
        "freed"
    };
    lines.push(format!("{frees} {}", DecimalBytes(removal.freed_size)));
    lines
}
