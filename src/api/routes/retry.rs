//! `POST …/retry`: queues a failed job again, or lets a waiting one run at once.

use axum::extract::State;

use super::super::App;
use super::super::answer::Answered;
use super::super::extract::{ModelPath, Nothing, OptionalJson};
use super::start::{self, StartedBody};

/// Answers like `start`.
#[utoipa::path(post, path = "", responses((status = 200, description = "The model is complete already", body = StartedBody), (status = 202, description = "A job was made, or was there; `created` says which", body = StartedBody, headers(("Location" = String, description = "The job")))))]
pub(in super::super) async fn handle(
    State(app): State<App>,
    ModelPath(id): ModelPath,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Answered<StartedBody> {
    Ok(start::answer(app.manager.retry_download(&id).await?))
}
