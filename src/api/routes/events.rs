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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamQuery {
    after: Option<String>,
}

/// The stream: behind the event that the browser's header or the query names, else from a snapshot of now on.
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
