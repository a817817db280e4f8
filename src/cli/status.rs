//! `status`: where a model stands, or all of them.

use clap::Args;
use indicatif::DecimalBytes;

use super::args::{RefArgs, SelectionArgs};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::models::all;
use super::output;
use super::progress::{activity, line};
use super::registry;
use crate::domain::{ModelStatus, ProgressStatus};

/// Which model.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// A registered id, or `org/name[@revision]`; without one all registered models are shown.
    #[arg(value_name = "REF")]
    reference: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
}

pub(crate) async fn run(context: &Context, args: &StatusArgs) -> Result<Exit, CliError> {
    let output = context.output;
    let manager = context.open().await?;
    if let Some(reference) = &args.reference {
        let reference = RefArgs {
            reference: reference.clone(),
            selection: args.selection.clone(),
        };
        let id = registry::find(&manager, &reference).await?;
        let status = manager.get_download_status(&id).await?;
        if output.is_json() {
            output::json(&status)?;
        } else {
            for line in details(&status) {
                output::line(&line)?;
            }
        }
        return Ok(Exit::Done);
    }
    let mut statuses = Vec::new();
    for model in all(&manager).await? {
        statuses.push(manager.get_download_status(model.id()).await?);
    }
    if output.is_json() {
        output::json(&statuses)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 5]> = statuses
        .iter()
        .map(|status| {
            [
                status.model_id.to_string(),
                status.status.to_string(),
                activity(status),
                percent(&status.progress),
                size(&status.progress),
            ]
        })
        .collect();
    output::table(["MODEL", "STATUS", "STATE", "DONE", "SIZE"], &rows)?;
    Ok(Exit::Done)
}

fn details(status: &ModelStatus) -> Vec<String> {
    let mut lines = vec![line(status), format!("status     {}", status.status)];
    if let Some(job) = status.job_id {
        lines.push(format!("job        {job}, attempt {}", status.attempt));
    }
    let progress = &status.progress;
    if let Some(total) = progress.files_total {
        lines.push(format!(
            "files      {} of {total}",
            progress.files_downloaded
        ));
    }
    let cache = &status.cache;
    let state = match (cache.complete, cache.verified, cache.exists) {
        (true, true, _) => "complete and verified",
        (true, false, _) => "complete, hashes not compared",
        (false, _, true) => "incomplete",
        (false, _, false) => "nothing there",
    };
    lines.push(format!("cache      {state}"));
    if let Some(commit) = &cache.commit {
        lines.push(format!("commit     {commit}"));
    }
    if let Some(path) = &cache.path {
        lines.push(format!("path       {}", path.display()));
    }
    if !cache.missing.is_empty() {
        lines.push(format!("missing    {}", cache.missing.join(", ")));
    }
    if let Some(error) = &status.error {
        lines.push(format!("last error {}: {error}", error.code));
    }
    lines
}

pub(crate) fn percent(progress: &ProgressStatus) -> String {
    progress
        .percent
        .map_or_else(String::new, |percent| format!("{percent:.1}%"))
}

pub(crate) fn size(progress: &ProgressStatus) -> String {
    progress
        .bytes_total
        .map_or_else(String::new, |total| DecimalBytes(total).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::progress::tests::status;
    use super::*;
    use crate::domain::{Failure, FailureCode};

    #[test]
    fn details_say_what_is_missing_and_why() {
        let mut status = status("failed");
        status.cache.exists = true;
        status.cache.missing = vec!["model.onnx".to_owned()];
        status.error =
            Some(Failure::new(FailureCode::Gated, "gated").with_remedy("accept the licence"));
        let text = details(&status).join("\n");
        assert!(text.contains("cache      incomplete"), "{text}");
        assert!(text.contains("missing    model.onnx"), "{text}");
        assert!(text.contains("gated: gated (accept the licence)"), "{text}");
    }
}
