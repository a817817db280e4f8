//! One registration: show, replace (admin), remove (admin).

use axum::extract::State;
use axum::http::StatusCode;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::body::model::ModelBody;
use super::super::body::registration::RegistrationBody;
use super::super::extract::{Json, ModelPath};
use super::super::problem::Problem;
use super::models;

/// The registration.
#[utoipa::path(get, path = "", responses((status = 200, description = "The registration", body = ModelBody)))]
pub(in super::super) async fn show(
    State(app): State<App>,
    ModelPath(id): ModelPath,
) -> Answered<ModelBody> {
    Ok(Answer::ok(app.manager.model(&id).await?.into()))
}

/// Puts a registration in place of the one with this id, or makes it.
#[utoipa::path(put, path = "", request_body = RegistrationBody, responses((status = 200, description = "Replaced", body = ModelBody), (status = 201, description = "Registered", body = ModelBody)))]
pub(in super::super) async fn replace(
    State(app): State<App>,
    ModelPath(id): ModelPath,
    Json(body): Json<RegistrationBody>,
) -> Answered<ModelBody> {
    let model = body.into_model_at(id)?;
    Ok(models::answer(app.manager.replace(model).await?))
}

/// Removes the registration; the cache is not touched.
#[utoipa::path(delete, path = "", responses((status = 204, description = "Removed")))]
pub(in super::super) async fn remove(
    State(app): State<App>,
    ModelPath(id): ModelPath,
) -> Result<StatusCode, Problem> {
    app.manager.remove(&id).await?;
    tracing::info!(model_id = %id, "Removed a registration.");
    Ok(StatusCode::NO_CONTENT)
}
