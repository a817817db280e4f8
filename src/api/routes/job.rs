//! One job, and its place in the queue.

use axum::extract::State;
use serde::Deserialize;

use crate::domain::Place;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::body::job::JobBody;
use super::super::extract::{JobPath, Json};
use super::super::problem::Problem;

/// Another place for a job; one of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub(crate) struct JobPatch {
    priority: Option<i32>,
    position: Option<Position>,
}

/// An end of the queue.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Position {
    Top,
    Bottom,
}

/// The job.
pub(in super::super) async fn show(
    State(app): State<App>,
    JobPath(id): JobPath,
) -> Answered<JobBody> {
    Ok(Answer::ok(app.manager.job(id).await?.into()))
}

/// Gives the job another place, then answers it; a job that has ended stays as it is.
pub(in super::super) async fn place(
    State(app): State<App>,
    JobPath(id): JobPath,
    Json(patch): Json<JobPatch>,
) -> Answered<JobBody> {
    let place = match (patch.priority, patch.position) {
        (Some(priority), None) => Place::Priority(priority),
        (None, Some(Position::Top)) => Place::Top,
        (None, Some(Position::Bottom)) => Place::Bottom,
        _ => {
            return Err(Problem::field(
                "priority",
                "either it or `position` (`top` or `bottom`) is needed",
            ));
        }
    };
    Ok(Answer::ok(app.manager.place_job(id, place).await?.into()))
}
