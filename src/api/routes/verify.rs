//! `POST …/verify`: asks for a comparison of the model's files with their digests, with a repair when wanted.

use axum::extract::State;
use serde::Deserialize;

use super::super::App;
use super::super::answer::Answered;
use super::super::extract::{ModelPath, OptionalJson};
use super::start::{self, StartedBody};

/// What else to do.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
#[schema(as = Verify)]
pub(crate) struct VerifyBody {
    /// Fetch again what is wrong.
    #[serde(default)]
    pub(super) repair: bool,
}

/// 202 with the job, made now or active already.
#[utoipa::path(post, path = "", request_body = Option<VerifyBody>, responses((status = 200, description = "The model is complete already", body = StartedBody), (status = 202, description = "A job was made, or was there; `created` says which", body = StartedBody, headers(("Location" = String, description = "The job")))))]
pub(in super::super) async fn handle(
    State(app): State<App>,
    ModelPath(id): ModelPath,
    OptionalJson(body): OptionalJson<VerifyBody>,
) -> Answered<StartedBody> {
    Ok(start::answer(app.manager.verify(&id, body.repair).await?))
}
