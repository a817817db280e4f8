//! The catalog as its callers see it; what the tests share.

mod extends;
mod folder;
mod linting;
mod plans;
mod proofs;
mod scale;
mod trees;

use super::complete::Completeness;
use super::reason::Reason;
use super::*;
use crate::domain::{Digest, PlannedFile, RemoteFile, RepoPath};

fn remote(files: &[(&str, u64)]) -> Vec<RemoteFile> {
    files
        .iter()
        .map(|(path, size)| RemoteFile {
            path: RepoPath::parse(path).unwrap(),
            size: *size,
            digest: Digest::parse(&"a".repeat(40)).unwrap(),
            git_oid: "a".repeat(40),
            xet_hash: None,
        })
        .collect()
}

fn local(files: &[(&str, u64)]) -> Vec<(RepoPath, u64)> {
    files
        .iter()
        .map(|(path, size)| (RepoPath::parse(path).unwrap(), *size))
        .collect()
}

fn repo(text: &str) -> RepoId {
    text.parse().unwrap()
}

fn with_template(id: &str) -> Selection {
    Selection {
        template: Some(id.to_owned()),
        ..Selection::default()
    }
}

fn chosen(selection: &Selection, id: &str, files: &[(&str, u64)]) -> Result<Vec<String>, Failure> {
    let files = remote(files);
    let selected = Catalog::builtin().plan(selection, Kind::Caption, &repo(id), &files)?;
    assert_eq!(selected.files.len() + selected.skipped.len(), files.len());
    assert_eq!(selected.whole, selected.skipped.is_empty());
    Ok(selected
        .files
        .iter()
        .map(|choice| files[choice.index].path.to_string())
        .collect())
}

fn check(
    selection: &Selection,
    here: &[(&str, u64)],
    tree: Option<&[RemoteFile]>,
    shards: &dyn Fn(&RepoPath) -> Option<Vec<RepoPath>>,
) -> Completeness {
    let evidence = Evidence {
        local: &local(here),
        tree,
        plan: None,
        shards,
    };
    Catalog::builtin()
        .check(selection, Kind::Generic, &repo("org/name"), &evidence)
        .unwrap()
}

const NO_SHARDS: fn(&RepoPath) -> Option<Vec<RepoPath>> = |_| None;
