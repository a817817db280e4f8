//! `templates`: list, show, and compare with a repository.

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::reference::HubReference;
use crate::catalog::{Finding, Severity};
use crate::domain::Selection;
use crate::manager::UnifiedModelDownloadManager;

/// What to do with templates.
#[derive(Debug, Subcommand)]
pub(crate) enum TemplatesCommand {
    /// List them, and what is wrong with your own.
    Ls,
    /// Show one with all that it says.
    Show {
        /// Its id.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Compare one with a repository, or check that all of your own can be read.
    ///
    /// Exit code 1 when there would be no plan, or when one of your own files cannot be used.
    Check {
        /// Its id; without one only your own files are checked.
        #[arg(value_name = "ID")]
        id: Option<String>,
        /// The repository, `org/name[@revision]` [default: the one that the template is for].
        #[arg(value_name = "REPO", requires = "id")]
        repo: Option<String>,
    },
}

pub(crate) async fn run(context: &Context, command: &TemplatesCommand) -> Result<Exit, CliError> {
    let manager = context.open().await?;
    match command {
        TemplatesCommand::Ls => list(context, &manager),
        TemplatesCommand::Show { id } => show(context, &manager, id),
        TemplatesCommand::Check { id: None, .. } => check_own(context, &manager),
        TemplatesCommand::Check { id: Some(id), repo } => {
            check(context, &manager, id, repo.as_deref()).await
        }
    }
}

fn list(context: &Context, manager: &UnifiedModelDownloadManager) -> Result<Exit, CliError> {
    let mut templates = manager.templates();
    templates.sort_by(|one, other| one.id.cmp(&other.id));
    let problems = manager.template_problems();
    if context.output.is_json() {
        output::json(&json!({"items": templates, "problems": problems}))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 5]> = templates
        .into_iter()
        .map(|template| {
            [
                template.id,
                template
                    .kind
                    .map_or_else(String::new, |kind| kind.to_string()),
                if template.builtin { "" } else { "yes" }.to_owned(),
                template.repos.into_iter().next().unwrap_or_default(),
                template.description,
            ]
        })
        .collect();
    output::table(["TEMPLATE", "KIND", "OWN", "REPOSITORY", "WHAT"], &rows)?;
    for problem in problems {
        output::complain(&crate::telemetry::printable(&format!(
            "not used: {problem}"
        )));
    }
    Ok(Exit::Done)
}

fn show(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
    id: &str,
) -> Result<Exit, CliError> {
    let template = manager.template(id)?;
    if context.output.is_json() {
        output::json(template)?;
        return Ok(Exit::Done);
    }
    let text = toml::to_string(template).map_err(|error| CliError::Io {
        what: "the template cannot be written as TOML",
        source: std::io::Error::other(error),
    })?;
    for line in text.lines() {
        output::line(line)?;
    }
    Ok(Exit::Done)
}

fn check_own(context: &Context, manager: &UnifiedModelDownloadManager) -> Result<Exit, CliError> {
    let problems = manager.template_problems();
    let own = manager.templates().iter().filter(|t| !t.builtin).count();
    if context.output.is_json() {
        output::json(&json!({"own": own, "problems": problems}))?;
    } else {
        for problem in problems {
            output::line(&problem.to_string())?;
        }
        output::line(&format!("{own} of your own templates can be used"))?;
    }
    Ok(if problems.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

async fn check(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
    id: &str,
    repo: Option<&str>,
) -> Result<Exit, CliError> {
    let source = match repo {
        Some(repo) => {
            let hub = HubReference::parse(repo, Selection::default())?;
            Some((hub.repo_id, hub.revision))
        }
        None => None,
    };
    let checked = manager.check_template(id, source).await?;
    let worst = checked.findings.iter().map(Finding::severity).max();
    if context.output.is_json() {
        output::json(&checked)?;
    } else {
        output::line(&format!(
            "{} against {}@{} ({}), {} files",
            checked.template, checked.repo_id, checked.revision, checked.commit, checked.files
        ))?;
        for finding in &checked.findings {
            let severity = match finding.severity() {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Hint => "hint",
            };
            output::line(&format!("{severity:<8} {finding}"))?;
        }
        if checked.findings.is_empty() {
            output::line("nothing to say against it")?;
        }
    }
    Ok(if worst == Some(Severity::Error) {
        Exit::Failed
    } else {
        Exit::Done
    })
}
