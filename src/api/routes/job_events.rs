//! The audit trail of a job, oldest first.

use axum::extract::State;
use axum::http::Uri;
use serde::Deserialize;

use crate::domain::Event;

use super::super::App;
use super::super::answer::{Answer, Answered, Page, PageSize};
use super::super::extract::{JobPath, Query};

const SIZE: PageSize = PageSize {
    default: 200,
    most: 1000,
};

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    limit: Option<u32>,
    after: Option<i64>,
}

/// A page of events.
pub(in super::super) async fn list(
    State(app): State<App>,
    JobPath(id): JobPath,
    Query(query): Query<EventsQuery>,
    uri: Uri,
) -> Answered<Page<Event>> {
    let limit = SIZE.pick(query.limit)?;
    let after = query.after.unwrap_or(0);
    let items = app.manager.job_events(id, after, limit + 1).await?;
    let page = Page::cut(items, limit, |event: &Event| event.id.to_string());
    Ok(Answer::page(page, &uri))
}
