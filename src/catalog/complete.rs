//! Proves, without a request, that every file a selection needs is here.
//!
//! Invariant: "complete" is never a guess in the caller's favour. Proofs, best first: the recorded plan, the saved
//! listing of the commit, and the template itself with the indexes of sharded weights. A selection that takes
//! every file, or whatever a folder holds, cannot be proven by its template alone.

use std::collections::{BTreeMap, BTreeSet};

use super::Catalog;
use super::fnmatch::Filter;
use super::rules::Rules;
use super::sort::{Candidates, sort};
use super::split::missing_parts;
use crate::domain::{
    Failure, FailureCode, Kind, PlannedFile, RemoteFile, RepoId, RepoPath, Selection,
};

/// What is missing when the rules alone cannot say which files there must be.
const UNLISTED: &str = "the list of the commit's files is not known here";

/// What is known about one commit in the cache.
pub(crate) struct Evidence<'a> {
    /// The readable files of its snapshot with their lengths in bytes.
    pub(crate) local: &'a [(RepoPath, u64)],
    /// The listing of the commit, when it was saved.
    pub(crate) tree: Option<&'a [RemoteFile]>,
    /// The files of a plan that was made for this selection and commit.
    pub(crate) plan: Option<&'a [PlannedFile]>,
    /// Reads the files that an index in the snapshot names; none when it cannot be read.
    pub(crate) shards: &'a dyn Fn(&RepoPath) -> Option<Vec<RepoPath>>,
}

/// Whether everything is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completeness {
    /// Whether it is proven.
    pub(crate) complete: bool,
    /// What is missing: paths, patterns that no path is known for in backquotes, or a sentence.
    pub(crate) missing: Vec<String>,
    /// Bytes of the wanted files that are here.
    pub(crate) bytes: u64,
    /// The wanted files that are here.
    pub(crate) files: Vec<RepoPath>,
}

impl Completeness {
    fn new(missing: Vec<String>, here: Vec<&(RepoPath, u64)>) -> Self {
        Self {
            complete: missing.is_empty() && !here.is_empty(),
            missing,
            bytes: here
                .iter()
                .fold(0, |sum, (_, size)| sum.saturating_add(*size)),
            files: here.into_iter().map(|(path, _)| path.clone()).collect(),
        }
    }
}

impl Catalog {
    /// Checks a selection against what is here. An error says that the template or variant is unknown.
    pub(crate) fn check(
        &self,
        selection: &Selection,
        kind: Kind,
        repo: &RepoId,
        evidence: &Evidence<'_>,
    ) -> Result<Completeness, Failure> {
        let template = self.template_for(selection, kind, repo)?;
        let rules = Rules::of(template, selection.variant.as_deref())?;
        if let Some(plan) = evidence.plan {
            let wanted = plan.iter().map(|file| (&file.path, file.size));
            return Ok(compare(wanted, evidence.local));
        }
        if let Some(tree) = evidence.tree {
            return match self.plan(selection, kind, repo, tree) {
                Ok(selected) => {
                    let wanted = selected.files.iter().map(|choice| &tree[choice.index]);
                    Ok(compare(
                        wanted.map(|file| (&file.path, file.size)),
                        evidence.local,
                    ))
                }
                Err(failure) if failure.code == FailureCode::TemplateUnsatisfied => {
                    Ok(Completeness::new(vec![failure.message], Vec::new()))
                }
                Err(failure) => Err(failure),
            };
        }
        let filter = Filter::new(&selection.allow_patterns, &selection.ignore_patterns);
        Ok(prove_by_rules(&rules, &filter, evidence))
    }
}

/// Compares exactly: every wanted file with its length.
fn compare<'w>(
    wanted: impl Iterator<Item = (&'w RepoPath, u64)>,
    local: &[(RepoPath, u64)],
) -> Completeness {
    let by_path: BTreeMap<&RepoPath, &(RepoPath, u64)> =
        local.iter().map(|file| (&file.0, file)).collect();
    let mut missing = Vec::new();
    let mut here = Vec::new();
    for (path, size) in wanted {
        match by_path.get(path) {
            Some(file) if file.1 == size => here.push(*file),
            _ => missing.push(path.to_string()),
        }
    }
    Completeness::new(missing, here)
}

/// Proves by the template alone.
fn prove_by_rules(rules: &Rules<'_>, filter: &Filter, evidence: &Evidence<'_>) -> Completeness {
    let present: BTreeSet<&str> = evidence
        .local
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    let names: Vec<&str> = evidence
        .local
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    let lost = |of_interest: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        let of_interest: Vec<&str> = of_interest.collect();
        let mut lost: BTreeSet<String> = of_interest
            .iter()
            .filter(|name| is_index(name))
            .flat_map(|name| missing_shards(name, &present, evidence))
            .collect();
        lost.extend(missing_parts(
            of_interest.into_iter(),
            names.iter().copied(),
        ));
        lost
    };
    let pick = |candidates: &Candidates<'_, '_>| {
        let choices = &candidates.group.choices;
        let whole = |choice: &Vec<_>| lost(&mut candidates.of_choice(choice)).is_empty();
        let satisfied = |choice: &Vec<_>| candidates.satisfy(choice);
        choices
            .iter()
            .position(|choice| satisfied(choice) && whole(choice))
            // Not whole, but it says best what is missing.
            .or_else(|| choices.iter().position(satisfied))
    };
    let sorted = sort(rules, filter, &names, pick);
    let here: Vec<&(RepoPath, u64)> = evidence
        .local
        .iter()
        .zip(&sorted.reasons)
        .filter(|(_, reason)| reason.is_chosen())
        .map(|(file, _)| file)
        .collect();
    let mut missing = sorted.missing;
    let mut needed = names
        .iter()
        .zip(&sorted.reasons)
        .filter(|(_, reason)| reason.is_needed())
        .map(|(name, _)| *name);
    missing.extend(lost(&mut needed));
    if rules.are_open_ended() {
        missing.push(UNLISTED.to_owned());
    }
    if rules.all_files {
        match filter.only_names() {
            Some(wanted) => missing.extend(
                wanted
                    .into_iter()
                    .filter(|name| rules.excluded_by(name).is_none())
                    .filter(|name| !present.contains(name.as_str())),
            ),
            None => missing.push(UNLISTED.to_owned()),
        }
    }
    Completeness::new(missing, here)
}

/// Whether a file says which files the weights are spread over.
fn is_index(name: &str) -> bool {
    name.ends_with(".safetensors.index.json") || name.ends_with(".bin.index.json")
}

/// The shards of an index that are not here; the index itself when it cannot be read.
fn missing_shards(name: &str, present: &BTreeSet<&str>, evidence: &Evidence<'_>) -> Vec<String> {
    let shards = RepoPath::parse(name)
        .ok()
        .and_then(|path| (evidence.shards)(&path));
    match shards {
        Some(shards) => shards
            .iter()
            .filter(|shard| !present.contains(shard.as_str()))
            .map(ToString::to_string)
            .collect(),
        None => vec![format!("{name} (it cannot be read)")],
    }
}
