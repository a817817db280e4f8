//! `GET /api/v1/openapi.json`: the description of all this for programs.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};

use super::super::openapi;

/// The document, OpenAPI 3.1.
#[utoipa::path(get, path = "", responses((status = 200, description = "The document", body = serde_json::Value)))]
pub(in super::super) async fn show() -> Response<Body> {
    let mut response = Response::new(Body::from(openapi::bytes()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
