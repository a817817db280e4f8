//! Registrations: a new one, and the list of all.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::Deserialize;

use crate::domain::ModelId;
use crate::manager::Registered;

use super::super::App;
use super::super::answer::{Answer, Answered, Page, PageSize};
use super::super::body::model::ModelBody;
use super::super::body::registration::RegistrationBody;
use super::super::extract::{Json, Query};

const SIZE: PageSize = PageSize {
    default: 50,
    most: 200,
};

/// Which page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ModelsQuery {
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    #[param(value_type = Option<String>)]
    after: Option<ModelId>,
}

/// 201 for a new registration, 200 for the same one again.
#[utoipa::path(post, path = "", request_body = RegistrationBody, responses((status = 201, description = "Registered", body = ModelBody, headers(("Location" = String, description = "The registration"))), (status = 200, description = "It was registered so before", body = ModelBody)))]
pub(in super::super) async fn create(
    State(app): State<App>,
    Json(body): Json<RegistrationBody>,
) -> Answered<ModelBody> {
    let model = body.into_model()?;
    Ok(answer(app.manager.register(model).await?))
}

/// Registrations in the order of their ids.
#[utoipa::path(get, path = "", params(ModelsQuery), responses((status = 200, description = "A page of registrations", body = Page<ModelBody>)))]
pub(in super::super) async fn list(
    State(app): State<App>,
    Query(query): Query<ModelsQuery>,
    uri: Uri,
) -> Answered<Page<ModelBody>> {
    let limit = SIZE.pick(query.limit)?;
    let models = app.manager.models(query.after.as_ref(), limit + 1).await?;
    let items = models.into_iter().map(ModelBody::from).collect();
    let page = Page::cut(items, limit, |model: &ModelBody| model.id().to_string());
    Ok(Answer::page(page, &uri))
}

/// The answer that a replacement shares.
pub(super) fn answer(registered: Registered) -> Answer<ModelBody> {
    let status = if registered.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = format!("/api/v1/models/{}", registered.model.id());
    Answer::with_status(status, registered.model.into()).at(&location)
}
