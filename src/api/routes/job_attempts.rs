//! The tries of a job, first one first.

use axum::extract::State;
use serde::Deserialize;

use crate::domain::Attempt;

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
pub(crate) struct AttemptsQuery {
    limit: Option<u32>,
    after: Option<u32>,
}

/// A page of tries.
pub(in super::super) async fn list(
    State(app): State<App>,
    JobPath(id): JobPath,
    Query(query): Query<AttemptsQuery>,
) -> Answered<Page<Attempt>> {
    let limit = SIZE.pick(query.limit)?;
    let attempts = app.manager.job_attempts(id).await?;
    let items = attempts
        .into_iter()
        .filter(|attempt| query.after.is_none_or(|after| attempt.attempt > after))
        .take(one_more(limit))
        .collect();
    Ok(Answer::ok(Page::cut(items, limit, |attempt: &Attempt| {
        attempt.attempt.to_string()
    })))
}
