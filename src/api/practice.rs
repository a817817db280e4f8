//! Doors for tests: every check of the real ones around handlers that need no manager.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use super::body::registration::RegistrationBody;
use super::extract::{Json, ModelPath, Nothing, OptionalJson};
use super::guard::{self, Guard, Policy};
use super::problem::Problem;
use super::{Doors, wrap};

/// What a test holds of the doors it made.
pub(crate) struct Practice {
    /// The doors.
    pub(crate) doors: Doors,
    /// Gets a permit when a request has come to `/slow`.
    pub(crate) arrived: Arc<Semaphore>,
    /// A permit lets one request to `/slow` finish.
    pub(crate) finish: Arc<Semaphore>,
}

/// Doors with `/quick`, `/slow`, `/big`, `/panic`, `/late`, and echoes for ids and bodies.
pub(crate) fn doors(guard: Guard) -> Practice {
    let guard = Arc::new(guard);
    let arrived = Arc::new(Semaphore::new(0));
    let finish = Arc::new(Semaphore::new(0));
    let (seen, end) = (Arc::clone(&arrived), Arc::clone(&finish));
    let slow = move || async move {
        seen.add_permits(1);
        end.acquire().await.unwrap().forget();
        "done"
    };
    let hurry = from_fn_with_state(Duration::from_millis(20), guard::hurry);
    let admin = from_fn_with_state((Arc::clone(&guard), Policy::Admin), guard::authorize);
    let read = from_fn_with_state((Arc::clone(&guard), Policy::Read), guard::authorize);
    let router = Router::new()
        .route("/quick", any(async || "quick"))
        .route("/only-get", get(async || "got"))
        .route("/slow", any(slow))
        .route("/big", get(async || "x".repeat(64 << 20)))
        .route("/panic", get(panics))
        .route("/late", get(std::future::pending::<()>).route_layer(hurry))
        .route(
            "/library",
            get(async || (axum::http::StatusCode::BAD_REQUEST, "own words")),
        )
        .route("/admin", post(async || "cleared").route_layer(admin))
        .route("/read", get(async || "read").route_layer(read))
        .route("/model/{model_id}", get(model).post(act))
        .route("/model/{org}/{name}", get(model).post(act))
        .route("/register", post(register));
    Practice {
        doors: wrap(router, guard, Arc::default()),
        arrived,
        finish,
    }
}

async fn panics() -> &'static str {
    panic!("a defect with hf_secret")
}

async fn model(ModelPath(id): ModelPath) -> String {
    id.to_string()
}

async fn act(ModelPath(id): ModelPath, OptionalJson(Nothing {}): OptionalJson<Nothing>) -> String {
    id.to_string()
}

async fn register(Json(body): Json<RegistrationBody>) -> Result<String, Problem> {
    body.into_model().map(|model| model.model_id.to_string())
}

/// A request with a legal host.
pub(crate) fn request(method: &str, uri: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "127.0.0.1:8642")
}

/// Sends a request without a body.
pub(crate) async fn send(doors: &Doors, request: axum::http::request::Builder) -> Reply {
    send_body(doors, request, Body::empty()).await
}

/// Sends a request with a body.
pub(crate) async fn send_body(
    doors: &Doors,
    request: axum::http::request::Builder,
    body: impl Into<Body>,
) -> Reply {
    let request = request.body(body.into()).unwrap();
    let response: Response<Body> = doors.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// A header as text; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The code, after a check that it is a whole problem.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let body = self.json();
        assert_eq!(body["status"], self.status);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        for member in ["title", "detail", "instance"] {
            assert!(body[member].is_string(), "{member}: {self:?}");
        }
        assert!(body["retryable"].is_boolean());
        let code = body["code"].as_str().unwrap();
        assert_eq!(body["type"], format!("urn:modelhaul:error:{code}"));
        code.to_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}
