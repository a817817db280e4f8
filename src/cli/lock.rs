//! `lock`: writes down which commits and contents models are made of. Also reads the file for `pull --locked`.
//!
//! The file is replaced in one step, and two commands that change it at once take turns.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::{RefArgs, SelectionArgs};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::models::all;
use super::output;
use super::registry::{self, Resolved};
use crate::domain::Origin;
use crate::manager::{LockFile, LockedModel, UnifiedModelDownloadManager};

/// Longest lock file that is read, in bytes.
const LIMIT: u64 = 64 << 20;

/// What to lock.
#[derive(Debug, Args)]
#[command(after_help = "\
Without REF the file holds all registered models afterwards and nothing else; with REF only these change.
A model that is complete here is locked to what is here, another one to what a download would bring now.")]
pub(crate) struct LockArgs {
    /// Registered ids, template ids or `org/name[@revision]`.
    #[arg(value_name = "REF")]
    references: Vec<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// The lock file.
    #[arg(long = "lock", value_name = "FILE", default_value = "models.lock")]
    file: PathBuf,
}

pub(crate) async fn run(context: &Context, args: &LockArgs) -> Result<Exit, CliError> {
    let manager = context.open().await?;
    let chosen = args.selection.selects();
    if args.references.is_empty() && chosen {
        return Err(CliError::Usage(
            "patterns, a template and a variant need a REF that they speak of".to_owned(),
        ));
    }
    let models = if args.references.is_empty() {
        everything(context, &manager).await?
    } else {
        let mut models = Vec::new();
        for reference in &args.references {
            let reference = RefArgs {
                reference: reference.clone(),
                selection: args.selection.clone(),
            };
            models.push(match registry::resolve(&manager, &reference).await? {
                Resolved::Registered(id) => manager.lock(&id).await?,
                Resolved::New(model) => manager.lock_unregistered(&model).await?,
            });
        }
        models
    };
    let (file, keep) = (args.file.clone(), !args.references.is_empty());
    let (count, files) = (
        models.len(),
        models.iter().map(|model| model.files.len()).sum::<usize>(),
    );
    let written = tokio::task::spawn_blocking(move || update(&file, models, keep)).await;
    written.map_err(|error| CliError::Io {
        what: "the lock file cannot be written",
        source: error.into(),
    })??;
    if context.output.is_json() {
        output::json(&serde_json::json!({
            "file": args.file.display().to_string(), "models": count, "files": files,
        }))?;
    } else {
        output::line(&format!(
            "locked {count} models with {files} files in {}",
            args.file.display()
        ))?;
    }
    Ok(Exit::Done)
}

async fn everything(
    context: &Context,
    manager: &UnifiedModelDownloadManager,
) -> Result<Vec<LockedModel>, CliError> {
    let mut locked = Vec::new();
    for model in all(manager).await? {
        if matches!(model.spec.origin, Origin::Hub { .. }) {
            locked.push(manager.lock(model.id()).await?);
        } else {
            context.output.hint(&format!(
                "{} is left out: it does not come from the hub",
                model.id()
            ));
        }
    }
    Ok(locked)
}

/// Reads a lock file.
pub(crate) fn read(path: &Path) -> Result<LockFile, CliError> {
    read_if_there(path)?.ok_or_else(|| CliError::LockFile {
        path: path.to_owned(),
        reason: "there is no such file; `modelhaul lock` writes one".to_owned(),
    })
}

fn read_if_there(path: &Path) -> Result<Option<LockFile>, CliError> {
    let bad = |reason: String| CliError::LockFile {
        path: path.to_owned(),
        reason,
    };
    let text = match fs::metadata(path) {
        Ok(facts) if facts.is_file() && facts.len() <= LIMIT => fs::read_to_string(path),
        Ok(_) => return Err(bad(format!("it is no file of at most {LIMIT} bytes"))),
        Err(error) => Err(error),
    };
    match text {
        Ok(text) => match LockFile::parse(&text) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) => Err(bad(error.to_string())),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(bad(format!("it cannot be read: {error}"))),
    }
}

/// Puts the models into the file; `keep` leaves the others that are in it.
fn update(path: &Path, models: Vec<LockedModel>, keep: bool) -> Result<(), CliError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let wrap = |source: io::Error| CliError::Io {
        what: "the lock file cannot be written",
        source,
    };
    // The folder stands in for the file, which is another one after each rename.
    let turn = File::open(folder).map_err(wrap)?;
    turn.lock().map_err(wrap)?;
    let before = if keep { read_if_there(path)? } else { None };
    let lock = match before {
        Some(before) => before.with(models),
        None => LockFile::new(models),
    };
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = folder.join(name);
    let written = write(&fresh, &lock.render()).and_then(|()| replace(&fresh, path));
    if written.is_err() {
        // What is left of it is of no use; the error that is reported is the first one.
        drop(fs::remove_file(&fresh));
    }
    written.and_then(|()| turn.sync_all()).map_err(wrap)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a lock file is no part of the cache, and a reader must never see half of it"
)]
fn replace(fresh: &Path, path: &Path) -> io::Result<()> {
    fs::rename(fresh, path)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: &str, digit: &str) -> LockedModel {
        let text = format!(
            "version = 1\n[[model]]\nid = \"{id}\"\nkind = \"generic\"\nrepo = \"o/{id}\"\nrevision = \"main\"\n\
             commit = \"{}\"\n[[model.files]]\npath = \"x\"\nsize = 1\nsha256 = \"{}\"\n",
            digit.repeat(40),
            digit.repeat(64)
        );
        LockFile::parse(&text).unwrap().models()[0].clone()
    }

    fn commits(path: &Path) -> Vec<String> {
        let lock = read(path).unwrap();
        let commit = |model: &LockedModel| format!("{} {}", model.id, &model.commit.as_str()[..1]);
        lock.models().iter().map(commit).collect()
    }

    #[test]
    fn some_models_change_alone_and_all_of_them_replace_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models.lock");
        update(&path, vec![model("a", "1"), model("b", "1")], false).unwrap();
        update(&path, vec![model("b", "2"), model("c", "2")], true).unwrap();
        assert_eq!(commits(&path), ["a 1", "b 2", "c 2"]);
        update(&path, vec![model("c", "3")], false).unwrap();
        assert_eq!(commits(&path), ["c 3"]);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing else is left");
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models.lock");
        std::thread::scope(|scope| {
            for id in ["a", "b", "c", "d", "e", "f"] {
                let path = &path;
                scope.spawn(move || update(path, vec![model(id, "1")], true).unwrap());
            }
        });
        assert_eq!(commits(&path).len(), 6);
    }

    #[test]
    fn a_file_that_is_not_understood_is_never_overwritten_in_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models.lock");
        fs::write(&path, "version = 2\n").unwrap();
        let refused = update(&path, vec![model("a", "1")], true).unwrap_err();
        assert!(refused.to_string().contains("version 2"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "version = 2\n");
        assert_eq!(refused.exit(), Exit::Configuration);
        let absent = read(&folder.path().join("none")).unwrap_err();
        assert!(absent.to_string().contains("no such file"), "{absent}");
    }
}
