//! One job.

use axum::extract::State;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::body::job::JobBody;
use super::super::extract::JobPath;

/// The job.
#[utoipa::path(get, path = "", responses((status = 200, description = "The job", body = JobBody)))]
pub(in super::super) async fn show(
    State(app): State<App>,
    JobPath(id): JobPath,
) -> Answered<JobBody> {
    Ok(Answer::ok(app.manager.job(id).await?.into()))
}
