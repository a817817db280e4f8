//! Variants: a named change of a template, or one word of the caller that is put into its patterns.
//!
//! Invariant: what a caller gives for a free variant stands for itself; no character of it is a wildcard, and it
//! cannot leave the repository. Leaves to the rules how a variant and its template add up.

use serde::{Deserialize, Serialize};

use super::fnmatch::Pattern;
use super::template::{AnyOf, SizeRange};
use crate::domain::RepoPath;

/// What stands for the caller's word in a pattern.
pub(super) const PLACEHOLDER: &str = "{variant}";

/// What a variant adds to its template; a group takes the place of the template's group of that name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Whether its files hold program code.
    #[serde(default)]
    pub(crate) custom_code: bool,
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
    /// The size that is usual for it, in bytes, instead of the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<SizeRange>,
    /// Sentences for whoever takes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

impl Variant {
    /// Whether it names files of its own.
    pub(super) fn fetches(&self) -> bool {
        !self.required.is_empty() || self.any_of.iter().any(|group| !group.optional)
    }
}

/// A variant that the caller words freely: it takes the place of `{variant}` in every pattern.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreeVariant {
    /// What the caller names, for example `the path of the file`.
    pub(crate) what: String,
    /// What it may look like.
    #[serde(default)]
    pub(crate) examples: Vec<String>,
    /// Whether upper and lower case ASCII letters of it are alike.
    #[serde(default)]
    pub(crate) any_case: bool,
}

impl FreeVariant {
    /// Checks a caller's word; none when it is no part of a path.
    pub(super) fn parse(word: &str) -> Option<String> {
        let word = word.strip_suffix('/').unwrap_or(word);
        RepoPath::parse(word).ok().map(|path| path.to_string())
    }

    /// A pattern with the word in it.
    pub(super) fn fill(&self, pattern: &Pattern, word: &str) -> Pattern {
        let text = pattern.as_str();
        if !text.contains(PLACEHOLDER) {
            return pattern.clone();
        }
        let mut safe = String::with_capacity(word.len() * 4);
        for c in word.chars() {
            match c {
                '*' | '?' | '[' => safe.extend(['[', c, ']']),
                c if self.any_case && c.is_ascii_alphabetic() => {
                    safe.extend(['[', c.to_ascii_lowercase(), c.to_ascii_uppercase(), ']']);
                }
                c => safe.push(c),
            }
        }
        Pattern::shown_as(
            &text.replace(PLACEHOLDER, &safe),
            &text.replace(PLACEHOLDER, word),
        )
    }

    /// A group with the word in its patterns.
    pub(super) fn fill_group(&self, group: &AnyOf, word: &str) -> AnyOf {
        let fill = |list: &[Pattern]| list.iter().map(|p| self.fill(p, word)).collect();
        AnyOf {
            choices: group.choices.iter().map(|choice| fill(choice)).collect(),
            except: fill(&group.except),
            ..group.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_no_wildcard_and_may_ignore_case() {
        let exact = FreeVariant {
            what: "a path".to_owned(),
            examples: Vec::new(),
            any_case: false,
        };
        let filled = exact.fill(&Pattern::new("d/{variant}"), "a[1]*?");
        assert!(filled.matches("d/a[1]*?"));
        assert!(!filled.matches("d/a1xy"));
        assert_eq!(filled.as_str(), "d/a[1]*?");
        let folded = FreeVariant {
            any_case: true,
            ..exact
        };
        let filled = folded.fill(&Pattern::new("*-{variant}.gguf"), "Q4_K_m");
        assert!(filled.matches("x-q4_k_M.gguf") && filled.matches("x-Q4_K_M.gguf"));
        assert!(!filled.matches("x-Q4_K_S.gguf"));
    }

    #[test]
    fn a_word_that_leaves_the_repository_is_refused() {
        for bad in [
            "",
            "/",
            "../x",
            "a/../b",
            "/etc/passwd",
            "C:x",
            "a\\b",
            "a\0",
        ] {
            assert_eq!(FreeVariant::parse(bad), None, "{bad:?}");
        }
        assert_eq!(FreeVariant::parse("a/b/").as_deref(), Some("a/b"));
    }
}
