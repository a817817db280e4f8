//! Reads templates: the built-in ones, and the user's folder over them.
//!
//! Invariant: a file that cannot be used never stops the others; it becomes a problem with file, line and key.
//! The built-in templates are proven to load by a test.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Serialize;

use super::template::Template;
use super::validate::Broken;
use super::{Catalog, extend};

macro_rules! builtin {
    ($($id:literal,)*) => {
        &[$(($id, include_str!(concat!("../../catalog/", $id, ".toml"))),)*]
    };
}

/// The templates that come with modelhaul, by id. The first of those that fit a repository equally well is taken.
const BUILTIN: &[(&str, &str)] = builtin![
    "everything",
    "onnx-tagger",
    "transformers",
    "transformers+code",
    "single-file",
    "gguf",
    "folder",
    "diffusers",
    "wdv3",
    "wdv3-vit",
    "wdv3-vit-large",
    "wdv3-swinv2",
    "wdv3-convnext",
    "wdv3-eva02-large",
    "wdv2-swinv2",
    "wdv2-convnext",
    "wdv2-convnextv2",
    "wdv2-moat",
    "wdv2-vit",
    "jtp2",
    "jtp1",
    "pixai-v0.9",
    "camie-onnx",
    "florence2-base",
    "florence2-large",
    "blip-base",
    "blip-large",
    "joycaption-a2",
    "moondream2",
    "moondream2-gguf",
    "yolo11",
    "adetailer",
    "grounding-dino-tiny",
    "grounding-dino-base",
    "groundingdino-original",
    "sam-vit-huge",
    "sam-vit-large",
    "sam-vit-b-original",
    "sam2-hiera-large",
    "sam2.1-hiera-large",
    "sam2.1-hiera-base-plus",
    "sam2.1-hiera-small",
    "sam2.1-hiera-tiny",
    "rtdetr-r50",
    "rtdetr-r34",
    "rtdetr-r18",
    "llada-8b-instruct",
    "llada-8b-base",
    "llada-1.5",
    "dream-coder-7b",
];

/// Longest template that is read, in bytes.
const LIMIT: u64 = 1 << 20;

/// A template of the user that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct TemplateProblem {
    /// The file or folder.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) file: PathBuf,
    /// The line, counted from 1, when one is known.
    pub(crate) line: Option<usize>,
    /// The key on that line, when one is known.
    pub(crate) key: Option<String>,
    /// One sentence.
    pub(crate) message: String,
}

/// A name that is no text is shown as far as it is one.
fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(formatter, ": `{key}`")?;
        }
        write!(formatter, ": {}", self.message)
    }
}

/// A file that was read and understood as far as it goes alone.
struct Source {
    file: PathBuf,
    text: String,
    template: Template,
}

impl Catalog {
    /// The built-in templates alone.
    pub(crate) fn builtin() -> Self {
        static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
            let sources = BUILTIN
                .iter()
                .map(|(id, text)| parse(format!("{id}.toml").into(), (*text).to_owned()));
            let sources: Vec<Source> = sources
                .collect::<Result<_, _>>()
                .expect("a test loads every built-in template");
            let mut problems = Vec::new();
            let mut templates = settle(sources, &[], &mut problems);
            for template in &mut templates {
                template.builtin = true;
            }
            debug_assert!(problems.is_empty(), "{problems:?}");
            Catalog { templates }
        });
        CATALOG.clone()
    }

    /// The built-in templates and those of the user's folder, where one of the same id goes before a built-in one.
    ///
    /// A folder that does not exist holds no template. May block; call it when starting.
    pub(crate) fn load(folder: Option<&Path>) -> (Self, Vec<TemplateProblem>) {
        let builtin = Self::builtin();
        let Some(folder) = folder else {
            return (builtin, Vec::new());
        };
        let mut problems = Vec::new();
        let mut sources: Vec<Source> = Vec::new();
        for file in template_files(folder, &mut problems) {
            match read(file) {
                Ok(source) if sources.iter().any(|s| s.template.id == source.template.id) => {
                    let message = format!(
                        "another file of the folder defines `{}` already",
                        source.template.id
                    );
                    problems.push(locate(source.file, &source.text, "id", message));
                }
                Ok(source) => sources.push(source),
                Err(problem) => problems.push(problem),
            }
        }
        let mut templates = settle(sources, &builtin.templates, &mut problems);
        let taken: BTreeSet<String> = templates.iter().map(|t| t.id.clone()).collect();
        let others = builtin.templates.into_iter();
        templates.extend(others.filter(|t| !taken.contains(&t.id)));
        for problem in &problems {
            tracing::warn!(%problem, "a template is not used");
        }
        (Self { templates }, problems)
    }
}

/// Makes templates of sources; what cannot be one becomes a problem.
fn settle(
    sources: Vec<Source>,
    base: &[Template],
    problems: &mut Vec<TemplateProblem>,
) -> Vec<Template> {
    let (places, drafts): (Vec<_>, Vec<_>) = sources
        .into_iter()
        .map(|source| ((source.file, source.text), source.template))
        .unzip();
    let (templates, refused) = extend::resolve(&drafts, base);
    for (at, Broken { key, message }) in refused {
        let (file, text) = &places[at];
        problems.push(locate(file.clone(), text, key, message));
    }
    templates
}

/// The `*.toml` files of a folder in the order of their names.
fn template_files(folder: &Path, problems: &mut Vec<TemplateProblem>) -> Vec<PathBuf> {
    let mut problem = |error: std::io::Error| {
        problems.push(TemplateProblem {
            file: folder.to_owned(),
            line: None,
            key: None,
            message: format!("the folder cannot be read: {error}"),
        });
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problem(error);
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => files.push(entry.path()),
            Err(error) => problem(error),
        }
    }
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    files
}

fn read(file: PathBuf) -> Result<Source, TemplateProblem> {
    match read_text(&file) {
        Ok(text) => parse(file, text),
        Err(message) => Err(TemplateProblem {
            file,
            line: None,
            key: None,
            message,
        }),
    }
}

fn read_text(file: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
    let too_long = || format!("it is no file of at most {LIMIT} bytes");
    // A pipe would block when it is opened.
    let facts = std::fs::metadata(file).map_err(unreadable)?;
    if !facts.is_file() {
        return Err(too_long());
    }
    let mut text = String::new();
    let file = std::fs::File::open(file).map_err(unreadable)?;
    let length = file
        .take(LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if length as u64 > LIMIT {
        return Err(too_long());
    }
    Ok(text)
}

fn parse(file: PathBuf, text: String) -> Result<Source, TemplateProblem> {
    match toml::from_str::<Template>(&text) {
        Ok(template) => match template.validate_alone() {
            Ok(()) => Ok(Source {
                file,
                text,
                template,
            }),
            Err(Broken { key, message }) => Err(locate(file, &text, key, message)),
        },
        Err(error) => {
            let line = error.span().map(|span| line_at(&text, span.start));
            Err(TemplateProblem {
                file,
                line,
                key: line.and_then(|line| key_on(&text, line)),
                message: error.message().to_owned(),
            })
        }
    }
}

/// A problem with a key, and the line of that key when the file has it.
fn locate(file: PathBuf, text: &str, key: &str, message: String) -> TemplateProblem {
    let is_key = |found: &str| found == key || found.rsplit('.').next() == Some(key);
    let line = (1..=text.lines().count())
        .find(|line| key_on(text, *line).is_some_and(|found| is_key(&found)));
    TemplateProblem {
        file,
        line,
        key: Some(key.to_owned()),
        message,
    }
}

/// The line of a byte, counted from 1.
fn line_at(text: &str, byte: usize) -> usize {
    text.char_indices()
        .take_while(|(at, _)| *at < byte)
        .filter(|(_, c)| *c == '\n')
        .count()
        + 1
}

/// The key or table that a line begins with.
fn key_on(text: &str, line: usize) -> Option<String> {
    let line = text.lines().nth(line - 1)?.trim();
    let key = match line.strip_prefix('[') {
        Some(table) => table.trim_matches(['[', ']', ' ']),
        None => line.split_once('=')?.0.trim(),
    };
    (!key.is_empty()).then(|| key.to_owned())
}
