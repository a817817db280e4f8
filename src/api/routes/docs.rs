//! `/docs`: the document as a page on which each request can be tried; nothing of it comes from elsewhere.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use utoipa_swagger_ui::{Config, serve};

use super::super::extract::NamePath;
use super::super::problem::{Code, Problem};

/// Nothing from elsewhere and nothing inline, but for one style that the viewer brings: it is allowed by its hash. Some
/// icons are drawn from `data:` addresses.
const POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page needs of the viewer; the package holds more.
const FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(Arc::default);

/// The page.
pub(in super::super) async fn page(headers: HeaderMap) -> Result<Response<Body>, Problem> {
    super::dashboard::answer("docs.html", POLICY, &headers)
}

/// One file of the viewer.
pub(in super::super) async fn file(NamePath(name): NamePath) -> Result<Response<Body>, Problem> {
    if !FILES.contains(&name.as_str()) {
        return Err(missing());
    }
    let served = serve(&name, Arc::clone(&CONFIG)).map_err(|error| {
        tracing::error!(%error, "A file of the document's page cannot be made.");
        Problem::new(Code::Internal, "the file cannot be made")
    })?;
    let file = served.ok_or_else(missing)?;
    let mut response = Response::new(Body::from(file.bytes.into_owned()));
    let kind = HeaderValue::from_str(&file.content_type);
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "the page has no such file")
}
