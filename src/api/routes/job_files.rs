//! The files of a job's plan, in the order of their paths.

use axum::extract::State;
use axum::http::Uri;
use serde::Deserialize;

use super::super::App;
use super::super::answer::{Answer, Answered, Page, PageSize};
use super::super::body::job::FileBody;
use super::super::extract::{JobPath, Query};

const SIZE: PageSize = PageSize {
    default: 1000,
    most: 10_000,
};

/// Which page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FilesQuery {
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<u32>,
    after: Option<String>,
}

/// A page of files.
#[utoipa::path(get, path = "", params(FilesQuery), responses((status = 200, description = "A page of files", body = Page<FileBody>)))]
pub(in super::super) async fn list(
    State(app): State<App>,
    JobPath(id): JobPath,
    Query(query): Query<FilesQuery>,
    uri: Uri,
) -> Answered<Page<FileBody>> {
    let limit = SIZE.pick(query.limit)?;
    let after = query.after.as_deref();
    let rows = app.manager.job_files(id, after, limit + 1).await?;
    let items = rows.into_iter().map(FileBody::from).collect();
    let page = Page::cut(items, limit, |file: &FileBody| file.path().to_owned());
    Ok(Answer::page(page, &uri))
}
