//! `POST …/plan`: what a download would do; nothing is written and no byte of a file is fetched.

use axum::extract::State;

use crate::domain::PlanReport;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::extract::{ModelPath, Nothing, OptionalJson};

/// The plan as it would be made now.
pub(in super::super) async fn handle(
    State(app): State<App>,
    ModelPath(id): ModelPath,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Answered<PlanReport> {
    Ok(Answer::ok(app.manager.plan(&id).await?))
}
