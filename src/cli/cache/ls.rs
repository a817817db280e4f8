//! `cache ls`: one line per revision, then what is unfinished, then the total.

use chrono::{DateTime, Utc};
use indicatif::DecimalBytes;

use super::super::context::Context;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::output;
use crate::domain::{CacheReport, CachedRepo, CachedRevision, ModelId};

pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let manager = context.open().await?;
    let report = manager.cache_report().await?;
    if context.output.is_json() {
        output::json(&report)?;
        return Ok(Exit::Done);
    }
    let head = [
        "REPOSITORY",
        "REVISION",
        "SIZE",
        "FILES",
        "USED",
        "REFS",
        "STATE",
        "MODELS",
    ];
    output::table(head, &rows(&report, context.clock.now()))?;
    for line in rest(&report) {
        output::line(&line)?;
    }
    for warning in &report.warnings {
        context.output.hint(&format!("warning: {warning}"));
    }
    Ok(Exit::Done)
}

fn rows(report: &CacheReport, now: DateTime<Utc>) -> Vec<[String; 8]> {
    let all = report.repos.iter().flat_map(|repo| {
        let revisions = repo.revisions.iter();
        revisions.map(move |revision| row(repo, revision, now))
    });
    all.collect()
}

fn row(repo: &CachedRepo, revision: &CachedRevision, now: DateTime<Utc>) -> [String; 8] {
    let models: Vec<&str> = revision.models.iter().map(ModelId::as_str).collect();
    [
        name(repo),
        revision.commit.chars().take(12).collect(),
        DecimalBytes(revision.size_on_disk).to_string(),
        revision.files.to_string(),
        ago(repo.last_accessed, now),
        revision.refs.join(" "),
        state(revision).to_owned(),
        models.join(" "),
    ]
}

/// The id, with its type in front unless it is a model: what `cache rm` takes.
fn name(repo: &CachedRepo) -> String {
    match repo.repo_type.as_str() {
        "model" => repo.repo_id.clone(),
        other => format!("{other}/{}", repo.repo_id),
    }
}

fn state(revision: &CachedRevision) -> &'static str {
    match (revision.complete, revision.verified) {
        _ if revision.dangling > 0 => "broken links",
        (Some(true), true) => "verified",
        (Some(true), false) => "complete",
        (Some(false), _) => "incomplete",
        (None, _) => "",
    }
}

/// Unfinished downloads, blobs that nothing shows, and the total.
fn rest(report: &CacheReport) -> Vec<String> {
    let mut lines = Vec::new();
    for repo in &report.repos {
        for file in &repo.partial {
            let size = DecimalBytes(file.size);
            lines.push(format!("unfinished  {}  {size}  {}", name(repo), file.name));
        }
        if repo.unlinked_size > 0 {
            let size = DecimalBytes(repo.unlinked_size);
            lines.push(format!("not shown by any revision  {}  {size}", name(repo)));
        }
    }
    let repos = report.repos.len();
    let size = DecimalBytes(report.size_on_disk);
    let partial = match report.partial_size {
        0 => String::new(),
        bytes => format!(", and {} of unfinished downloads", DecimalBytes(bytes)),
    };
    lines.push(format!(
        "total  {size} in {repos} repositories{partial}, in {}",
        report.cache_dir.display()
    ));
    lines
}

/// How long ago, in the largest whole unit.
fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - then).num_seconds().max(0);
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_whole_units_and_never_lie_in_the_future() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let told = |seconds: i64| {
            ago(
                DateTime::from_timestamp(1_000_000 - seconds, 0).unwrap(),
                now,
            )
        };
        assert_eq!(told(-50), "0 seconds ago");
        assert_eq!(told(61), "1 minute ago");
        assert_eq!(told(7200), "2 hours ago");
        assert_eq!(told(86_400 * 40), "40 days ago");
    }
}
