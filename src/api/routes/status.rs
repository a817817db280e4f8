//! `GET …-status/{model_id}`: where a model stands, looked up without a request to the hub.

use axum::extract::State;

use crate::domain::ModelStatus;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::extract::ModelPath;

/// The status object.
#[utoipa::path(get, path = "", responses((status = 200, description = "Where the model stands", body = ModelStatus)))]
pub(in super::super) async fn handle(
    State(app): State<App>,
    ModelPath(id): ModelPath,
) -> Answered<ModelStatus> {
    Ok(Answer::ok(app.manager.get_download_status(&id).await?))
}
