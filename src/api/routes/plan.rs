//! `POST …/plan`: what a download would do; nothing is written and no byte of a file is fetched.

use axum::extract::State;

use crate::domain::PlanReport;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::body::registration::RegistrationBody;
use super::super::extract::{Json, ModelPath, Nothing, OptionalJson};
use super::super::problem::Problem;

/// The plan as it would be made now.
#[utoipa::path(post, path = "", responses((status = 200, description = "What a download would do", body = PlanReport)))]
pub(in super::super) async fn handle(
    State(app): State<App>,
    ModelPath(id): ModelPath,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Answered<PlanReport> {
    Ok(Answer::ok(app.manager.plan(&id).await?))
}

/// The plan of a registration that is not made.
#[utoipa::path(post, path = "", request_body = RegistrationBody, responses((status = 200, description = "What a download would do", body = PlanReport)))]
pub(in super::super) async fn unregistered(
    State(app): State<App>,
    Json(body): Json<RegistrationBody>,
) -> Answered<PlanReport> {
    let model = body.into_model()?;
    app.manager
        .plan_unregistered(&model)
        .await
        .map(Answer::ok)
        .map_err(Problem::from)
}
