//! `POST …/clear` (admin): removes a stuck claim, queue entry and failed status, so that `start` works again.

use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::domain::ModelId;
use crate::manager::Cleared;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::extract::{ModelPath, OptionalJson, Query};

/// What else to remove, in the body.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
#[schema(as = Clear)]
pub(crate) struct ClearBody {
    /// Remove the partial files too.
    #[serde(default)]
    purge: bool,
}

/// The same in the address.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ClearQuery {
    #[serde(default)]
    purge: bool,
}

/// What was removed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ClearedModel)]
pub(crate) struct ClearedBody {
    model_id: ModelId,
    #[serde(flatten)]
    cleared: Cleared,
}

/// 200 with what was removed, which may be nothing.
#[utoipa::path(post, path = "", params(ClearQuery), request_body = Option<ClearBody>, responses((status = 200, description = "What was cleared", body = ClearedBody)))]
pub(in super::super) async fn handle(
    State(app): State<App>,
    ModelPath(model_id): ModelPath,
    Query(query): Query<ClearQuery>,
    OptionalJson(body): OptionalJson<ClearBody>,
) -> Answered<ClearedBody> {
    let purge = query.purge || body.purge;
    let cleared = app.manager.clear(&model_id, purge).await?;
    tracing::info!(%model_id, purge, jobs = cleared.jobs.len(), "Cleared a model.");
    Ok(Answer::ok(ClearedBody { model_id, cleared }))
}
