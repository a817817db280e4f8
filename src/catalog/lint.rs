//! Compares a template with the listing of a repository that it is meant for.
//!
//! Invariant: a template without an `Error` finding can be planned with for that listing, in every variant. Hints
//! are no faults: a template for many repositories names files that one of them lacks.

use std::fmt;

use serde::Serialize;

use super::fnmatch::{Filter, Pattern};
use super::rules::Rules;
use super::select::{NoPlan, choose};
use super::sort::describe;
use super::warning::{is_code, is_pickled};
use super::{Catalog, Template, Warning};
use crate::domain::RemoteFile;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// It may be meant.
    Hint,
    /// It works, but the template says something that is not so.
    Warning,
    /// There is no plan.
    Error,
}

/// Something about a template that does not fit a listing. `variant` is none for the template without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub(crate) enum Finding {
    /// A required pattern, a group or a part of a split file matches nothing that may be taken.
    Unmatched {
        /// The variant.
        variant: Option<String>,
        /// The pattern in backquotes, or the group with its choices.
        what: String,
    },
    /// A variant takes no file at all.
    SelectsNothing {
        /// The variant.
        variant: Option<String>,
    },
    /// An exclude pattern hides every file of a pattern that is needed.
    HidesNeeded {
        /// The variant.
        variant: Option<String>,
        /// The exclude pattern.
        exclude: String,
        /// The pattern that would have matched.
        pattern: String,
    },
    /// The chosen files are smaller or larger than the template expects.
    Size {
        /// The variant.
        variant: Option<String>,
        /// What is chosen, in bytes.
        bytes: u64,
        /// The least that is expected, in bytes.
        min: u64,
        /// The most that is expected, in bytes.
        max: u64,
    },
    /// A flag is set, but no chosen file shows it; or a chosen file shows it, but the flag is not set.
    Flag {
        /// The variant.
        variant: Option<String>,
        /// `custom_code` or `pickle`.
        flag: &'static str,
        /// Whether the template sets it.
        set: bool,
        /// A chosen file that shows it.
        example: Option<String>,
    },
    /// A pattern matches no file of the listing.
    MatchesNothing {
        /// The variant.
        variant: Option<String>,
        /// The list it stands in: `optional`, `exclude`, `except` or `choices`.
        key: &'static str,
        /// The pattern.
        pattern: String,
    },
    /// The template cannot be tried without a variant in the caller's words.
    NeedsVariant {
        /// What the caller would name.
        message: String,
    },
}

impl Finding {
    /// How much it matters.
    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::Unmatched { .. } | Self::SelectsNothing { .. } => Severity::Error,
            // Where it is fatal, the pattern is unmatched as well.
            Self::HidesNeeded { .. } | Self::Size { .. } | Self::Flag { .. } => Severity::Warning,
            Self::MatchesNothing { .. } | Self::NeedsVariant { .. } => Severity::Hint,
        }
    }

    fn variant(&self) -> Option<&str> {
        match self {
            Self::Unmatched { variant, .. }
            | Self::SelectsNothing { variant }
            | Self::HidesNeeded { variant, .. }
            | Self::Size { variant, .. }
            | Self::Flag { variant, .. }
            | Self::MatchesNothing { variant, .. } => variant.as_deref(),
            Self::NeedsVariant { .. } => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(variant) = self.variant() {
            write!(formatter, "variant `{variant}`: ")?;
        }
        match self {
            Self::Unmatched { what, .. } => write!(formatter, "no file for {what}"),
            Self::SelectsNothing { .. } => formatter.write_str("selects no file"),
            Self::HidesNeeded {
                exclude, pattern, ..
            } => {
                write!(
                    formatter,
                    "exclude `{exclude}` hides every file of `{pattern}`"
                )
            }
            Self::Size {
                bytes, min, max, ..
            } => {
                write!(
                    formatter,
                    "{bytes} bytes are outside of size {min} to {max}"
                )
            }
            Self::Flag {
                flag,
                example: Some(name),
                ..
            } => {
                write!(formatter, "`{flag}` is not set, but `{name}` is chosen")
            }
            Self::Flag {
                flag,
                example: None,
                ..
            } => {
                write!(formatter, "`{flag}` is set, but no chosen file shows it")
            }
            Self::MatchesNothing { key, pattern, .. } => {
                write!(formatter, "{key} `{pattern}` matches nothing")
            }
            Self::NeedsVariant { message } => formatter.write_str(message),
        }
    }
}

impl Catalog {
    /// What of a template does not fit a listing: errors first, then warnings, then hints.
    ///
    /// Every variant is tried; a free variant is tried with its default only.
    pub(crate) fn lint(template: &Template, files: &[RemoteFile]) -> Vec<Finding> {
        let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let mut findings = Vec::new();
        // With a default variant, the template is never used without one.
        let alone = template.variants.is_empty()
            || (template.default_variant.is_none() && Rules::of(template, None).is_ok());
        if alone {
            lint_rules(template, None, files, &names, &mut findings);
        }
        for variant in template.variants.keys() {
            lint_rules(template, Some(variant), files, &names, &mut findings);
        }
        let mut once: Vec<Finding> = Vec::with_capacity(findings.len());
        for finding in findings {
            if !once.contains(&finding) {
                once.push(finding);
            }
        }
        once.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
        once
    }
}

fn lint_rules(
    template: &Template,
    variant: Option<&str>,
    files: &[RemoteFile],
    names: &[&str],
    findings: &mut Vec<Finding>,
) {
    let rules = match Rules::of(template, variant) {
        Ok(rules) => rules,
        Err(failure) => {
            let message = failure.message;
            findings.push(Finding::NeedsVariant { message });
            return;
        }
    };
    let variant = variant.map(ToOwned::to_owned);
    lint_patterns(template, &rules, variant.as_ref(), names, findings);
    let open: [&str; 0] = [];
    match choose(&rules, &Filter::new(&open, &open), files) {
        Ok(selected) => {
            let chosen = || selected.files.iter().map(|choice| names[choice.index]);
            let mut flag = |flag: &'static str, set: bool, example: Option<&str>| {
                if set != example.is_some() {
                    findings.push(Finding::Flag {
                        variant: variant.clone(),
                        flag,
                        set,
                        example: example.map(ToOwned::to_owned),
                    });
                }
            };
            flag(
                "custom_code",
                rules.custom_code,
                chosen().find(|n| is_code(n)),
            );
            flag("pickle", rules.pickle, chosen().find(|n| is_pickled(n)));
            for warning in selected.warnings {
                if let Warning::UnusualSize { bytes, min, max } = warning {
                    let variant = variant.clone();
                    findings.push(Finding::Size {
                        variant,
                        bytes,
                        min,
                        max,
                    });
                }
            }
        }
        Err(NoPlan::Missing(missing)) => {
            findings.extend(missing.into_iter().map(|what| Finding::Unmatched {
                variant: variant.clone(),
                what,
            }));
        }
        Err(NoPlan::NothingLeft) => findings.push(Finding::SelectsNothing { variant }),
    }
}

/// Looks at each pattern alone.
fn lint_patterns(
    template: &Template,
    rules: &Rules<'_>,
    variant: Option<&String>,
    names: &[&str],
    findings: &mut Vec<Finding>,
) {
    let matching = |pattern: &Pattern| -> Vec<&str> {
        let names = names.iter().copied();
        names.filter(|name| pattern.matches(name)).collect()
    };
    // What the template says itself is reported once, not for each variant.
    let own = |pattern: &Pattern, of_template: &[Pattern]| {
        variant.filter(|_| !of_template.contains(pattern)).cloned()
    };
    for (key, list, of_template) in [
        ("optional", &rules.optional, &template.optional),
        ("exclude", &rules.exclude, &template.exclude),
    ] {
        for pattern in list.iter().filter(|pattern| matching(pattern).is_empty()) {
            findings.push(Finding::MatchesNothing {
                variant: own(pattern, of_template),
                key,
                pattern: pattern.as_str().to_owned(),
            });
        }
    }
    let hidden = |pattern: &Pattern| {
        let found = matching(pattern);
        let by = rules.excluded_by(found.first()?)?;
        found
            .iter()
            .all(|name| rules.excluded_by(name).is_some())
            .then(|| by.as_str().to_owned())
    };
    for pattern in &rules.required {
        if let Some(exclude) = hidden(pattern) {
            findings.push(Finding::HidesNeeded {
                variant: own(pattern, &template.required),
                exclude,
                pattern: pattern.as_str().to_owned(),
            });
        }
    }
    for group in &rules.groups {
        let of_template = template
            .any_of
            .iter()
            .any(|g| describe(g) == describe(group));
        let variant = variant.filter(|_| !of_template);
        let choices = group.choices.iter().flatten().map(|p| ("choices", p));
        let except = group.except.iter().map(|p| ("except", p));
        for (key, pattern) in choices.chain(except) {
            let pattern_text = || pattern.as_str().to_owned();
            if matching(pattern).is_empty() {
                findings.push(Finding::MatchesNothing {
                    variant: variant.cloned(),
                    key,
                    pattern: pattern_text(),
                });
            } else if let Some(exclude) = hidden(pattern).filter(|_| key == "choices") {
                findings.push(Finding::HidesNeeded {
                    variant: variant.cloned(),
                    exclude,
                    pattern: pattern_text(),
                });
            }
        }
    }
}
