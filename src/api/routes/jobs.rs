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
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobsQuery {
    #[param(inline)]
    state: Option<JobState>,
    #[param(value_type = Option<String>)]
    model_id: Option<ModelId>,
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    #[param(value_type = Option<String>, format = Uuid)]
    after: Option<JobId>,
}

/// A page of jobs.
#[utoipa::path(get, path = "", params(JobsQuery), responses((status = 200, description = "A page of jobs", body = Page<JobBody>)))]
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
