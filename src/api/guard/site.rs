//! Writes come from programs or from this service's own pages, never from another web page.
//!
//! Browsers say where a request comes from (`Sec-Fetch-Site`, `Origin`) and cannot be made to lie; programs send
//! neither. There is no CORS: a page of another origin can read nothing either.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};

use super::super::problem::{Code, Problem};
use super::host::Authority;

/// Whether a method may change something.
pub(super) fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Refuses a write from another site, and a body that does not say that it is JSON.
pub(super) fn check(request: &Request, host: &Authority) -> Result<(), Problem> {
    if !is_write(request.method()) {
        return Ok(());
    }
    let headers = request.headers();
    let strangers = headers
        .get_all("sec-fetch-site")
        .iter()
        .any(|site| site != "same-origin" && site != "none");
    let foreign = headers
        .get_all(header::ORIGIN)
        .iter()
        .any(|origin| !origin.to_str().is_ok_and(|origin| host.is_origin(origin)));
    if strangers || foreign {
        return Err(Problem::new(
            Code::CrossSite,
            "a page of another origin may not change anything here",
        ));
    }
    if carries_body(headers) && !says_json(headers) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "a body must come with `Content-Type: application/json`",
        ));
    }
    Ok(())
}

fn carries_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get_all(header::CONTENT_LENGTH)
            .iter()
            .any(|length| length != "0")
}

/// Exactly one content type: JSON, in UTF-8 if it names a charset.
fn says_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
        && parts.all(|parameter| {
            parameter
                .split_once('=')
                .filter(|(name, _)| name.eq_ignore_ascii_case("charset"))
                .is_none_or(|(_, set)| set.trim_matches('"').eq_ignore_ascii_case("utf-8"))
        })
}
