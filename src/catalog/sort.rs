//! Sorts names by the rules of a template: one reason per name, and what is required and not there.
//!
//! Invariant: the work is bounded by patterns times names, and no text is copied per name. Which of several choices
//! is the right one is up to the caller: a listing and a half-filled cache judge differently.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fnmatch::{Filter, Pattern};
use super::reason::Reason;
use super::rules::Rules;
use super::template::AnyOf;

/// What the rules say of a set of names.
pub(super) struct Sorted {
    /// One reason per name.
    pub(super) reasons: Vec<Reason>,
    /// What is required and matches nothing, one sentence part each.
    pub(super) missing: Vec<String>,
}

/// A group and the names that its choices may take.
pub(super) struct Candidates<'g, 'n> {
    /// The group.
    pub(super) group: &'g AnyOf,
    /// The names.
    pub(super) names: Vec<&'n str>,
    /// The place of each name among all.
    places: Vec<usize>,
}

impl Candidates<'_, '_> {
    /// Whether every pattern of a choice matches something.
    pub(super) fn satisfy(&self, choice: &[Pattern]) -> bool {
        choice
            .iter()
            .all(|pattern| self.names.iter().any(|name| pattern.matches(name)))
    }

    /// The names that some pattern of a choice matches.
    pub(super) fn of_choice(&self, choice: &[Pattern]) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .copied()
            .filter(|name| choice.iter().any(|pattern| pattern.matches(name)))
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
            Some(pattern) => Reason::Excluded(pattern.text()),
            None if !filter.keeps(name) => Reason::Filtered,
            None if rules.all_files => Reason::Everything,
            None => Reason::NotNamed,
        })
        .collect();
    // A choice may lean on a file that something else takes as well, so what counts is settled before anything is
    // taken.
    let (mut free, mut known) = (Vec::new(), Vec::new());
    for (place, reason) in reasons.iter().enumerate() {
        if !matches!(reason, Reason::Excluded(_)) {
            known.push(place);
            if *reason != Reason::Filtered {
                free.push(place);
            }
        }
    }
    let mut missing = Vec::new();
    for pattern in &rules.required {
        let matching: Vec<usize> = known
            .iter()
            .copied()
            .filter(|place| pattern.matches(names[*place]))
            .collect();
        if matching.is_empty() && !drops(filter, pattern) {
            let name = pattern.literal();
            missing.push(name.unwrap_or_else(|| format!("`{}`", pattern.as_str())));
        }
        for place in matching {
            if reasons[place] == Reason::NotNamed {
                reasons[place] = Reason::Required(pattern.text());
            }
        }
    }
    for group in &rules.groups {
        let name: Arc<str> = group.name.as_str().into();
        let mut any = false;
        for candidates in parts(group, names, &free) {
            let Some(at) = pick(&candidates).filter(|at| *at < group.choices.len()) else {
                continue;
            };
            any = true;
            settle(&mut reasons, &candidates, at, &name);
        }
        let could = || {
            parts(group, names, &known)
                .iter()
                .any(|candidates| pick(candidates).is_some())
        };
        if !any && !group.optional && !drops_group(filter, group) && !could() {
            missing.push(describe(group));
        }
    }
    for pattern in &rules.optional {
        for (place, name) in names.iter().enumerate() {
            // What another choice stands for stays out: half of it would confuse a library.
            if reasons[place] == Reason::NotNamed && pattern.matches(name) {
                reasons[place] = Reason::Optional(pattern.text());
            }
        }
    }
    Sorted { reasons, missing }
}

/// Takes the files of one choice and marks those of the others.
fn settle(reasons: &mut [Reason], candidates: &Candidates<'_, '_>, at: usize, group: &Arc<str>) {
    for (name, place) in candidates.names.iter().zip(&candidates.places) {
        let reason = &mut reasons[*place];
        if !matches!(reason, Reason::NotNamed | Reason::OtherChoiceOf(_)) {
            continue;
        }
        let choices = &candidates.group.choices;
        if let Some(pattern) = choices[at].iter().find(|pattern| pattern.matches(name)) {
            *reason = Reason::ChoiceOf(Arc::clone(group), pattern.text());
        } else if choices
            .iter()
            .flatten()
            .any(|pattern| pattern.matches(name))
        {
            *reason = Reason::OtherChoiceOf(Arc::clone(group));
        }
    }
}

/// The sets of names among which a group chooses: all of them, or one per folder.
fn parts<'g, 'n>(group: &'g AnyOf, names: &[&'n str], places: &[usize]) -> Vec<Candidates<'g, 'n>> {
    let mut folders: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for place in places {
        let name = names[*place];
        if group.except.iter().any(|pattern| pattern.matches(name)) {
            continue;
        }
        let folder = match name.rsplit_once('/') {
            _ if !group.per_folder => "",
            Some((folder, _)) => folder,
            None => continue,
        };
        folders.entry(folder).or_default().push(*place);
    }
    folders
        .into_values()
        .map(|places| Candidates {
            group,
            names: places.iter().map(|place| names[*place]).collect(),
            places,
        })
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

/// A group for people: its name and its choices.
pub(super) fn describe(group: &AnyOf) -> String {
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
