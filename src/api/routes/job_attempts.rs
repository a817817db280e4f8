//! The tries of a job, first one first.

use axum::extract::State;
use axum::http::Uri;
use serde::Deserialize;

use crate::domain::Attempt;

use super::super::App;
use super::super::answer::{Answer, Answered, Page, PageSize};
use super::super::extract::{JobPath, Query};

const SIZE: PageSize = PageSize {
    default: 200,
    most: 1000,
};

/// Which page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AttemptsQuery {
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    after: Option<u32>,
}

/// A page of tries.
#[utoipa::path(get, path = "", params(AttemptsQuery), responses((status = 200, description = "A page of attempts", body = Page<Attempt>)))]
pub(in super::super) async fn list(
    State(app): State<App>,
    JobPath(id): JobPath,
    Query(query): Query<AttemptsQuery>,
    uri: Uri,
) -> Answered<Page<Attempt>> {
    let limit = SIZE.pick(query.limit)?;
    let after = query.after.unwrap_or(0);
    let items = app.manager.job_attempts(id, after, limit + 1).await?;
    let page = Page::cut(items, limit, |attempt: &Attempt| {
        attempt.attempt.to_string()
    });
    Ok(Answer::page(page, &uri))
}
