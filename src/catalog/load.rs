//! Reads templates: the built-in ones, and the user's folder over them.
//!
//! Invariant: a file that cannot be used never stops the others; it becomes a problem with file, line and key.
//! The built-in templates are proven to load by a test.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Catalog;
use super::template::{Broken, Template};

/// The templates that come with modelhaul.
const BUILTIN: &[(&str, &str)] = &[
    ("wdv3.toml", include_str!("../../catalog/wdv3.toml")),
    ("jtp2.toml", include_str!("../../catalog/jtp2.toml")),
    (
        "transformers.toml",
        include_str!("../../catalog/transformers.toml"),
    ),
    (
        "everything.toml",
        include_str!("../../catalog/everything.toml"),
    ),
];

/// Longest template that is read, in bytes.
const LIMIT: u64 = 1 << 20;

/// A template of the user that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateProblem {
    /// The file or folder.
    pub(crate) file: PathBuf,
    /// The line, counted from 1, when one is known.
    pub(crate) line: Option<usize>,
    /// The key on that line, when one is known.
    pub(crate) key: Option<String>,
    /// One sentence.
    pub(crate) message: String,
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

impl Catalog {
    /// The built-in templates alone.
    pub(crate) fn builtin() -> Self {
        let templates = BUILTIN
            .iter()
            .map(|(name, text)| {
                let mut template =
                    parse(Path::new(name), text).expect("a test loads every built-in template");
                template.builtin = true;
                template
            })
            .collect();
        Self { templates }
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
        let mut own: Vec<Template> = Vec::new();
        for file in template_files(folder, &mut problems) {
            match read(&file) {
                Ok(template) if own.iter().any(|t| t.id == template.id) => {
                    problems.push(TemplateProblem {
                        file,
                        line: None,
                        key: Some("id".to_owned()),
                        message: format!(
                            "another file of the folder defines `{}` already",
                            template.id
                        ),
                    });
                }
                Ok(template) => own.push(template),
                Err(problem) => problems.push(problem),
            }
        }
        let taken: BTreeSet<String> = own.iter().map(|t| t.id.clone()).collect();
        own.extend(
            builtin
                .templates
                .into_iter()
                .filter(|t| !taken.contains(&t.id)),
        );
        for problem in &problems {
            tracing::warn!(%problem, "a template is not used");
        }
        (Self { templates: own }, problems)
    }
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

fn read(file: &Path) -> Result<Template, TemplateProblem> {
    let problem = |message: String| TemplateProblem {
        file: file.to_owned(),
        line: None,
        key: None,
        message,
    };
    let facts =
        std::fs::metadata(file).map_err(|error| problem(format!("it cannot be read: {error}")))?;
    if !facts.is_file() || facts.len() > LIMIT {
        return Err(problem(format!("it is no file of at most {LIMIT} bytes")));
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| problem(format!("it cannot be read: {error}")))?;
    parse(file, &text)
}

fn parse(file: &Path, text: &str) -> Result<Template, TemplateProblem> {
    let template: Template = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_at(text, span.start));
        TemplateProblem {
            file: file.to_owned(),
            line,
            key: line.and_then(|line| key_on(text, line)),
            message: error.message().to_owned(),
        }
    })?;
    template.validate().map_err(|Broken { key, message }| {
        let line = (1..=text.lines().count())
            .find(|line| key_on(text, *line).is_some_and(|found| found == key));
        TemplateProblem {
            file: file.to_owned(),
            line,
            key: Some(key.to_owned()),
            message,
        }
    })?;
    Ok(template)
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
