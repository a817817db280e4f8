//! `/docs`: the document as a page on which each request can be tried; nothing of it comes from elsewhere.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use utoipa_swagger_ui::{Config, serve};

use super::super::extract::NamePath;
use super::super::problem::{Code, Problem};

/// Nothing from elsewhere and nothing inline, but for one style that the viewer brings: it is allowed by its hash. Some
/// icons are drawn from `data:` addresses.
const POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = "index.html";
/// What the page loads; the package holds more.
const FILES: [&str; 7] = [
    "swagger-ui.css",
    "index.css",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-initializer.js",
    "favicon-32x32.png",
    "favicon-16x16.png",
];

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::from("/api/v1/openapi.json")
        // The validator is a service of somebody else.
        .validator_url("none")
        .display_operation_id(true)
        .show_extensions(true);
    Arc::new(config)
});

/// The page.
pub(in super::super) async fn page() -> Result<Response<Body>, Problem> {
    let mut response = file_of(PAGE)?;
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    Ok(response)
}

/// One file of it.
pub(in super::super) async fn file(NamePath(name): NamePath) -> Result<Response<Body>, Problem> {
    if FILES.contains(&name.as_str()) {
        file_of(&name)
    } else {
        Err(missing())
    }
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "the page has no such file")
}

fn file_of(name: &str) -> Result<Response<Body>, Problem> {
    let served = serve(name, Arc::clone(&CONFIG)).map_err(|error| {
        tracing::error!(%error, "A file of the document's page cannot be made.");
        Problem::new(Code::Internal, "the file cannot be made")
    })?;
    let file = served.ok_or_else(missing)?;
    let bytes: Cow<'_, [u8]> = if name == PAGE {
        // The page has no slash behind it, so its files are named from the root.
        let text = String::from_utf8_lossy(&file.bytes);
        let text = text.replace("\"./", "\"/docs/");
        Cow::Owned(text.replace("\"index.css\"", "\"/docs/index.css\"").into())
    } else {
        file.bytes
    };
    let mut response = Response::new(Body::from(bytes.into_owned()));
    let kind = HeaderValue::from_str(&file.content_type);
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
