//! Steering and looking at jobs: cancel, pause, retry, wait, and the lists.

use serde_json::{Value, json};

use super::{as_admin, problem, wd};
use crate::world::{WDV3, hub, sandbox};

#[test]
fn a_job_has_files_events_and_attempts() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    service.register(&wd()).ok();
    let location = service.start("wd").header("location").unwrap().to_owned();
    let waited = service.http().get("/api/v1/models/wd/wait?timeout=60").ok();
    assert_eq!(waited["state"], "completed", "{waited:#}");
    let get = |path: &str| service.http().get(path).ok();
    let job = get(&location);
    assert_eq!(
        (&job["state"], &job["files_downloaded"]),
        (&json!("completed"), &json!(2))
    );
    assert_eq!(job["bytes_downloaded"], job["bytes_total"]);
    assert_eq!(job["commit"], json!(hub.head(WDV3, "main")));
    let files = get(&format!("{location}/files"));
    let paths: Vec<&Value> = files["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| &f["path"])
        .collect();
    assert_eq!(paths, [&json!("model.onnx"), &json!("selected_tags.csv")]);
    assert!(
        files["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|f| f["verified"] == true && f["state"] == "done"),
        "{files:#}"
    );
    let page = get(&format!("{location}/files?limit=1"));
    assert_eq!(page["next"], "model.onnx");
    let rest = get(&format!("{location}/files?limit=1&after=model.onnx"));
    assert_eq!(
        (&rest["items"][0]["path"], &rest["next"]),
        (&json!("selected_tags.csv"), &Value::Null)
    );
    let events = get(&format!("{location}/events"));
    let steps: Vec<(&str, &str)> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| Some((e["from_state"].as_str()?, e["to_state"].as_str()?)))
        .collect();
    assert_eq!(
        steps,
        [("queued", "running"), ("running", "completed")],
        "{events:#}"
    );
    let attempts = get(&format!("{location}/attempts"));
    assert_eq!(attempts["items"].as_array().unwrap().len(), 1);
    assert_eq!(attempts["items"][0]["outcome"], "completed");

    let jobs = get("/api/v1/jobs?state=completed&model_id=wd");
    assert_eq!(jobs["items"][0]["id"], job["id"]);
    assert_eq!(get("/api/v1/jobs?state=failed")["items"], json!([]));
    problem(
        &service.http().get("/api/v1/jobs?state=lost"),
        400,
        "invalid_query",
    );
    problem(&service.http().get("/api/v1/jobs/7"), 400, "invalid_path");
    let unknown = "/api/v1/jobs/019ab2c0-5d1e-7c3a-9a44-1f2e3d4c5b6a";
    for tail in ["", "/files", "/events", "/attempts"] {
        problem(
            &service.http().get(&format!("{unknown}{tail}")),
            404,
            "unknown_job",
        );
    }
}

#[test]
fn a_running_job_is_paused_resumed_and_cancelled_and_keeps_its_bytes() {
    let hub = hub();
    hub.tune(|settings| settings.rate_total = 2_000_000);
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    service.register(&wd()).ok();
    service.start("wd").ok();
    service.wait_bytes("wd", 1_000_000);
    let act = |action: &str| {
        service
            .http()
            .post(&format!("/api/v1/models/wd/{action}"), None)
            .ok()
    };
    let paused = act("pause");
    assert_eq!(
        (&paused["changed"], &paused["job"]["paused"]),
        (&json!(true), &json!(true))
    );
    service.wait_status("wd", "paused", |status| status["state"] == "paused");
    assert_eq!(act("resume")["changed"], true);
    service.wait_status("wd", "goes on", |status| status["state"] == "running");
    service.wait_bytes("wd", 2_000_000);
    assert_eq!(act("cancel")["changed"], true);
    let cancelled = service.wait_status("wd", "cancelled", |status| status["state"] == "cancelled");
    assert_eq!(cancelled["status"], "not_started");
    let nothing = act("cancel");
    assert_eq!(
        nothing,
        json!({"model_id": "wd", "changed": false, "job": null})
    );
    // The next job takes up what was received.
    hub.tune(|settings| settings.rate_total = 0);
    let sent = hub.bytes_sent("*model.onnx");
    let again = service.http().post("/api/v1/models/wd/retry", None);
    assert_eq!(again.status, 202, "{}", again.text());
    service.wait_completed("wd");
    assert!(sent > 1_000_000);
    let fresh = hub.bytes_sent("*model.onnx") - sent;
    assert!(fresh < 5_500_000, "{fresh} bytes were fetched again");
}

#[test]
fn a_failed_job_is_retried_under_its_own_id() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let body = json!({"model_id": "late", "kind": "generic", "repo_id": "org/late", "template": "everything"});
    service.register(&body).ok();
    let first = service.start("late").json()["job_id"].clone();
    service.wait_status("late", "failed", |status| status["state"] == "failed");
    hub.add_repo(&modelhaul::testing::RepoSpec::new("org/late").file("a", "b"));
    let retried = service.http().post("/api/v1/models/late/retry", None);
    assert_eq!((retried.status, &retried.json()["job_id"]), (202, &first));
    service.wait_completed("late");
}

#[test]
fn a_wait_ends_with_patience_and_health_is_told() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    service.register(&wd()).ok();
    as_admin(
        &sandbox,
        &service,
        "PATCH",
        "/api/v1/queue",
        Some(&json!({"paused": true})),
    )
    .ok();
    service.start("wd").ok();
    let waited = service.http().get("/api/v1/models/wd/wait?timeout=0").ok();
    assert_eq!(waited["state"], "paused");
    problem(
        &service.http().get("/api/v1/models/wd/wait?timeout=9999"),
        400,
        "invalid_query",
    );
    let health = service.http().get("/healthz").ok();
    assert_eq!(
        health,
        json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})
    );
    let ready = service.http().get("/readyz").ok();
    let free = ready["free_bytes"].as_u64().unwrap();
    assert!(free > 0, "{ready}");
    assert_eq!(
        ready,
        json!({"database": true, "cache": true, "role": "holder", "free_bytes": free, "reasons": [], "ready": true})
    );
    // A second service on the same database stands by, and is ready too.
    let standby = sandbox.serve();
    let ready = standby.http().get("/readyz").ok();
    assert_eq!(
        (&ready["role"], &ready["ready"]),
        (&json!("standby"), &json!(true))
    );
}
