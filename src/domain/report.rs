//! What a download would do: the answer to a dry run, the same for HTTP, the command line and embedding apps.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{CommitHash, Digest, Kind, ModelId, RepoId, RepoPath, Revision};

/// What a download of a model would do now. Nothing was written to find out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanReport {
    /// The registration; none when the plan was made without one.
    pub model_id: Option<ModelId>,
    /// The family, which decides the template when none was named.
    pub kind: Kind,
    /// The repository; none when the files come from addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_id: Option<RepoId>,
    /// The branch, tag or commit that was asked for; none when the files come from addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The commit that it is now; of files from addresses the version of their list.
    pub commit: CommitHash,
    /// The template that chose the files.
    pub template: String,
    /// Its variant, when it has any.
    pub variant: Option<String>,
    /// Who may read the repository.
    pub gating: Gating,
    /// Sums over the chosen files; a content that two paths share counts once.
    pub totals: PlanTotals,
    /// Room on the cache's file system.
    pub disk: PlanDisk,
    /// What deserves a look before files are fetched or loaded.
    pub warnings: Vec<PlanWarning>,
    /// What the template says of itself.
    pub notes: Vec<String>,
    /// The snapshot's folder, whether it is there or not.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// Every file of the commit in the order of the paths, chosen or not.
    pub files: Vec<PlanEntry>,
}

/// Who may read a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Gating {
    /// Whether conditions must be accepted on the hub before files can be read.
    pub gated: bool,
    /// Whether it is private.
    pub private: bool,
    /// Whether a token would be sent.
    pub token: bool,
}

/// Sums over the chosen files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanTotals {
    /// Chosen files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chosen files that are here whole.
    pub files_here: u64,
    /// Bytes that are here, in whole files and in parts.
    pub bytes_here: u64,
    /// Bytes that a download would fetch.
    pub bytes_to_fetch: u64,
    /// Files that are not chosen.
    pub files_skipped: u64,
}

/// Room on the cache's file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanDisk {
    /// Free now.
    pub free: u64,
    /// What the download needs beyond the parts that are there.
    pub needed: u64,
    /// Free afterwards; 0 when it does not fit.
    pub free_after: u64,
    /// What is left alone.
    pub floor: u64,
    /// Whether it fits beside the floor.
    pub fits: bool,
}

/// Something that deserves a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanWarning {
    /// A stable word, for example `pickle`.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// How much of a chosen file is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// All of it.
    Present,
    /// Some of it.
    Partial,
    /// Nothing.
    Missing,
    /// It is not chosen.
    Skipped,
}

/// One file of the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanEntry {
    /// Its path in the repository.
    pub path: RepoPath,
    /// Its length in bytes.
    pub size: u64,
    /// What its content hashes to, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// How much of it is here, or that it is not chosen.
    pub state: PlanState,
    /// Bytes of it that are here.
    pub bytes_here: u64,
    /// Why it is chosen or not.
    pub reason: String,
}
