//! From a revision to a commit.
//!
//! Invariant: what comes out is 40 hex digits, whatever the hub says. Which files the commit holds is
//! for the tree.

use serde::Deserialize;
use serde_json::Value;

use super::HubError;
use super::json;
use super::refusal::Asked;
use super::request::Wire;
use super::text::printable;
use crate::domain::{CommitHash, RepoId, Revision};
use crate::redact::SafeUrl;

/// Card data and lists of siblings make some answers long.
const INFO_LIMIT: usize = 32 << 20;

/// What the hub says about a revision of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RepoInfo {
    /// The commit that the revision names now.
    pub(crate) commit: CommitHash,
    /// Whether conditions must be accepted; false when the hub was not asked.
    pub(crate) gated: bool,
    /// Whether it is private; false when the hub was not asked.
    pub(crate) private: bool,
    /// The names of its files as the hub says them, unchecked; empty when the hub was not asked or says none.
    pub(crate) names: Vec<String>,
}

/// The few fields that matter; everything else may change its shape.
#[derive(Deserialize)]
struct Info {
    sha: Option<String>,
    #[serde(default)]
    gated: Value,
    #[serde(default)]
    private: Value,
    #[serde(default)]
    disabled: Value,
    #[serde(default)]
    siblings: Value,
}

/// Asks what a revision is; a full commit needs no request.
pub(crate) async fn resolve_revision(
    wire: &Wire,
    repo: &RepoId,
    revision: &Revision,
) -> Result<RepoInfo, HubError> {
    if wire.offline {
        return Err(HubError::Offline);
    }
    if let Some(commit) = revision.as_commit() {
        return Ok(RepoInfo {
            commit,
            gated: false,
            private: false,
            names: Vec::new(),
        });
    }
    ask(wire, repo, revision).await
}

/// Asks what a revision is and who may read it, for a full commit too.
pub(crate) async fn ask(
    wire: &Wire,
    repo: &RepoId,
    revision: &Revision,
) -> Result<RepoInfo, HubError> {
    if wire.offline {
        return Err(HubError::Offline);
    }
    let url = wire.endpoint.revision_url(repo, revision);
    let answer = wire
        .get(repo, Asked::Revision(revision), url, INFO_LIMIT)
        .await?;
    let at = SafeUrl::new(answer.url.clone()).to_string();
    let info: Info = json::parse(answer).await?;
    if info.disabled == Value::Bool(true) {
        return Err(HubError::Disabled {
            host: wire.endpoint.host(),
            repo: repo.to_string(),
        });
    }
    let sha = info.sha.unwrap_or_default();
    let commit = sha.parse().map_err(|_not_hex| HubError::BadMetadata {
        url: at,
        detail: format!(
            "`sha` is `{}`, not a commit of 40 hex digits",
            printable(&sha)
        ),
    })?;
    Ok(RepoInfo {
        commit,
        gated: !matches!(info.gated, Value::Null | Value::Bool(false)),
        private: info.private == Value::Bool(true),
        names: names(info.siblings),
    })
}

/// The names in a list of siblings; a list that looks otherwise has none.
fn names(siblings: Value) -> Vec<String> {
    let Value::Array(siblings) = siblings else {
        return Vec::new();
    };
    let name = |sibling: &Value| Some(sibling.get("rfilename")?.as_str()?.to_owned());
    siblings.iter().filter_map(name).collect()
}
