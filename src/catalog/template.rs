//! The template format: a TOML file that says which files a family of models needs.
//!
//! Invariant: a template that exists has a usable id, the known format, something to fetch, and no variant or
//! group that cannot work. Fields that are not known are errors, so a typing mistake is never silent.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::fnmatch::Pattern;
use crate::domain::{Kind, RepoId, Revision};

/// The format that this version reads.
const FORMAT: u32 = 1;

/// Which files a family of models needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    /// The version of the format.
    pub(crate) format: u32,
    /// The name under which registrations ask for it.
    pub(crate) id: String,
    /// A sentence for people.
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
    /// The revision to use when a registration names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<Revision>,
    /// The licence of the models, as the hub writes it.
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
    /// The size that is usual, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<SizeRange>,
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
}

/// What a variant adds to its template; a group takes the place of the template's group of that name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Whether its weights are pickled.
    #[serde(default)]
    pub(crate) pickle: bool,
    /// More required patterns.
    #[serde(default)]
    pub(crate) required: Vec<Pattern>,
    /// More optional patterns.
    #[serde(default)]
    pub(crate) optional: Vec<Pattern>,
    /// More excluded patterns.
    #[serde(default)]
    pub(crate) exclude: Vec<Pattern>,
    /// Other or more groups.
    #[serde(default)]
    pub(crate) any_of: Vec<AnyOf>,
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

/// A rule of the format that a file breaks: the key, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// The key, as it is written in the file.
    pub(super) key: &'static str,
    /// One sentence.
    pub(super) message: String,
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
    pub(crate) fn default_repo(&self) -> Option<RepoId> {
        self.repos.iter().find_map(|known| known.parse().ok())
    }

    /// Checks what the grammar of TOML cannot say.
    pub(super) fn validate(&self) -> Result<(), Broken> {
        let broken = |key, message: &str| {
            Err(Broken {
                key,
                message: message.to_owned(),
            })
        };
        if self.format != FORMAT {
            return broken("format", "this version reads format 1");
        }
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if !(1..=64).contains(&self.id.len())
            || !self.id.bytes().all(legal)
            || !self.id.as_bytes()[0].is_ascii_alphanumeric()
        {
            return broken(
                "id",
                "1 to 64 lower-case letters, digits or `._-` are expected, beginning with a letter or digit",
            );
        }
        let fetches = !self.required.is_empty() || !self.any_of.is_empty();
        let variants_fetch = !self.variants.is_empty()
            && self.default_variant.is_some()
            && self
                .variants
                .values()
                .all(|v| !v.required.is_empty() || !v.any_of.is_empty());
        if !self.all_files && !fetches && !variants_fetch {
            return broken(
                "required",
                "nothing is required: name `required` files, an `any_of` group, or `all_files = true`",
            );
        }
        if self.all_files && fetches {
            return broken(
                "all_files",
                "it stands alone: only `exclude` may go with it",
            );
        }
        if let Some(name) = &self.default_variant
            && !self.variants.contains_key(name)
        {
            return broken("default_variant", "there is no variant of this name");
        }
        if self.size.is_some_and(|size| size.min > size.max) {
            return broken("size", "`min` is larger than `max`");
        }
        if self.repos.iter().any(|known| known.trim().is_empty()) {
            return broken("repos", "a repository is empty");
        }
        check_lists(&self.required, &self.optional, &self.exclude, &self.any_of)?;
        self.variants
            .values()
            .try_for_each(|v| check_lists(&v.required, &v.optional, &v.exclude, &v.any_of))
    }
}

fn check_lists(
    required: &[Pattern],
    optional: &[Pattern],
    exclude: &[Pattern],
    groups: &[AnyOf],
) -> Result<(), Broken> {
    let lists = [
        ("required", required),
        ("optional", optional),
        ("exclude", exclude),
    ];
    for (key, list) in lists {
        check_patterns(key, list)?;
    }
    let mut names = BTreeSet::new();
    for group in groups {
        let broken = |key, message: &str| {
            Err(Broken {
                key,
                message: format!("group `{}`: {message}", group.name.escape_debug()),
            })
        };
        if group.name.trim().is_empty() || !names.insert(&group.name) {
            return broken("name", "each group needs a name of its own");
        }
        if group.choices.is_empty() || group.choices.iter().any(Vec::is_empty) {
            return broken(
                "choices",
                "a choice without a pattern would always be satisfied",
            );
        }
        for choice in &group.choices {
            check_patterns("choices", choice)?;
        }
    }
    Ok(())
}

fn check_patterns(key: &'static str, patterns: &[Pattern]) -> Result<(), Broken> {
    let empty = patterns.iter().any(|pattern| pattern.as_str().is_empty());
    if empty {
        return Err(Broken {
            key,
            message: "a pattern is empty and would match nothing".to_owned(),
        });
    }
    Ok(())
}
