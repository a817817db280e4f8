//! A registration, as answers show it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::url_file::UrlFileShown;
use crate::domain::{
    CommitHash, Kind, Model, ModelId, Origin, Readiness, RepoId, Revision, Selection,
};

/// A registration.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Model)]
pub(crate) struct ModelBody {
    model_id: ModelId,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    repo_id: Option<RepoId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    template: Option<String>,
    variant: Option<String>,
    allow_patterns: Vec<String>,
    ignore_patterns: Vec<String>,
    /// The files of a model from addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<UrlFileShown>>,
    /// Where the app's own function puts the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    model_path: Option<PathBuf>,
    description: Option<String>,
    total_size_estimate: Option<u64>,
    file_count_estimate: Option<u64>,
    complete: Option<CompleteBody>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Complete)]
struct CompleteBody {
    commit: Option<CommitHash>,
    bytes: u64,
    files: u64,
    verified: bool,
    since: DateTime<Utc>,
}

impl ModelBody {
    /// The id, which is also the cursor of a list.
    pub(crate) fn id(&self) -> &ModelId {
        &self.model_id
    }
}

impl From<Model> for ModelBody {
    fn from(model: Model) -> Self {
        let spec = model.spec;
        let mut files = None;
        let (repo_id, revision, selection, model_path) = match spec.origin {
            Origin::Hub {
                repo_id,
                revision,
                selection,
            } => (Some(repo_id), Some(revision), selection, None),
            Origin::Urls { files: all } => {
                files = Some(all.into_iter().map(UrlFileShown::from).collect());
                (None, None, Selection::default(), None)
            }
            Origin::Handler { model_path } => (None, None, Selection::default(), model_path),
        };
        Self {
            model_id: spec.model_id,
            kind: spec.kind,
            repo_id,
            revision,
            template: selection.template,
            variant: selection.variant,
            allow_patterns: selection.allow_patterns,
            ignore_patterns: selection.ignore_patterns,
            files,
            model_path,
            description: spec.description,
            total_size_estimate: spec.total_size_estimate,
            file_count_estimate: spec.file_count_estimate,
            complete: model.readiness.map(CompleteBody::from),
            created_at: model.created_at,
            updated_at: model.updated_at,
        }
    }
}

impl From<Readiness> for CompleteBody {
    fn from(readiness: Readiness) -> Self {
        Self {
            commit: readiness.commit,
            bytes: readiness.bytes,
            files: readiness.files,
            verified: readiness.verified,
            since: readiness.since,
        }
    }
}
