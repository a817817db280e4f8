//! The list of jobs, newest first.

use axum::extract::State;
use axum::http::Uri;
use serde::Deserialize;

use crate::domain::{JobId, JobState, ModelId};
use crate::manager::JobFilter;

use super::super::App;
use super::super::answer::{Answer, Answered, Page, PageSize};
use super::super::body::job::JobBody;
use super::super::extract::Query;

const SIZE: PageSize = PageSize {
    default: 50,
    most: 500,
};

/// Which jobs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobsQuery {
    state: Option<JobState>,
    model_id: Option<ModelId>,
    limit: Option<u32>,
    after: Option<JobId>,
}

/// A page of jobs.
pub(in super::super) async fn list(
    State(app): State<App>,
    Query(query): Query<JobsQuery>,
    uri: Uri,
) -> Answered<Page<JobBody>> {
    let limit = SIZE.pick(query.limit)?;
    let filter = JobFilter {
        state: query.state,
        model_id: query.model_id,
        before: query.after,
        limit: limit + 1,
    };
    let jobs = app.manager.jobs(filter).await?;
    let items = jobs.into_iter().map(JobBody::from).collect();
    let page = Page::cut(items, limit, |job: &JobBody| job.id().to_string());
    Ok(Answer::page(page, &uri))
}
