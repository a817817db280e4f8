//! The audit trail of a job: a list, oldest first, or a stream for those who accept one.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri, header};
use axum::response::IntoResponse as _;
use serde::Deserialize;

use super::super::App;
use super::super::answer::{Answer, Page, PageSize};
use super::super::extract::{JobPath, Query};
use super::super::problem::{Code, Problem};
use super::events::position;
use crate::domain::Event;

const SIZE: PageSize = PageSize {
    default: 200,
    most: 1000,
};

/// Which page, or where a stream begins.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    #[param(pattern = "^([0-9A-Za-z]{1,32}:)?[0-9]{1,18}$")]
    after: Option<String>,
}

/// A page of events, or with `Accept: text/event-stream` the stream of the job until it has ended.
#[utoipa::path(get, path = "", params(EventsQuery), responses((status = 200, description = "A page of events, or the stream of the job", content((Page<Event> = "application/json"), (String = "text/event-stream"))), (status = 204, description = "The job has ended, and everything was told before")))]
pub(in super::super) async fn show(
    State(app): State<App>,
    JobPath(id): JobPath,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    if accepts_stream(&headers) {
        let after = position(&headers, query.after.as_deref())?;
        let job = app.manager.job(id).await?;
        return app.streams.listen(after, Some(&job)).await;
    }
    let limit = SIZE.pick(query.limit)?;
    let after = query.after.as_deref().unwrap_or("0");
    let after = after
        .parse()
        .map_err(|error| Problem::new(Code::InvalidQuery, format!("after: {error}")))?;
    let items = app.manager.job_events(id, after, limit + 1).await?;
    let page = Page::cut(items, limit, |event: &Event| event.id.to_string());
    Ok(Answer::page(page, &uri).into_response())
}

/// Whether a stream is named; `*/*` and no header mean the list.
fn accepts_stream(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT).iter();
    let mut kinds = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    kinds.any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/event-stream")
    })
}
