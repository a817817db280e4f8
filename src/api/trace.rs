//! The outermost layer: gives each request an id, finishes its answer, and writes one line about it.
//!
//! A line holds method, route template, status, duration and id; never a path, a query or a header, so no
//! secret can get in. An error answer that some library made is turned into a problem here, the last chance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::metrics::Metrics;

use super::guard;
use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes request ids: eight hex digits of this process, then a counter.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    /// A series that starts at a random place.
    pub(crate) fn new() -> Self {
        Self {
            // Without randomness ids stay unique within the process, which is what logs need.
            process: getrandom::u32().unwrap_or(0),
            next: AtomicU64::new(1),
        }
    }

    fn issue(&self) -> String {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{count:06}", self.process)
    }
}

/// Runs the rest, then finishes and records the answer.
pub(crate) async fn record(
    State((ids, metrics)): State<(Arc<RequestIds>, Arc<Metrics>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = ids.issue();
    // An id from outside could forge lines of the log.
    request.headers_mut().remove(REQUEST_ID);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("(none)", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!("request", request_id = %id);
    let mut response = next.run(request).instrument(span).await;
    let code = finish(&mut response, &id, path);
    let status = response.status();
    metrics.answered(method.as_str(), &route, status.as_u16(), started.elapsed());
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let quiet = status.is_success() && method.is_safe();
    let method = method.as_str();
    let status = status.as_u16();
    if quiet {
        tracing::debug!(method, route, status, duration_ms, request_id = %id, "Answered a request.");
    } else if status >= StatusCode::INTERNAL_SERVER_ERROR.as_u16() {
        tracing::warn!(method, route, status, code, duration_ms, request_id = %id, "Could not answer a request.");
    } else {
        tracing::info!(method, route, status, code, duration_ms, request_id = %id, "Answered a request.");
    }
    response
}

/// Adds id and headers, and makes a problem of whatever is an error; its code, if it is one.
fn finish(response: &mut Response, id: &str, path: String) -> Option<&'static str> {
    let status = response.status();
    let mut code = None;
    if status.is_client_error() || status.is_server_error() {
        let problem = response
            .extensions_mut()
            .remove::<Problem>()
            .unwrap_or_else(|| Problem::from_status(status))
            .of_request(id.to_owned(), path);
        code = Some(problem.code());
        // Headers such as Allow and Retry-After stay; status and body are the problem's.
        let body = problem.to_body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        *response.body_mut() = Body::from(body);
    }
    guard::secure(response.headers_mut());
    response.headers_mut().extend(
        HeaderValue::from_str(id)
            .ok()
            .map(|value| (REQUEST_ID, value)),
    );
    code
}

/// The answer in place of a handler that panicked. The panic itself is on standard error.
pub(crate) fn panicked(_payload: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("A handler panicked.");
    Problem::new(
        super::problem::Code::Internal,
        "the service made a mistake; the log has more under this request's id",
    )
    .into_response()
}
