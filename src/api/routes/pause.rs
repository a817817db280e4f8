//! `POST …/pause`: holds the model's active job; it keeps its place and its bytes.

use axum::extract::State;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::body::job::SteeredBody;
use super::super::extract::{ModelPath, Nothing, OptionalJson};

/// The job that was changed; none when there was nothing to change.
#[utoipa::path(post, path = "", responses((status = 200, description = "The job as it is now", body = SteeredBody)))]
pub(in super::super) async fn handle(
    State(app): State<App>,
    ModelPath(id): ModelPath,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Answered<SteeredBody> {
    let job = app.manager.pause_download(&id).await?;
    Ok(Answer::ok(SteeredBody::new(id, job)))
}
