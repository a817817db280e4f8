//! One job.

use axum::extract::State;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::body::job::JobBody;
use super::super::extract::JobPath;

/// The job.
pub(in super::super) async fn show(
    State(app): State<App>,
    JobPath(id): JobPath,
) -> Answered<JobBody> {
    Ok(Answer::ok(app.manager.job(id).await?.into()))
}
