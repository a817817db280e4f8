//! What people do to a download: cancel, pause, resume, clear; from the API and from another process.

use serde_json::json;

use modelhaul::testing::{Fault, Misdeed, PracticeHub, RepoSpec};

use super::kit::{
    MIB, as_admin, assert_not_fetched_again, assert_whole, begin, hub, is_part, newest, one_big,
    saved, saved_bytes, start,
};
use crate::support::{SHORT, Sandbox, Service, holds, wait_for};

const RATE: u64 = 8 * MIB;
const ID: &str = "me/model";

/// A download that has come so far.
fn running(size: u64, bytes: u64) -> (PracticeHub, Sandbox, Service, RepoSpec) {
    let spec = one_big(ID, size);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, bytes);
    (hub, sandbox, service, spec)
}

#[track_caller]
fn quiet(hub: &PracticeHub) {
    wait_for(SHORT, "the hub is left alone", || {
        holds(hub.counters().in_flight == 0)
    });
}

/// Cancels, checks that it takes less than a second, and that the next start goes on from the parts.
fn cancelled_and_resumed(cancel: impl Fn(&Sandbox, &Service)) {
    let (hub, sandbox, service, spec) = running(24 * MIB, 8 * MIB);
    cancel(&sandbox, &service);
    service.wait_status(ID, "cancelled", |status| status["state"] == "cancelled");
    quiet(&hub);
    let db = sandbox.db();
    let took = db.value("SELECT finished_at_ms - cancel_requested_ms FROM jobs");
    assert!(took.as_i64() <= Some(1000), "{took} ms");
    assert_eq!(service.status(ID)["status"], "not_started");
    let (before, since) = (saved(&sandbox), newest(&hub));
    assert!(saved_bytes(&before) >= 4 * MIB, "the bytes are kept");
    start(&service, ID);
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    assert_whole(&sandbox, &hub, &spec);
    assert_eq!(
        db.rows("SELECT state FROM jobs ORDER BY job_key"),
        [json!({"state": "cancelled"}), json!({"state": "completed"})]
    );
}

#[test]
fn a_running_job_is_cancelled_through_the_api_within_a_second() {
    cancelled_and_resumed(|_, service| {
        let answer = service.http().post("/api/v1/models/me/model/cancel", None);
        answer.ok();
    });
}

#[test]
fn a_running_job_is_cancelled_from_another_process_within_a_second() {
    cancelled_and_resumed(|sandbox, _| {
        sandbox.run(&["cancel", ID]).ok();
    });
}

#[test]
fn a_waiting_job_is_cancelled_at_once() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_status(ID, "waiting", |status| status["state"] == "waiting");
    let answer = service.http().post("/api/v1/models/me/model/cancel", None);
    answer.ok();
    assert_eq!(service.status(ID)["state"], "cancelled");
    start(&service, ID);
}

#[test]
fn a_paused_job_keeps_its_bytes_and_goes_on_when_resumed() {
    let (hub, sandbox, service, spec) = running(24 * MIB, 8 * MIB);
    let pause = service.http().post("/api/v1/models/me/model/pause", None);
    pause.ok();
    service.wait_status(ID, "paused", |status| status["state"] == "paused");
    quiet(&hub);
    let (before, since) = (saved(&sandbox), newest(&hub));
    // Another model is not held up by it.
    hub.add_repo(&one_big("me/other", MIB));
    begin(&service, "me/other");
    service.wait_completed("me/other");
    assert_eq!(service.status(ID)["state"], "paused");
    let resume = service.http().post("/api/v1/models/me/model/resume", None);
    resume.ok();
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    assert_eq!(sandbox.db().value("SELECT sum(retries) FROM jobs"), 0);
    let commit = hub.head(ID, "main").unwrap();
    sandbox.assert_snapshot(&spec, &commit);
}

#[test]
fn a_paused_queue_stands_still_and_goes_on_when_resumed() {
    let (hub, sandbox, service, spec) = running(24 * MIB, 8 * MIB);
    let queue = "/api/v1/queue";
    as_admin(
        &sandbox,
        &service,
        "PATCH",
        queue,
        Some(&json!({"paused": true})),
    )
    .ok();
    service.wait_status(ID, "paused", |status| status["state"] == "paused");
    quiet(&hub);
    let (before, since) = (saved(&sandbox), newest(&hub));
    // The pause is a row: a restart does not end it.
    service.stop();
    let service = sandbox.serve();
    assert_eq!(service.http().get(queue).ok()["paused"], true);
    assert_eq!(service.status(ID)["state"], "paused");
    sandbox.run(&["resume", "--queue"]).ok();
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    assert_whole(&sandbox, &hub, &spec);
}

#[test]
fn a_running_job_is_cleared_and_can_be_started_again() {
    let (hub, sandbox, service, spec) = running(24 * MIB, 8 * MIB);
    let path = "/api/model-download/me/model/clear";
    let cleared = as_admin(&sandbox, &service, "POST", path, None).ok();
    assert_eq!(cleared["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(cleared["parts_deleted"], 0);
    quiet(&hub);
    assert_eq!(service.status(ID)["status"], "not_started");
    let (before, since) = (saved(&sandbox), newest(&hub));
    assert!(saved_bytes(&before) >= 4 * MIB, "the bytes are kept");
    start(&service, ID);
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    assert_whole(&sandbox, &hub, &spec);
}

/// Clears with purge while a worker of the service holds the parts.
fn purged(clear: impl Fn(&Sandbox, &Service)) {
    let (hub, sandbox, service, spec) = running(24 * MIB, 8 * MIB);
    wait_for(SHORT, "the small file is finished", || {
        holds(sandbox.blobs(ID).iter().any(|name| !is_part(name)))
    });
    clear(&sandbox, &service);
    quiet(&hub);
    let blobs = sandbox.blobs(ID);
    assert_eq!(blobs.len(), 1, "the finished blob stays: {blobs:?}");
    assert!(!is_part(&blobs[0]), "{blobs:?}");
    assert_eq!(service.status(ID)["status"], "not_started");
    start(&service, ID);
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
    assert_eq!(
        hub.requests_for("me/model/config.json").len(),
        2,
        "hub and cache"
    );
}

#[test]
fn a_purge_through_the_api_removes_parts_and_no_blob() {
    purged(|sandbox, service| {
        let path = "/api/model-download/me/model/clear";
        let body = json!({"purge": true});
        let cleared = as_admin(sandbox, service, "POST", path, Some(&body)).ok();
        assert_eq!(cleared["parts_deleted"], 1, "{cleared:#}");
        assert!(cleared["bytes_deleted"].as_u64() >= Some(4 * MIB));
    });
}

#[test]
fn a_purge_from_another_process_removes_the_parts_of_a_running_job() {
    purged(|sandbox, _| {
        let said = sandbox.run(&["clear", "--purge", ID]).ok();
        assert!(said.contains("deleted 1 partial files"), "{said}");
    });
}

#[test]
fn a_failed_job_is_cleared() {
    let spec = one_big(ID, MIB);
    let hub = hub(0, [spec.clone()]);
    let fault = hub.fault(Fault::hub("/api/models/*", Misdeed::status(404)));
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    begin(&service, ID);
    let failed = service.wait_status(ID, "failed", |status| status["state"] == "failed");
    assert!(failed["error"]["code"].is_string(), "{failed:#}");
    hub.lift(fault);
    let path = "/api/model-download/me/model/clear";
    as_admin(&sandbox, &service, "POST", path, None).ok();
    let cleared = service.status(ID);
    assert_eq!(cleared["state"], "not_started", "{cleared:#}");
    assert!(cleared["error"].is_null(), "{cleared:#}");
    start(&service, ID);
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
}
