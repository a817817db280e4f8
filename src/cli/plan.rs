//! `plan`: what a download would do, before it costs anything.

use indicatif::DecimalBytes;

use super::args::RefArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::registry::{self, Resolved};
use crate::domain::{PlanReport, PlanState};

pub(crate) async fn run(context: &Context, args: &RefArgs) -> Result<Exit, CliError> {
    let manager = context.open().await?;
    let report = match registry::resolve(&manager, args).await? {
        Resolved::Registered(id) => manager.plan(&id).await?,
        Resolved::New(model) => manager.plan_unregistered(&model).await?,
    };
    if context.output.is_json() {
        output::json(&report)?;
        return Ok(Exit::Done);
    }
    for line in head(&report) {
        output::line(&line)?;
    }
    output::line("")?;
    let rows: Vec<[String; 4]> = report
        .files
        .iter()
        .map(|file| {
            [
                file.path.to_string(),
                DecimalBytes(file.size).to_string(),
                standing(file.state, file.bytes_here),
                file.reason.clone(),
            ]
        })
        .collect();
    output::table(["FILE", "SIZE", "HERE", "WHY"], &rows)?;
    output::line("")?;
    for line in foot(&report) {
        output::line(&line)?;
    }
    Ok(Exit::Done)
}

fn head(report: &PlanReport) -> Vec<String> {
    let (Some(repo_id), Some(revision)) = (&report.repo_id, &report.revision) else {
        return vec![
            "source     addresses".to_owned(),
            format!("version    {}", report.commit),
            format!("folder     {}", report.path.display()),
        ];
    };
    let mut lines = vec![
        format!("repository {repo_id} at {revision}"),
        format!("commit     {}", report.commit),
    ];
    lines.push(match &report.variant {
        Some(variant) => format!("template   {}, variant {variant}", report.template),
        None => format!("template   {}", report.template),
    });
    let mut access = Vec::new();
    if report.gating.gated {
        access.push("gated");
    }
    if report.gating.private {
        access.push("private");
    }
    if access.is_empty() {
        access.push("open");
    }
    access.push(if report.gating.token {
        "a token is sent"
    } else {
        "no token is sent"
    });
    lines.push(format!("access     {}", access.join(", ")));
    lines
}

fn standing(state: PlanState, bytes_here: u64) -> String {
    match state {
        PlanState::Present => "yes".to_owned(),
        PlanState::Partial => DecimalBytes(bytes_here).to_string(),
        PlanState::Missing => "no".to_owned(),
        PlanState::Skipped => "skipped".to_owned(),
    }
}

fn foot(report: &PlanReport) -> Vec<String> {
    let (totals, disk) = (&report.totals, &report.disk);
    let mut lines = vec![
        format!(
            "wanted     {} in {} files; {} files are skipped",
            DecimalBytes(totals.bytes),
            totals.files,
            totals.files_skipped
        ),
        format!(
            "here       {}; {} files are whole",
            DecimalBytes(totals.bytes_here),
            totals.files_here
        ),
        format!("to fetch   {}", DecimalBytes(totals.bytes_to_fetch)),
    ];
    lines.push(if disk.fits {
        format!(
            "disk       {} free now, {} afterwards",
            DecimalBytes(disk.free),
            DecimalBytes(disk.free_after)
        )
    } else {
        format!(
            "disk       it does not fit: {} are needed and {} are free, of which {} are kept",
            DecimalBytes(disk.needed),
            DecimalBytes(disk.free),
            DecimalBytes(disk.floor)
        )
    });
    lines.extend(
        report
            .warnings
            .iter()
            .map(|warning| format!("warning    {}: {}", warning.code, warning.message)),
    );
    lines.extend(report.notes.iter().map(|note| format!("note       {note}")));
    lines
}
