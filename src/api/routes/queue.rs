//! The queue: where it stands, and (admin) whether it is paused.

use axum::extract::State;
use serde::Deserialize;

use crate::domain::QueueStatus;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::extract::Json;
use super::super::problem::Problem;

/// What may be changed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub(crate) struct QueuePatch {
    paused: Option<bool>,
}

/// Where the queue stands.
pub(in super::super) async fn show(State(app): State<App>) -> Answered<QueueStatus> {
    Ok(Answer::ok(app.manager.get_queue_status().await?))
}

/// Pauses or resumes the whole queue, then answers where it stands.
pub(in super::super) async fn patch(
    State(app): State<App>,
    Json(patch): Json<QueuePatch>,
) -> Answered<QueueStatus> {
    let Some(paused) = patch.paused else {
        return Err(Problem::field(
            "paused",
            "it is missing; `true` or `false` is needed",
        ));
    };
    app.manager.set_queue_paused(paused).await?;
    tracing::info!(paused, "Changed whether the queue is paused.");
    show(State(app)).await
}
