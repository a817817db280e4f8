//! Chooses the files of a plan from the listing of a commit, and says why each is in or out.
//!
//! Invariant: a plan holds at least one file and everything its template requires, or there is no plan. What the
//! caller's own allow and ignore patterns drop is dropped knowingly, so it does not count as missing.

use super::fnmatch::Filter;
use super::reason::Reason;
use super::rules::Rules;
use super::sort::{Candidates, sort};
use super::split::missing_parts;
use super::warning::{self, Declared, Warning};
use super::{Catalog, Template};
use crate::domain::{Failure, FailureCode, Kind, RemoteFile, RepoId, Selection};

/// How many patterns or parts a message names.
const NAMED: usize = 10;

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
    /// The variant that chose, when the template has any.
    pub(crate) variant: Option<String>,
    /// The files to fetch, in the order of the listing.
    pub(crate) files: Vec<Choice>,
    /// The others.
    pub(crate) skipped: Vec<Choice>,
    /// Sum of the chosen files in bytes.
    pub(crate) bytes: u64,
    /// Whether nothing of the commit is left out.
    pub(crate) whole: bool,
    /// What deserves a look before it is fetched or loaded.
    pub(crate) warnings: Vec<Warning>,
    /// Every sentence that a person should read: the warnings, then what the template says of itself.
    pub(crate) notes: Vec<String>,
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
        choose(&rules, &filter, files).map_err(|reason| match reason {
            NoPlan::Missing(missing) => unsatisfied(template, repo, &missing),
            NoPlan::NothingLeft => nothing_left(template, repo, files.len()),
        })
    }
}

impl Catalog {
    /// How many of these names [`Self::plan`] would choose; 0 when it would choose none.
    pub(crate) fn count(
        &self,
        selection: &Selection,
        kind: Kind,
        repo: &RepoId,
        names: &[&str],
    ) -> usize {
        let count = || {
            let template = self.template_for(selection, kind, repo).ok()?;
            let rules = Rules::of(template, selection.variant.as_deref()).ok()?;
            let filter = Filter::new(&selection.allow_patterns, &selection.ignore_patterns);
            let reasons = choose_names(&rules, &filter, names).ok()?;
            Some(reasons.iter().filter(|reason| reason.is_chosen()).count())
        };
        count().unwrap_or(0)
    }
}

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum NoPlan {
    /// What is required and not in the listing.
    Missing(Vec<String>),
    /// Nothing is required and nothing is taken.
    NothingLeft,
}

/// Chooses by rules that are settled.
pub(super) fn choose(
    rules: &Rules<'_>,
    filter: &Filter,
    files: &[RemoteFile],
) -> Result<Selected, NoPlan> {
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let (chosen, skipped): (Vec<Choice>, Vec<Choice>) = choose_names(rules, filter, &names)?
        .into_iter()
        .enumerate()
        .map(|(index, reason)| Choice { index, reason })
        .partition(|choice| choice.reason.is_chosen());
    if chosen.is_empty() {
        return Err(NoPlan::NothingLeft);
    }
    // A listing may claim any length.
    let bytes = chosen.iter().fold(0_u64, |sum, choice| {
        sum.saturating_add(files[choice.index].size)
    });
    let declared = Declared {
        custom_code: rules.custom_code,
        pickle: rules.pickle,
        size: rules.size.filter(|_| filter.is_open()),
    };
    let paths = chosen.iter().map(|choice| names[choice.index]);
    let warnings = warning::of_files(declared, bytes, paths);
    Ok(Selected {
        template: rules.template.id.clone(),
        variant: rules.variant.clone(),
        notes: warnings
            .iter()
            .map(ToString::to_string)
            .chain(rules.notes.iter().cloned())
            .collect(),
        warnings,
        whole: skipped.is_empty(),
        files: chosen,
        skipped,
        bytes,
    })
}

/// Why each name is taken or left; an error when one that is required is missing.
fn choose_names(rules: &Rules<'_>, filter: &Filter, names: &[&str]) -> Result<Vec<Reason>, NoPlan> {
    let lacks_parts = |wanted: &mut dyn Iterator<Item = &str>| {
        let wanted: Vec<&str> = wanted.collect();
        missing_parts(wanted.into_iter(), names.iter().copied())
    };
    let pick = |candidates: &Candidates<'_, '_>| {
        let choices = &candidates.group.choices;
        let satisfied = |choice: &Vec<_>| candidates.satisfy(choice);
        let whole = |choice: &Vec<_>| lacks_parts(&mut candidates.of_choice(choice)).is_empty();
        choices
            .iter()
            .position(|choice| satisfied(choice) && whole(choice))
            // Not whole, but it says best what is missing.
            .or_else(|| choices.iter().position(satisfied))
    };
    let sorted = sort(rules, filter, names, pick);
    let mut missing = sorted.missing;
    let mut needed = names
        .iter()
        .zip(&sorted.reasons)
        .filter(|(_, reason)| reason.is_needed())
        .map(|(name, _)| *name);
    let parts = lacks_parts(&mut needed);
    missing.extend(parts.iter().map(|part| format!("`{part}`")));
    if !missing.is_empty() {
        return Err(NoPlan::Missing(missing));
    }
    Ok(sorted.reasons)
}

fn unsatisfied(template: &Template, repo: &RepoId, missing: &[String]) -> Failure {
    let named = missing[..missing.len().min(NAMED)].join(", ");
    let more = match missing.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Failure::new(
        FailureCode::TemplateUnsatisfied,
        format!(
            "`{repo}` has no file for {named}{more}, which template `{}` requires",
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
