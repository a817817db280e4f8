//! The files of a job's plan, in the order of their paths.

use axum::extract::State;
use serde::Deserialize;

use super::super::App;
use super::super::answer::{Answer, Answered, Page, PageSize, one_more};
use super::super::body::job::FileBody;
use super::super::extract::{JobPath, Query};

const SIZE: PageSize = PageSize {
    default: 1000,
    most: 10_000,
};

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilesQuery {
    limit: Option<u32>,
    after: Option<String>,
}

/// A page of files.
pub(in super::super) async fn list(
    State(app): State<App>,
    JobPath(id): JobPath,
    Query(query): Query<FilesQuery>,
) -> Answered<Page<FileBody>> {
    let limit = SIZE.pick(query.limit)?;
    let mut rows = app.manager.job_files(id).await?;
    rows.sort_unstable_by(|a, b| a.file.path.cmp(&b.file.path));
    let after = query.after.as_deref();
    let items = rows
        .into_iter()
        .map(FileBody::from)
        .filter(|file| after.is_none_or(|after| file.path() > after))
        .take(one_more(limit))
        .collect();
    Ok(Answer::ok(Page::cut(items, limit, |file: &FileBody| {
        file.path().to_owned()
    })))
}
