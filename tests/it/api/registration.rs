//! Registrations over HTTP: made, shown, listed, replaced, removed, and refused with all broken rules at once.

use serde_json::{Value, json};

use super::{as_admin, problem, wd};
use crate::support::Sandbox;
use crate::world::{WDV3, hub, sandbox};

fn settled(mut model: Value) -> Value {
    for name in ["created_at", "updated_at"] {
        assert!(model[name].is_string());
        model[name] = "[time]".into();
    }
    model
}

#[test]
fn a_registration_is_made_once_and_a_different_one_conflicts() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let made = service.register(&wd());
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("location"), Some("/api/v1/models/wd"));
    insta::assert_json_snapshot!("registered", settled(made.json()));
    let again = service.register(&wd());
    assert_eq!((again.status, again.json()), (200, made.json()));
    let mut other = wd();
    other["revision"] = "v2".into();
    let body = problem(&service.register(&other), 409, "model_conflict");
    assert!(body["remedy"].as_str().unwrap().contains("PUT"));
    assert_eq!(
        service.http().get("/api/v1/models/wd").ok()["revision"],
        "main"
    );
}

#[test]
fn every_broken_rule_is_named_at_once() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let body = json!({"model_id": "a b", "kind": "colourful", "colour": 1, "paths": [], "repo_id": "../x", "revision": "a..b"});
    let refused = problem(&service.register(&body), 422, "invalid_body");
    let errors = refused["errors"].as_array().unwrap();
    let fields: Vec<&str> = errors
        .iter()
        .map(|e| e["field"].as_str().unwrap())
        .collect();
    for field in ["colour", "paths", "kind", "model_id", "repo_id", "revision"] {
        assert!(fields.contains(&field), "{field} is not in {refused:#}");
    }
    let unknown = json!({"model_id": "x", "kind": "caption", "repo_id": WDV3, "template": "wdv9"});
    let refused = problem(&service.register(&unknown), 422, "invalid_body");
    assert_eq!(refused["errors"][0]["field"], "template");
    let text = refused.to_string();
    assert!(text.contains("wdv3"), "it says which there are: {text}");
    problem(&service.register(&json!([])), 422, "invalid_body");
    let list = service.http().get("/api/v1/models").ok();
    assert_eq!(list, json!({"items": [], "next": null}));
}

#[test]
fn registrations_are_listed_in_pages_replaced_and_removed() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    for id in ["c", "a", "org/b"] {
        let mut body = wd();
        body["model_id"] = id.into();
        service.register(&body).ok();
    }
    let http = service.http();
    let first = http.get("/api/v1/models?limit=2").ok();
    assert_eq!(first["items"][0]["model_id"], "a");
    assert_eq!(first["next"], "c");
    let rest = http.get("/api/v1/models?limit=2&after=c").ok();
    assert_eq!(rest["items"][0]["model_id"], "org/b");
    assert_eq!(rest["next"], Value::Null);
    problem(&http.get("/api/v1/models?limit=0"), 400, "invalid_query");
    problem(&http.get("/api/v1/models?page=1"), 400, "invalid_query");

    let other = json!({"kind": "generic", "repo_id": WDV3, "allow_patterns": ["*.csv"]});
    let put = |id: &str, body: &Value| {
        as_admin(
            &sandbox,
            &service,
            "PUT",
            &format!("/api/v1/models/{id}"),
            Some(body),
        )
    };
    let refused = http.request("PUT", "/api/v1/models/a", &[], Some(&other));
    problem(&refused, 401, "admin_token_required");
    let replaced = put("a", &other);
    assert_eq!(
        (replaced.status, &replaced.json()["kind"]),
        (200, &json!("generic"))
    );
    assert_eq!(put("new", &other).status, 201);
    service.start("a").ok();
    service.wait_completed("a");
    // Other files: what was complete is not any more.
    let more =
        json!({"kind": "generic", "repo_id": WDV3, "allow_patterns": ["*.csv", "config.json"]});
    assert_eq!(put("a", &more).ok()["complete"], Value::Null);
    assert_eq!(service.status("a")["status"], "not_started");
    service.start("a").ok();
    service.wait_completed("a");

    let delete = |id: &str| {
        as_admin(
            &sandbox,
            &service,
            "DELETE",
            &format!("/api/v1/models/{id}"),
            None,
        )
    };
    let removed = delete("org/b");
    assert_eq!((removed.status, removed.body.len()), (204, 0));
    problem(&delete("org/b"), 404, "unknown_model");
    problem(
        &http.request("DELETE", "/api/v1/models/a", &[], None),
        401,
        "admin_token_required",
    );

    as_admin(
        &sandbox,
        &service,
        "PATCH",
        "/api/v1/queue",
        Some(&json!({"paused": true})),
    )
    .ok();
    service.start("c").ok();
    problem(&delete("c"), 409, "model_busy");
    problem(&put("c", &other), 409, "model_busy");
}
