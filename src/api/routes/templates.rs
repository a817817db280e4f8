//! Templates: which there are, and all that one says.

use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Serialize};

use crate::catalog::{Template, TemplateProblem};
use crate::manager::TemplateSummary;

use super::super::App;
use super::super::answer::{Answer, Answered, Page, PageSize};
use super::super::extract::{NamePath, Query};
use super::super::problem::{Code, Problem};

const SIZE: PageSize = PageSize {
    default: 200,
    most: 500,
};

/// Which page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TemplatesQuery {
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    after: Option<String>,
}

/// A page of templates, and what is wrong with the user's folder.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Templates)]
pub(crate) struct TemplatesBody {
    #[serde(flatten)]
    page: Page<TemplateSummary>,
    problems: Vec<TemplateProblem>,
}

/// Templates in the order of their ids.
#[utoipa::path(get, path = "", params(TemplatesQuery), responses((status = 200, description = "A page of templates", body = TemplatesBody)))]
pub(in super::super) async fn list(
    State(app): State<App>,
    Query(query): Query<TemplatesQuery>,
    uri: Uri,
) -> Answered<TemplatesBody> {
    let limit = SIZE.pick(query.limit)?;
    let mut templates = app.manager.templates();
    templates.sort_by(|one, other| one.id.cmp(&other.id));
    if let Some(after) = query.after {
        templates.retain(|template| template.id > after);
    }
    let page = Page::cut(templates, limit, |template: &TemplateSummary| {
        template.id.clone()
    });
    let next = page.next().map(ToOwned::to_owned);
    let problems = app.manager.template_problems().to_vec();
    Ok(Answer::ok(TemplatesBody { page, problems }).linked(&uri, next.as_deref()))
}

/// One template as its file says it.
#[utoipa::path(get, path = "", responses((status = 200, description = "The template with the keys of its file", body = serde_json::Value)))]
pub(in super::super) async fn show(
    State(app): State<App>,
    NamePath(id): NamePath,
) -> Answered<Template> {
    match app.manager.template(&id) {
        Ok(template) => Ok(Answer::ok(template.clone())),
        Err(error) => Err(Problem::new(Code::NotFound, error.to_string())
            .with_remedy("GET /api/v1/templates lists the templates")),
    }
}
