//! A script: what a practice hub serves and what goes wrong, as a text in TOML.
//!
//! A script says the same in every run: bytes that it does not name come from its seed. A word that it does not know
//! is an error with line and column, so that no fault is silently left out.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::content::{Content, mix};
use super::fault::Fault;
use super::repo::{Gate, RepoSpec};
use super::settings::Settings;

/// A script that was read and found good.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) seed: u64,
    pub(super) tokens: Vec<String>,
    pub(super) settings: Settings,
    /// Each with its branch.
    pub(super) repos: Vec<(RepoSpec, String)>,
    pub(super) faults: Vec<Fault>,
}

/// What is wrong with a script.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It is no TOML, or has words that mean nothing; the text names line and column.
    #[error("{0}")]
    Malformed(#[from] toml::de::Error),
    /// It is well formed and makes no sense.
    #[error("{0}")]
    Senseless(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    tokens: Vec<String>,
    #[serde(default)]
    settings: Settings,
    #[serde(default)]
    repos: Vec<RepoEntry>,
    #[serde(default)]
    faults: Vec<Fault>,
}

/// A repository with one commit, as scripts and the control door describe it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepoEntry {
    id: String,
    #[serde(default = "main_branch")]
    pub(super) branch: String,
    files: Vec<FileEntry>,
    #[serde(default)]
    gate: Gate,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    path: String,
    size: Option<u64>,
    seed: Option<u64>,
    text: Option<String>,
    lfs: Option<bool>,
}

fn main_branch() -> String {
    "main".to_owned()
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// When it is malformed, or names something twice, or a file has both a text and a size.
    pub fn read(text: &str) -> Result<Self, ScriptError> {
        let text: Text = toml::from_str(text)?;
        let mut ids = BTreeSet::new();
        let mut repos = Vec::new();
        for entry in text.repos {
            let branch = entry.branch.clone();
            if !ids.insert((entry.id.clone(), branch.clone())) {
                let message = format!("the repository `{}` is there twice", entry.id);
                return Err(ScriptError::Senseless(message));
            }
            let spec = entry.spec(text.seed).map_err(ScriptError::Senseless)?;
            repos.push((spec, branch));
        }
        if let Some(fault) = text.faults.iter().find(|fault| fault.path.is_empty()) {
            let message = format!("a fault has no path: {:?}", fault.does);
            return Err(ScriptError::Senseless(message));
        }
        Ok(Self {
            seed: text.seed,
            tokens: text.tokens,
            settings: text.settings,
            repos,
            faults: text.faults,
        })
    }

    /// The names of the repositories.
    pub fn repos(&self) -> impl Iterator<Item = &RepoSpec> {
        self.repos.iter().map(|(spec, _)| spec)
    }
}

impl RepoEntry {
    /// The repository; bytes that nothing names come from this seed and the file's path.
    pub(super) fn spec(self, seed: u64) -> Result<RepoSpec, String> {
        let parts: Vec<_> = self.id.split('/').collect();
        if parts.len() > 2 || parts.iter().any(|part| part.is_empty()) {
            return Err(format!(
                "`{}` is no name of a repository: owner/name is",
                self.id
            ));
        }
        let mut paths = BTreeSet::new();
        let mut spec = RepoSpec::new(&self.id).gated(self.gate);
        spec.private = self.private;
        spec.allowed = self.allow;
        for file in self.files {
            if !paths.insert(file.path.clone()) {
                return Err(format!("`{}` has `{}` twice", self.id, file.path));
            }
            if file.text.is_some() && (file.size.is_some() || file.seed.is_some()) {
                return Err(format!(
                    "`{}` has a text, and size or seed beside it",
                    file.path
                ));
            }
            let lfs = file.lfs.unwrap_or(file.text.is_none());
            let derived = || {
                file.path
                    .bytes()
                    .fold(mix(seed), |seed, byte| mix(seed ^ u64::from(byte)))
            };
            let content = match file.text {
                Some(text) => Content::bytes(text),
                None => {
                    Content::generated(file.seed.unwrap_or_else(derived), file.size.unwrap_or(0))
                }
            };
            spec = if lfs {
                spec.lfs(&file.path, content)
            } else {
                spec.file(&file.path, content)
            };
        }
        Ok(spec)
    }
}
