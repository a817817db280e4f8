//! `models`: list, add and remove registrations.

use clap::{Args, Subcommand};
use indicatif::DecimalBytes;
use serde_json::{Value, json};

use super::args::SelectionArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use super::reference::{HubReference, selection};
use super::url_file;
use crate::config::parse_size;
use crate::domain::{Kind, Model, ModelId, NewModel, Origin};
use crate::manager::{RemovedFolder, UnifiedModelDownloadManager};

/// How many registrations are read at once.
const PAGE: u32 = 500;

/// What to do with registrations.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List them.
    Ls,
    /// Add one; the same one again changes nothing.
    Add(Box<AddArgs>),
    /// Remove one; the cache is not touched, but the files of a model from addresses go with it.
    Rm {
        /// Its id.
        #[arg(value_name = "ID")]
        id: ModelId,
    },
}

/// A registration.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The id under which apps ask for it.
    #[arg(value_name = "ID")]
    id: ModelId,
    /// The repository, `org/name[@revision]`.
    #[arg(
        value_name = "REPO",
        required_unless_present = "url",
        conflicts_with = "url"
    )]
    repo: Option<String>,
    /// A file by its address, in the place of a repository; may be given more than once. Behind a `#` may stand what is
    /// known of it: `path=NAME`, `sha256=HEX`, `size=BYTES`, `credential=NAME`, with `&` between them.
    #[arg(long, value_name = "URL[#FACTS]", conflicts_with_all = ["include", "exclude", "template", "variant"])]
    url: Vec<String>,
    /// The sha256 of the one file of `--url`.
    #[arg(long, value_name = "HEX", requires = "url")]
    sha256: Option<String>,
    /// The credential of the configuration for every `--url` that names none.
    #[arg(long, value_name = "NAME", requires = "url")]
    credential: Option<String>,
    /// Its family: caption, detection, `diffusion_llm` or generic.
    #[arg(long, default_value_t = Kind::Generic)]
    kind: Kind,
    #[command(flatten)]
    selection: SelectionArgs,
    /// A sentence for people.
    #[arg(long)]
    description: Option<String>,
    /// A guess of its size, for example 1.2GB, shown until the size is known.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: Option<u64>,
    /// A guess of its number of files, shown until the number is known.
    #[arg(long, value_name = "N")]
    files: Option<u64>,
}

pub(crate) async fn run(context: &Context, command: &ModelsCommand) -> Result<Exit, CliError> {
    let manager = context.open().await?;
    match command {
        ModelsCommand::Ls => list(context, &manager).await,
        ModelsCommand::Add(args) => add(context, &manager, args).await,
        ModelsCommand::Rm { id } => {
            let folder = manager.remove(id).await?;
            if context.output.is_json() {
                let mut removed = json!({"model_id": id, "removed": true});
                if let Some(folder) = folder {
                    removed["folder"] = json!(folder.path);
                    removed["bytes"] = json!(folder.bytes);
                }
                output::json(&removed)?;
            } else if let Some(RemovedFolder { path, bytes }) = folder {
                let (path, size) = (path.display(), DecimalBytes(bytes));
                output::line(&format!("removed {id}, and its files in {path} ({size})"))?;
            } else {
                output::line(&format!("removed {id}"))?;
            }
            Ok(Exit::Done)
        }
    }
}

/// Every registration, in the order of the ids.
pub(crate) async fn all(manager: &UnifiedModelDownloadManager) -> Result<Vec<Model>, CliError> {
    let mut models: Vec<Model> = Vec::new();
    loop {
        let after = models.last().map(|model| model.id().clone());
        let page = manager.models(after.as_ref(), PAGE).await?;
        if page.is_empty() {
            return Ok(models);
        }
        models.extend(page);
    }
}

async fn list(context: &Context, manager: &UnifiedModelDownloadManager) -> Result<Exit, CliError> {
    let models = all(manager).await?;
    if context.output.is_json() {
        let models: Vec<Value> = models.iter().map(object).collect();
        output::json(&models)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 5]> = models
        .iter()
        .map(|model| {
            let (source, template) = match &model.spec.origin {
                Origin::Hub {
                    repo_id,
                    revision,
                    selection,
                } => (
                    format!("{repo_id}@{revision}"),
                    selection.template.clone().unwrap_or_default(),
                ),
                Origin::Urls { files } => {
                    let more = files.len().saturating_sub(1);
                    let first = files.first().map(|file| file.url.to_string());
                    let first = first.unwrap_or_default();
                    let source = if more == 0 {
                        first
                    } else {
                        format!("{first} and {more} more")
                    };
                    (source, String::new())
                }
                Origin::Handler { .. } => ("the app's function".to_owned(), String::new()),
            };
            let ready = if model.readiness.is_some() { "yes" } else { "" };
            [
                model.id().to_string(),
                model.spec.kind.to_string(),
                source,
                template,
                ready.to_owned(),
            ]
        })
        .collect();
    output::table(["MODEL", "KIND", "SOURCE", "TEMPLATE", "COMPLETE"], &rows)?;
    Ok(Exit::Done)
}

async fn add(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
    args: &AddArgs,
) -> Result<Exit, CliError> {
    let origin = origin(args)?;
    let registered = manager
        .register(NewModel {
            model_id: args.id.clone(),
            kind: args.kind,
            origin,
            description: args.description.clone(),
            total_size_estimate: args.size,
            file_count_estimate: args.files,
        })
        .await?;
    if context.output.is_json() {
        let mut model = object(&registered.model);
        model["created"] = registered.created.into();
        output::json(&model)?;
    } else if registered.created {
        output::line(&format!("added {}", args.id))?;
    } else {
        output::line(&format!("{} is registered already", args.id))?;
    }
    Ok(Exit::Done)
}

fn origin(args: &AddArgs) -> Result<Origin, CliError> {
    if let Some(repo) = &args.repo {
        let repo = args.selection.repo_type.in_front_of(repo);
        let hub = HubReference::parse(&repo, selection(&args.selection))?;
        return Ok(hub.as_written());
    }
    if args.sha256.is_some() && args.url.len() != 1 {
        let rule = "--sha256 is for one --url; write `--url URL#sha256=HEX` for each of several";
        return Err(CliError::Usage(rule.to_owned()));
    }
    let sha256 = args
        .sha256
        .as_deref()
        .map(url_file::sha256_of)
        .transpose()?;
    let read = |url: &String| url_file::read(url, sha256.as_ref(), args.credential.as_deref());
    let files = args.url.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Origin::Urls { files })
}

/// A registration with the names of the registration body.
fn object(model: &Model) -> Value {
    let spec = &model.spec;
    let mut object = json!({
        "model_id": spec.model_id,
        "kind": spec.kind,
        "description": spec.description,
        "total_size_estimate": spec.total_size_estimate,
        "file_count_estimate": spec.file_count_estimate,
        "complete": model.readiness.is_some(),
        "created_at": model.created_at,
        "updated_at": model.updated_at,
    });
    match &spec.origin {
        Origin::Hub {
            repo_id,
            revision,
            selection,
        } => {
            object["repo_id"] = json!(repo_id);
            object["revision"] = json!(revision);
            object["template"] = json!(selection.template);
            object["variant"] = json!(selection.variant);
            object["allow_patterns"] = json!(selection.allow_patterns);
            object["ignore_patterns"] = json!(selection.ignore_patterns);
        }
        Origin::Urls { files } => {
            let shown = files.iter().map(|file| {
                json!({
                    "url": file.url.to_string(),
                    "path": file.path,
                    "sha256": file.sha256,
                    "size": file.size,
                    "credential": file.credential,
                })
            });
            object["files"] = shown.collect();
        }
        Origin::Handler { model_path } => {
            object["model_path"] =
                json!(model_path.as_ref().map(|path| path.display().to_string()));
        }
    }
    object
}
