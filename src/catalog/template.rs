//! The template format: a TOML file that says which files a family of models needs.
//!
//! Invariant: fields that are not known are errors, so a typing mistake is never silent. Leaves to `validate` what
//! the fields may say together, and to `extend` how one template adds to another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fnmatch::Pattern;
use super::variant::{FreeVariant, Variant};
use crate::domain::{Kind, RepoId, Revision};

/// Which files a family of models needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    /// The version of the format.
    pub(crate) format: u32,
    /// The name under which registrations ask for it.
    pub(crate) id: String,
    /// The template whose rules this one adds to; its own id means the built-in one of that id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extends: Option<String>,
    /// A sentence for people.
    #[serde(default)]
    pub(crate) description: String,
    /// The family, when it fits only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<Kind>,
    /// The kinds whose default it is.
    #[serde(default)]
    pub(crate) default_for: Vec<Kind>,
    /// The repositories that it was made for: ids or patterns.
    #[serde(default)]
    pub(crate) repos: Vec<String>,
    /// The revision to use when a registration names none. Built-in templates pin none, because a library that
    /// asks for `main` offline would not find another revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<Revision>,
    /// The licence of the models: the hub's word for it, or a note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) license: Option<String>,
    /// Whether the files hold program code that the model's library runs.
    #[serde(default)]
    pub(crate) custom_code: bool,
    /// Whether the weights are pickled, which can run code when they are loaded.
    #[serde(default)]
    pub(crate) pickle: bool,
    /// Take every file of the commit that `exclude` does not name.
    #[serde(default)]
    pub(crate) all_files: bool,
    /// Patterns that must each match at least one file; all that match are taken.
    #[serde(default)]
    pub(crate) required: Vec<Pattern>,
    /// Patterns that may match; all that match are taken.
    #[serde(default)]
    pub(crate) optional: Vec<Pattern>,
    /// Patterns of files that are never taken, whatever else names them.
    #[serde(default)]
    pub(crate) exclude: Vec<Pattern>,
    /// Groups of which one choice each is taken.
    #[serde(default)]
    pub(crate) any_of: Vec<AnyOf>,
    /// Changes by name, for example one size of a family.
    #[serde(default)]
    pub(crate) variants: BTreeMap<String, Variant>,
    /// The variant of registrations that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default_variant: Option<String>,
    /// A variant in the caller's words, instead of named ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) free_variant: Option<FreeVariant>,
    /// The size that is usual, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<SizeRange>,
    /// Sentences for whoever uses it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// Where its facts come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sources: Vec<String>,
    /// Whether it came with modelhaul.
    #[serde(default, skip_deserializing)]
    pub(crate) builtin: bool,
}

/// Several ways to have one thing; the first that the repository satisfies is taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnyOf {
    /// What it is, for example `weights`.
    pub(crate) name: String,
    /// The ways, best first; each pattern of a way must match at least one file.
    pub(crate) choices: Vec<Vec<Pattern>>,
    /// Patterns of files that do not count for this group, though others may take them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) except: Vec<Pattern>,
    /// Whether a repository may have none of it.
    #[serde(default)]
    pub(crate) optional: bool,
    /// Whether each folder chooses for itself; the root of the repository then has no choice.
    #[serde(default)]
    pub(crate) per_folder: bool,
}

/// A range of sizes in bytes, both ends included.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SizeRange {
    /// The least.
    pub(crate) min: u64,
    /// The most.
    pub(crate) max: u64,
}

impl Template {
    /// Whether one of its `repos` matches, upper and lower case alike, as on the hub.
    pub(crate) fn is_for(&self, repo: &RepoId) -> bool {
        let name = repo.as_str().to_ascii_lowercase();
        self.repos
            .iter()
            .any(|known| Pattern::exact(&known.to_ascii_lowercase()).matches(&name))
    }

    /// Whether one of its `repos` is this one by name, not by a pattern.
    pub(super) fn names(&self, repo: &RepoId) -> bool {
        self.repos
            .iter()
            .any(|known| known.eq_ignore_ascii_case(repo.as_str()))
    }

    /// The repository that the template's id alone stands for: the only one, or the first by name.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "a part of the module's contract that its tests hold"
        )
    )]
    pub(crate) fn default_repo(&self) -> Option<RepoId> {
        self.repos.iter().find_map(|known| known.parse().ok())
    }
}
