//! `POST …/start`: asks for a download; the same question twice is the same job.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::domain::ModelStatus;
use crate::manager::Started;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::extract::{ModelPath, Nothing, OptionalJson};

/// Where the model stands after the question, and whether the question made a job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Started)]
pub(crate) struct StartedBody {
    created: bool,
    #[serde(flatten)]
    status: ModelStatus,
}

/// 202 with the job when there is one, 200 when the model is complete already.
#[utoipa::path(post, path = "", responses((status = 200, description = "The model is complete already", body = StartedBody), (status = 202, description = "A job was made, or was there; `created` says which", body = StartedBody, headers(("Location" = String, description = "The job")))))]
pub(in super::super) async fn handle(
    State(app): State<App>,
    ModelPath(id): ModelPath,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Answered<StartedBody> {
    Ok(answer(app.manager.start_download(&id).await?))
}

/// The answer that `retry` shares.
pub(super) fn answer(started: Started) -> Answer<StartedBody> {
    let Started {
        job,
        created,
        mut status,
    } = started;
    let Some(job) = job else {
        return Answer::ok(StartedBody { created, status });
    };
    // The status is read after the job was committed, and may be about the moment before.
    status.job_id = Some(job.id);
    Answer::with_status(StatusCode::ACCEPTED, StartedBody { created, status })
        .at(&format!("/api/v1/jobs/{}", job.id))
}
