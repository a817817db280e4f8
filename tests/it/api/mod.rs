//! The HTTP API of a running service: every address, every refusal, and the examples of its documentation.

mod document;
mod downloads;
mod jobs;
mod metrics;
mod refusals;
mod registration;
mod roles;

use std::fs;

use serde_json::{Value, json};

use crate::support::{Reply, Sandbox, Service};
use crate::world::WDV3;

/// The header of an admin; the service has made the token's file.
fn admin(sandbox: &Sandbox) -> String {
    let token = fs::read_to_string(sandbox.path("admin-token")).unwrap();
    format!("Bearer {}", token.trim())
}

/// Asks as an admin.
#[track_caller]
fn as_admin(
    sandbox: &Sandbox,
    service: &Service,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Reply {
    let headers = [("Authorization", &*admin(sandbox))];
    service.http().request(method, path, &headers, body)
}

/// Checks that an answer is a problem of this code, and returns it.
#[track_caller]
fn problem(reply: &Reply, status: u16, code: &str) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json"),
        "{}",
        reply.text()
    );
    let body = reply.json();
    assert_eq!(body["code"], code, "{body:#}");
    assert_eq!(body["status"], status);
    assert_eq!(body["type"], format!("urn:modelhaul:error:{code}"));
    for text in ["title", "detail", "instance"] {
        assert!(body[text].as_str().is_some_and(|text| !text.is_empty()));
    }
    assert!(body["retryable"].is_boolean());
    let id = reply.header("x-request-id");
    assert!(
        id.is_some() && body["request_id"].as_str() == id,
        "{body:#}"
    );
    body
}

/// The tagger's registration.
fn wd() -> Value {
    json!({"model_id": "wd", "kind": "caption", "repo_id": WDV3, "template": "wdv3"})
}
