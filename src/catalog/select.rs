//! Chooses the files of a plan from the listing of a commit, and says why each is in or out.
//!
//! Invariant: a plan holds at least one file and everything its template requires, or there is no plan. What the
//! caller's own allow and ignore patterns drop is dropped knowingly, so it does not count as missing.

use std::fmt;

use super::fnmatch::{Filter, Pattern};
use super::rules::Rules;
use super::{AnyOf, Catalog, Template};
use crate::domain::{Failure, FailureCode, Kind, RemoteFile, RepoId, Selection};

/// Why a file is in a plan or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The template takes every file.
    Everything,
    /// A required pattern matches.
    Required(String),
    /// It belongs to the choice taken for a group: the group's name and the pattern.
    ChoiceOf(String, String),
    /// An optional pattern matches.
    Optional(String),
    /// The template's exclude pattern matches.
    Excluded(String),
    /// The caller's patterns drop it.
    Filtered,
    /// The template does not name it.
    NotNamed,
}

impl Reason {
    /// Whether a file with this reason is fetched.
    pub(crate) fn is_chosen(&self) -> bool {
        match self {
            Self::Everything | Self::Required(_) | Self::ChoiceOf(..) | Self::Optional(_) => true,
            Self::Excluded(_) | Self::Filtered | Self::NotNamed => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => formatter.write_str("every file is taken"),
            Self::Required(pattern) => write!(formatter, "required by `{pattern}`"),
            Self::ChoiceOf(group, pattern) => write!(formatter, "{group}: `{pattern}`"),
            Self::Optional(pattern) => write!(formatter, "optional by `{pattern}`"),
            Self::Excluded(pattern) => write!(formatter, "excluded by `{pattern}`"),
            Self::Filtered => formatter.write_str("dropped by the allow or ignore patterns"),
            Self::NotNamed => formatter.write_str("not named by the template"),
        }
    }
}

/// One file of the listing and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Its place in the listing.
    pub(crate) index: usize,
    /// Why.
    pub(crate) reason: Reason,
}

/// What a selection takes of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selected {
    /// The id of the template that chose.
    pub(crate) template: String,
    /// The files to fetch, in the order of the listing.
    pub(crate) files: Vec<Choice>,
    /// The others.
    pub(crate) skipped: Vec<Choice>,
    /// Sum of the chosen files in bytes.
    pub(crate) bytes: u64,
    /// Whether nothing of the commit is left out.
    pub(crate) whole: bool,
    /// Sentences that a person should read, for example that code is part of it.
    pub(crate) notes: Vec<String>,
}

/// What the rules say of a set of names.
pub(super) struct Sorted {
    /// One reason per name.
    pub(super) reasons: Vec<Reason>,
    /// What is required and matches nothing, one sentence part each.
    pub(super) missing: Vec<String>,
}

impl Catalog {
    /// Chooses the files of `selection` from the listing of a commit.
    pub(crate) fn plan(
        &self,
        selection: &Selection,
        kind: Kind,
        repo: &RepoId,
        files: &[RemoteFile],
    ) -> Result<Selected, Failure> {
        let template = self.template_for(selection, kind, repo)?;
        let rules = Rules::of(template, selection.variant.as_deref())?;
        let filter = Filter::new(&selection.allow_patterns, &selection.ignore_patterns);
        let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let sorted = sort(&rules, &filter, &names, first_satisfied);
        if !sorted.missing.is_empty() {
            return Err(unsatisfied(template, repo, &sorted.missing));
        }
        let (chosen, skipped): (Vec<Choice>, Vec<Choice>) = sorted
            .reasons
            .into_iter()
            .enumerate()
            .map(|(index, reason)| Choice { index, reason })
            .partition(|choice| choice.reason.is_chosen());
        if chosen.is_empty() {
            return Err(nothing_left(template, repo, files.len()));
        }
        let bytes = chosen.iter().map(|choice| files[choice.index].size).sum();
        let paths = chosen.iter().map(|choice| names[choice.index]);
        Ok(Selected {
            notes: notes(template, selection, bytes, paths),
            template: template.id.clone(),
            whole: skipped.is_empty(),
            files: chosen,
            skipped,
            bytes,
        })
    }
}

/// Sorts names by the rules; `pick` names the choice of a group that is taken, given the names that may be.
pub(super) fn sort(
    rules: &Rules<'_>,
    filter: &Filter,
    names: &[&str],
    pick: impl Fn(&Candidates<'_, '_>) -> Option<usize>,
) -> Sorted {
    let mut reasons: Vec<Reason> = names
        .iter()
        .map(|name| match rules.excluded_by(name) {
            Some(pattern) => Reason::Excluded(pattern.as_str().to_owned()),
            None if !filter.keeps(name) => Reason::Filtered,
            None if rules.all_files => Reason::Everything,
            None => Reason::NotNamed,
        })
        .collect();
    let usable = |reason: &Reason| !matches!(reason, Reason::Excluded(_));
    let kept = |reason: &Reason| usable(reason) && *reason != Reason::Filtered;
    let free: Vec<&str> = some_of(names, &reasons, kept);
    let known: Vec<&str> = some_of(names, &reasons, usable);
    let mut missing = Vec::new();
    let mut take = |pattern: &Pattern, reason: &dyn Fn(String) -> Reason| {
        for (index, name) in names.iter().enumerate() {
            if reasons[index] == Reason::NotNamed && pattern.matches(name) {
                reasons[index] = reason(pattern.as_str().to_owned());
            }
        }
    };
    for pattern in &rules.required {
        if !known.iter().any(|name| pattern.matches(name)) && !drops(filter, pattern) {
            missing.push(format!("`{}`", pattern.as_str()));
        }
        take(pattern, &Reason::Required);
    }
    for group in &rules.groups {
        let picked = pick(&Candidates {
            group,
            names: &free,
        });
        if let Some(choice) = picked.and_then(|at| group.choices.get(at)) {
            for pattern in choice {
                take(pattern, &|text| Reason::ChoiceOf(group.name.clone(), text));
            }
        } else if pick(&Candidates {
            group,
            names: &known,
        })
        .is_none()
            && !drops_group(filter, group)
        {
            missing.push(describe_group(group));
        }
    }
    for pattern in &rules.optional {
        take(pattern, &Reason::Optional);
    }
    Sorted { reasons, missing }
}

/// A group and the names that its choices may take.
pub(super) struct Candidates<'g, 'n> {
    /// The group.
    pub(super) group: &'g AnyOf,
    /// The names.
    pub(super) names: &'n [&'n str],
}

/// The first choice of which every pattern matches something.
fn first_satisfied(candidates: &Candidates<'_, '_>) -> Option<usize> {
    candidates
        .group
        .choices
        .iter()
        .position(|choice| is_satisfied(choice, candidates.names))
}

/// Whether every pattern of a choice matches something.
pub(super) fn is_satisfied(choice: &[Pattern], names: &[&str]) -> bool {
    choice
        .iter()
        .all(|pattern| names.iter().any(|name| pattern.matches(name)))
}

fn some_of<'n>(
    names: &[&'n str],
    reasons: &[Reason],
    wanted: impl Fn(&Reason) -> bool,
) -> Vec<&'n str> {
    names
        .iter()
        .zip(reasons)
        .filter(|(_, reason)| wanted(reason))
        .map(|(name, _)| *name)
        .collect()
}

/// Whether the caller's patterns drop the one file that a pattern stands for.
fn drops(filter: &Filter, pattern: &Pattern) -> bool {
    pattern.literal().is_some_and(|name| !filter.keeps(&name))
}

/// Whether the caller's patterns make every choice of a group impossible.
fn drops_group(filter: &Filter, group: &AnyOf) -> bool {
    group
        .choices
        .iter()
        .all(|choice| choice.iter().any(|pattern| drops(filter, pattern)))
}

fn describe_group(group: &AnyOf) -> String {
    let choices: Vec<String> = group
        .choices
        .iter()
        .map(|choice| {
            let patterns: Vec<&str> = choice.iter().map(Pattern::as_str).collect();
            format!("`{}`", patterns.join("` with `"))
        })
        .collect();
    format!("{} ({})", group.name, choices.join(" or "))
}

fn unsatisfied(template: &Template, repo: &RepoId, missing: &[String]) -> Failure {
    Failure::new(
        FailureCode::TemplateUnsatisfied,
        format!(
            "`{repo}` has no file for {}, which template `{}` requires",
            missing.join(", "),
            template.id
        ),
    )
    .with_remedy("choose another template or revision, or `everything` for the whole repository")
}

fn nothing_left(template: &Template, repo: &RepoId, listed: usize) -> Failure {
    Failure::new(
        FailureCode::TemplateUnsatisfied,
        format!("of the {listed} files of `{repo}`, template `{}` and the allow and ignore patterns leave none", template.id),
    )
    .with_remedy("check the patterns: they are matched against whole paths, with upper and lower case told apart")
}

fn notes<'n>(
    template: &Template,
    selection: &Selection,
    bytes: u64,
    paths: impl Iterator<Item = &'n str>,
) -> Vec<String> {
    const PICKLED: [&str; 6] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle"];
    let mut notes = Vec::new();
    let (mut code, mut pickle) = (template.custom_code, template.pickle);
    for path in paths {
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        code |= extension == "py";
        pickle |= PICKLED.contains(&extension);
    }
    if code {
        notes.push("holds program code that a library may run; pin the commit".to_owned());
    }
    if pickle {
        notes.push("holds files that may be pickled, which can run code when loaded".to_owned());
    }
    let plain = selection.allow_patterns.is_empty() && selection.ignore_patterns.is_empty();
    if let Some(size) = template
        .size
        .filter(|size| plain && !(size.min..=size.max).contains(&bytes))
    {
        notes.push(format!(
            "{bytes} bytes are unusual: {} to {} are expected",
            size.min, size.max
        ));
    }
    notes
}
