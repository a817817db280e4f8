//! Dry runs: what a download would do, and which registered models have moved. Nothing is written.

use futures_util::StreamExt as _;
use serde::Serialize;

use super::{ManagerError, Result, UnifiedModelDownloadManager};
use crate::domain::{
    CommitHash, Failure, FailureCode, Model, ModelId, NewModel, Origin, PlanReport, RepoId,
    Revision,
};
use crate::queue::Wanted;

/// How many revisions are asked for at a time.
const AT_A_TIME: usize = 4;

/// Whether the hub has something newer than what is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// The revision still means the commit that is here.
    Current,
    /// The revision means another commit now.
    Moved,
    /// The registration names a commit, which never moves.
    Pinned,
    /// Nothing complete is here that could be outdated.
    NotHere,
    /// The hub gave no answer.
    Unknown,
}

/// How a registered model compares with the hub.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The registration.
    pub model_id: ModelId,
    /// Its repository.
    pub repo_id: RepoId,
    /// Its branch, tag or commit.
    pub revision: Revision,
    /// How it compares.
    pub freshness: Freshness,
    /// The commit that is complete here.
    pub here: Option<CommitHash>,
    /// The commit that the revision means now, when the hub was asked.
    pub there: Option<CommitHash>,
    /// Why the hub gave no answer.
    pub error: Option<Failure>,
}

impl UnifiedModelDownloadManager {
    /// Tells what a download of a registered model would do now.
    ///
    /// Asks the hub for the revision once and for each page of the listing once.
    ///
    /// # Errors
    /// [`ManagerError::UnknownModel`]; [`ManagerError::Invalid`] for a model that the app's own function brings; a
    /// failure of the hub, or `template_unsatisfied`, which names what the repository lacks.
    pub async fn plan(&self, model_id: &ModelId) -> Result<PlanReport> {
        let model = self.model(model_id).await?;
        let known = (model.key, model.id().clone());
        self.dry_run(&model.spec, Some(known)).await
    }

    /// Tells what a download would do without a registration.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub async fn plan_unregistered(&self, model: &NewModel) -> Result<PlanReport> {
        self.check_files(model)?;
        self.dry_run(model, None).await
    }

    async fn dry_run(&self, model: &NewModel, known: Option<(i64, ModelId)>) -> Result<PlanReport> {
        let context = &self.context;
        Ok(match &model.origin {
            Origin::Urls { files } => context.dry_run_urls(model, files, known).await?,
            _ => context.dry_run(&wanted(model)?, known).await?,
        })
    }

    /// Compares these models with the hub: one question about the revision of each, a few at a time.
    ///
    /// Models of the app's own functions are left out.
    ///
    /// # Errors
    /// `offline`, or the database cannot be read. A model about which the hub gave no answer is in the list.
    pub async fn compare(&self, models: Vec<Model>) -> Result<Vec<Comparison>> {
        if self.options.offline {
            return Err(Failure::new(
                FailureCode::Offline,
                "whether a model has moved is known to the hub, and HF_HUB_OFFLINE is set",
            )
            .with_remedy("unset HF_HUB_OFFLINE")
            .into());
        }
        let compared = futures_util::stream::iter(models)
            .map(|model| self.compare_one(model))
            .buffered(AT_A_TIME)
            .collect::<Vec<_>>()
            .await;
        compared.into_iter().filter_map(Result::transpose).collect()
    }

    async fn compare_one(&self, model: Model) -> Result<Option<Comparison>> {
        let Some(wanted) = Wanted::of(&model.spec) else {
            return Ok(None);
        };
        let (model, _presence) = self.look(&model).await?;
        let here = model.readiness.and_then(|ready| ready.commit);
        let mut compared = Comparison {
            model_id: model.spec.model_id,
            repo_id: wanted.repo_id,
            revision: wanted.revision,
            freshness: Freshness::NotHere,
            here,
            there: None,
            error: None,
        };
        let Some(here) = &compared.here else {
            return Ok(Some(compared));
        };
        if let Some(commit) = compared.revision.as_commit() {
            compared.freshness = Freshness::Pinned;
            compared.there = Some(commit);
            return Ok(Some(compared));
        }
        let hub = &self.context.hub;
        match hub
            .resolve_revision(&compared.repo_id, &compared.revision)
            .await
        {
            Ok(info) => {
                compared.freshness = if info.commit == *here {
                    Freshness::Current
                } else {
                    Freshness::Moved
                };
                compared.there = Some(info.commit);
            }
            Err(error) => {
                compared.freshness = Freshness::Unknown;
                compared.error = Some(error.failure());
            }
        }
        Ok(Some(compared))
    }
}

/// What a registration wants of the hub.
pub(super) fn wanted(model: &NewModel) -> Result<Wanted> {
    Wanted::of(model).ok_or_else(|| ManagerError::Invalid {
        field: "model_id",
        reason: match model.origin {
            Origin::Urls { .. } => {
                format!(
                    "`{}` comes from addresses, not from the hub",
                    model.model_id
                )
            }
            _ => format!(
                "the app's own function brings `{}`, so its files are not known before",
                model.model_id
            ),
        },
    })
}
