//! What became of files that lay elsewhere on the machine.

use std::path::PathBuf;

use serde::Serialize;

use super::RepoPath;

/// How a file comes into the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdoptedHow {
    /// As a file of its own, which shares its blocks with the other where the file system can do that.
    #[default]
    Copy,
    /// As another name of the same file: no room is needed, and whoever changes one changes the other.
    HardLink,
}

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Adopted {
    /// It was found, compared and taken in.
    Taken,
    /// It was in the cache before.
    WasHere,
    /// There is a file of its name, with another content.
    Different,
    /// What may be it cannot be read.
    Unreadable,
    /// Nothing there has its content.
    NotFound,
    /// Another program fetches it now.
    Locked,
}

/// One file of the plan.
#[derive(Debug, Clone, Serialize)]
pub struct AdoptedFile {
    /// Its path in the repository.
    pub path: RepoPath,
    /// Its length in bytes.
    pub size: u64,
    /// What became of it.
    pub outcome: Adopted,
    /// Where it lay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
}

/// All files of the plan.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Adoption {
    /// One entry for each file, in the order of the plan.
    pub files: Vec<AdoptedFile>,
    /// Bytes that were taken in.
    pub bytes: u64,
}

impl Adoption {
    /// How many files had this outcome.
    pub fn count(&self, outcome: Adopted) -> usize {
        let with = self.files.iter().filter(|file| file.outcome == outcome);
        with.count()
    }
}
