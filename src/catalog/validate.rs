//! The rules of the template format that the grammar of TOML cannot say.
//!
//! Invariant: whatever passes can be planned with; it has something to fetch, and no list, group or variant that
//! could never work. Leaves to the loader where in a file the fault is.

use std::collections::BTreeSet;

use super::fnmatch::Pattern;
use super::template::{AnyOf, SizeRange, Template};
use super::variant::{FreeVariant, PLACEHOLDER, Variant};
use crate::domain::RepoId;

/// The format that this version reads.
const FORMAT: u32 = 1;

/// A rule of the format that a file breaks: the key, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// The key, as it is written in the file.
    pub(super) key: &'static str,
    /// One sentence.
    pub(super) message: String,
}

type Checked = Result<(), Broken>;

fn broken(key: &'static str, message: impl Into<String>) -> Checked {
    Err(Broken {
        key,
        message: message.into(),
    })
}

impl Template {
    /// Checks what can be known before the template that it extends is.
    pub(super) fn validate_alone(&self) -> Checked {
        if self.format != FORMAT {
            return broken("format", format!("this version reads format {FORMAT}"));
        }
        if !is_id(&self.id) {
            return broken(
                "id",
                "1 to 64 lower-case letters, digits or `._+-` are expected, beginning with a letter or digit",
            );
        }
        Ok(())
    }

    /// Checks the whole, with what it took from the template that it extends.
    pub(super) fn validate(&self) -> Checked {
        self.validate_alone()?;
        if self.description.trim().is_empty() {
            return broken("description", "a sentence for people is missing");
        }
        self.check_repos()?;
        let fetches = !self.required.is_empty() || self.any_of.iter().any(|group| !group.optional);
        let variants_fetch =
            !self.variants.is_empty() && self.variants.values().all(Variant::fetches);
        if !self.all_files && !fetches && !variants_fetch {
            return broken(
                "required",
                "nothing is required: name `required` files, an `any_of` group, or `all_files = true`",
            );
        }
        let lists =
            !self.required.is_empty() || !self.optional.is_empty() || !self.any_of.is_empty();
        if self.all_files && lists {
            return broken(
                "all_files",
                "it stands alone: only `exclude` may go with it",
            );
        }
        self.check_variants()?;
        check_size(self.size)?;
        check_lists(&self.required, &self.optional, &self.exclude, &self.any_of)
    }

    fn check_repos(&self) -> Checked {
        for known in &self.repos {
            let pattern = known.contains(['*', '?', '[']);
            if !pattern && known.parse::<RepoId>().is_err() {
                return broken(
                    "repos",
                    format!(
                        "`{}` is neither a repository nor a pattern",
                        known.escape_debug()
                    ),
                );
            }
        }
        Ok(())
    }

    fn check_variants(&self) -> Checked {
        if let Some(free) = &self.free_variant {
            if !self.variants.is_empty() {
                return broken("free_variant", "it cannot go with named variants");
            }
            if free.what.trim().is_empty() {
                return broken("what", "say what the variant names");
            }
            let words = free.examples.iter().chain(&self.default_variant);
            for word in words {
                if FreeVariant::parse(word).is_none() {
                    return broken(
                        "free_variant",
                        format!("`{}` cannot be part of a path", word.escape_debug()),
                    );
                }
            }
            if !self.patterns().any(|p| p.as_str().contains(PLACEHOLDER)) {
                return broken("free_variant", "no pattern holds `{variant}`");
            }
        } else if let Some(pattern) = self.patterns().find(|p| p.as_str().contains(PLACEHOLDER)) {
            return broken(
                "free_variant",
                format!(
                    "`{}` holds `{{variant}}`, but there is no [free_variant]",
                    pattern.as_str()
                ),
            );
        } else if let Some(name) = &self.default_variant
            && !self.variants.contains_key(name)
        {
            return broken("default_variant", "there is no variant of this name");
        }
        for (name, variant) in &self.variants {
            if name.trim().is_empty() || name.chars().any(char::is_control) {
                return broken("variants", "a variant needs a name that can be typed");
            }
            check_size(variant.size)?;
            check_lists(
                &variant.required,
                &variant.optional,
                &variant.exclude,
                &variant.any_of,
            )?;
        }
        Ok(())
    }

    /// Every pattern of the template and its variants.
    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let own = [&self.required, &self.optional, &self.exclude];
        let of_variants = self
            .variants
            .values()
            .flat_map(|v| [&v.required, &v.optional, &v.exclude]);
        let of_groups = self
            .any_of
            .iter()
            .chain(self.variants.values().flat_map(|v| &v.any_of))
            .flat_map(|group| group.choices.iter().chain([&group.except]));
        own.into_iter()
            .chain(of_variants)
            .chain(of_groups)
            .flatten()
    }
}

/// Whether a text may be the id of a template.
fn is_id(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._+-".contains(&b);
    (1..=64).contains(&text.len())
        && text.bytes().all(legal)
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn check_size(size: Option<SizeRange>) -> Checked {
    match size {
        Some(size) if size.min > size.max => broken("size", "`min` is larger than `max`"),
        _ => Ok(()),
    }
}

fn check_lists(
    required: &[Pattern],
    optional: &[Pattern],
    exclude: &[Pattern],
    groups: &[AnyOf],
) -> Checked {
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
        let of_group = |key, message: &str| {
            broken(
                key,
                format!("group `{}`: {message}", group.name.escape_debug()),
            )
        };
        if group.name.trim().is_empty() || !names.insert(&group.name) {
            return of_group("name", "each group needs a name of its own");
        }
        if group.choices.is_empty() || group.choices.iter().any(Vec::is_empty) {
            return of_group(
                "choices",
                "a choice without a pattern would always be satisfied",
            );
        }
        for choice in &group.choices {
            check_patterns("choices", choice)?;
        }
        check_patterns("except", &group.except)?;
    }
    Ok(())
}

fn check_patterns(key: &'static str, patterns: &[Pattern]) -> Checked {
    if patterns.iter().any(|pattern| pattern.as_str().is_empty()) {
        return broken(key, "a pattern is empty and would match nothing");
    }
    Ok(())
}
