//! `GET /api/v1/events`: what happens, told while it happens, as server-sent events.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use serde::Deserialize;

use crate::domain::EventId;

use super::super::App;
use super::super::extract::Query;
use super::super::problem::{Code, Problem};

const LAST_EVENT_ID: &str = "last-event-id";

/// Where to begin.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// The event behind which to begin; 0 stands before the oldest one.
    #[param(pattern = "^([0-9A-Za-z]{1,32}:)?[0-9]{1,18}$")]
    after: Option<String>,
}

/// The stream: behind the event that the browser's header or the query names, else from a snapshot of now on.
#[utoipa::path(get, path = "", params(StreamQuery), responses((status = 200, description = "Server-sent events: `snapshot` or `resumed`, then `job`, `progress`, `queue`, `throughput`, at last `bye`", content_type = "text/event-stream", body = String)))]
pub(in super::super) async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<StreamQuery>,
) -> Result<Response<Body>, Problem> {
    let after = position(&headers, query.after.as_deref())?;
    app.streams.listen(after, None).await
}

/// The event behind which to begin. The header is newer than the address: a browser connects again with both.
pub(super) fn position(
    headers: &HeaderMap,
    after: Option<&str>,
) -> Result<Option<EventId>, Problem> {
    let header = headers.get(LAST_EVENT_ID);
    if let Some(id) = header.filter(|id| !id.is_empty()) {
        // What is no id of ours is an id of something else: a snapshot is sent, and why.
        let text = id.to_str().unwrap_or_default();
        return Ok(Some(text.parse().unwrap_or_else(|_| EventId {
            epoch: Some("unknown".to_owned()),
            number: 0,
        })));
    }
    let parsed = after.map(str::parse).transpose();
    parsed.map_err(|error: crate::domain::InvalidEventId| {
        Problem::new(Code::InvalidQuery, format!("after: {error}"))
    })
}
