//! The audit trail of a job, oldest first.

use axum::extract::State;
use serde::Deserialize;

use crate::domain::Event;

use super::super::App;
use super::super::answer::{Answer, Answered, Page, PageSize, one_more};
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
) -> Answered<Page<Event>> {
    let limit = SIZE.pick(query.limit)?;
    let events = app.manager.job_events(id).await?;
    let items = events
        .into_iter()
        .filter(|event| query.after.is_none_or(|after| event.id > after))
        .take(one_more(limit))
        .collect();
    Ok(Answer::ok(Page::cut(items, limit, |event: &Event| {
        event.id.to_string()
    })))
}
