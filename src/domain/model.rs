//! A model: what may be downloaded, and where it stands.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::state::words;
use super::{CommitHash, ModelId, RepoId, Revision, UnknownWord, UrlFile};

words! {
    /// The families of models that an app registers.
    Kind, "kind" {
        /// Captioners and taggers.
        Caption = "caption",
        /// Detectors and segmenters.
        Detection = "detection",
        /// Diffusion language models.
        DiffusionLlm = "diffusion_llm",
        /// Anything else.
        Generic = "generic",
    }
}

/// Which files of a repository are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Selection {
    /// The template's id; none means the default of the kind, or `everything`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The template's variant, for example one size of a family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// `fnmatch` patterns of which one must match; empty means all files of the template.
    #[serde(default)]
    pub allow_patterns: Vec<String>,
    /// `fnmatch` patterns of which none may match.
    #[serde(default)]
    pub ignore_patterns: Vec<String>,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A model repository on the hub.
    Hub {
        /// The repository.
        repo_id: RepoId,
        /// The branch, tag or commit.
        revision: Revision,
        /// Which of its files.
        selection: Selection,
    },
    /// Files outside of the hub, each with its address; they go into a folder that modelhaul manages.
    Urls {
        /// The files, at least one.
        files: Vec<UrlFile>,
    },
    /// A download function of the app, found by the model's id.
    Handler {
        /// Where the function puts the model, if the app said so.
        model_path: Option<PathBuf>,
    },
}

/// A registration as a caller gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewModel {
    /// The id under which apps ask for it.
    pub model_id: ModelId,
    /// The family.
    pub kind: Kind,
    /// Where it comes from.
    pub origin: Origin,
    /// A sentence for people.
    pub description: Option<String>,
    /// The caller's guess of the size in bytes, shown until the plan is known.
    pub total_size_estimate: Option<u64>,
    /// The caller's guess of the number of files, shown until the plan is known.
    pub file_count_estimate: Option<u64>,
}

/// What is complete in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The commit that is complete; none for a handler's model.
    pub commit: Option<CommitHash>,
    /// Bytes of all its wanted files.
    pub bytes: u64,
    /// Number of its wanted files.
    pub files: u64,
    /// Whether every file's hash was compared by modelhaul.
    pub verified: bool,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// A registration as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The store's key.
    pub key: i64,
    /// What was registered.
    pub spec: NewModel,
    /// What is complete, if anything is.
    pub readiness: Option<Readiness>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl Model {
    /// The id under which apps ask for it.
    pub fn id(&self) -> &ModelId {
        &self.spec.model_id
    }
}
