//! The dashboard: one page for all its addresses, and the files that it loads.
//!
//! The page is asked for anew each time and names its files under a hash of all of them, so the files are kept for
//! ever and a page never gets one of another version. What the page shows comes from the other routes.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::RawPathParams;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest as _, Sha256};

use super::super::problem::{Code, Problem};
use crate::domain::hex;

/// Nothing from elsewhere, nothing inline, and no text that becomes markup but by the one renderer.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types lit-html";

/// Where the page's source has the hash of its files.
const PLACEHOLDER: &str = "/ui/hash/";
const PAGE: &str = "index.html";
const FOREVER: &str = "public, max-age=31536000, immutable";

/// The sources as they are; a debug build reads them from disk at each request.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;

/// The page, whichever of its addresses was asked for.
pub(in super::super) async fn page(headers: HeaderMap) -> Result<Response<Body>, Problem> {
    answer(PAGE, POLICY, &headers)
}

/// A page with the addresses that its files have now, under a content policy.
pub(super) fn answer(
    page: &str,
    policy: &'static str,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let source = Web::get(page).ok_or_else(missing)?;
    let source = str::from_utf8(&source.data)
        .map_err(|_not_utf8| Problem::new(Code::Internal, "the page is no UTF-8"))?;
    let hash = hash();
    let page = source.replace(PLACEHOLDER, &format!("/ui/{hash}/"));
    let etag = format!("\"{hash}\"");
    let kind = "text/html; charset=utf-8";
    let mut response = send(headers, &etag, "no-cache", kind, page);
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    Ok(response)
}

/// One file of the page.
pub(in super::super) async fn file(
    params: RawPathParams,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let mut values = params.iter().map(|(_, value)| value);
    let (Some(asked), Some(path)) = (values.next(), values.next()) else {
        return Err(missing());
    };
    let kind = content_type(path).ok_or_else(missing)?;
    // A page of another version is better off without a file than with one that does not fit it.
    if asked != hash() {
        return Err(missing());
    }
    let file = Web::get(path).ok_or_else(missing)?;
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..16]));
    Ok(send(&headers, &etag, FOREVER, kind, bytes(file)))
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "the dashboard has no such file")
        .with_remedy("reload the page: it may be of another version")
}

fn bytes(file: EmbeddedFile) -> Body {
    match file.data {
        std::borrow::Cow::Borrowed(bytes) => Body::from(bytes),
        std::borrow::Cow::Owned(bytes) => Body::from(bytes),
    }
}

fn send(
    asked: &HeaderMap,
    etag: &str,
    keep: &'static str,
    kind: &'static str,
    body: impl Into<Body>,
) -> Response<Body> {
    let known = asked.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let named = |text: &str| {
            text.split(',')
                .any(|one| one.trim().trim_start_matches("W/") == etag)
        };
        value.to_str().is_ok_and(named)
    });
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(body.into())
    };
    let mut set = |name: HeaderName, value: Result<HeaderValue, _>| {
        response
            .headers_mut()
            .extend(value.ok().map(|value: HeaderValue| (name, value)));
    };
    set(header::ETAG, HeaderValue::from_str(etag));
    set(header::CACHE_CONTROL, HeaderValue::from_str(keep));
    set(header::CONTENT_TYPE, HeaderValue::from_str(kind));
    response
}

/// Only what the page is made of has an address.
fn content_type(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    match ending {
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

/// The hash of all files; a debug build takes it anew, so that a changed file is seen.
fn hash() -> String {
    static ONCE: LazyLock<String> = LazyLock::new(hash_now);
    if cfg!(debug_assertions) {
        hash_now()
    } else {
        ONCE.clone()
    }
}

fn hash_now() -> String {
    let mut paths: Vec<_> = Web::iter().collect();
    paths.sort_unstable();
    let mut all = Sha256::new();
    for path in paths {
        if let Some(file) = Web::get(&path) {
            all.update(path.as_bytes());
            all.update([0]);
            all.update(file.metadata.sha256_hash());
        }
    }
    hex(&all.finalize()[..8])
}
