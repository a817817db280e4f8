//! The four routes that apps know: start, status, queue and clear.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{admin, as_admin, problem, wd};
use crate::support::{SHORT, Sandbox, Service, holds, wait_for};
use crate::world::{MODEL, WDV3, assert_tidy, hub, only, sandbox, wdv3};

/// A status without what differs from run to run.
fn settled(mut status: Value) -> Value {
    let some = |value: &mut Value, mark: &str| {
        if !value.is_null() {
            *value = mark.into();
        }
    };
    some(&mut status["job_id"], "[job]");
    some(&mut status["cache"]["path"], "[path]");
    some(&mut status["cache"]["commit"], "[commit]");
    some(&mut status["progress"]["last_byte_at"], "[time]");
    for name in ["enqueued_at", "started_at", "updated_at", "finished_at"] {
        some(&mut status["timestamps"][name], "[time]");
    }
    status
}

#[test]
fn a_model_goes_from_not_started_over_downloading_to_completed() {
    let hub = hub();
    hub.tune(|settings| settings.rate_total = 3_000_000);
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    assert_eq!(service.register(&wd()).status, 201);
    insta::assert_json_snapshot!("status_before", settled(service.status("wd")));

    let started = service.start("wd");
    assert_eq!(started.status, 202, "{}", started.text());
    let location = started.header("location").unwrap().to_owned();
    let body = started.json();
    assert_eq!(body["created"], true);
    assert_eq!(
        location,
        format!("/api/v1/jobs/{}", body["job_id"].as_str().unwrap())
    );
    let again = service.start("wd");
    assert_eq!(
        (again.status, &again.json()["created"]),
        (202, &json!(false))
    );
    assert_eq!(again.header("location"), Some(&*location));

    let during = service.wait_bytes("wd", 1_000_000);
    assert_eq!(during["status"], "downloading");
    assert_eq!(during["state"], "running");
    assert_eq!(during["phase"], "downloading");
    assert_eq!(during["attempt"], 1);
    let progress = &during["progress"];
    let total = MODEL + "tag_id,name\n1,a\n2,b\n3,c\n".len() as u64;
    assert_eq!(progress["bytes_total"], total);
    assert_eq!(progress["files_total"], 2);
    assert_eq!(progress["estimated"], false);
    assert!(
        progress["percent"]
            .as_f64()
            .is_some_and(|p| (0.0..100.0).contains(&p))
    );
    assert!(progress["last_byte_at"].is_string());
    assert_eq!(during["queue"]["currently_downloading"], "wd");
    let queue = service.http().get("/api/model-download-queue-status").ok();
    assert_eq!(queue["queue"][0]["model_id"], "wd");
    assert_eq!(queue["running"], true);
    assert!(queue["lease"]["holder"].is_string());

    // Bytes only go up.
    let last = std::cell::Cell::new(0);
    service.wait_status("wd", "completed", |status| {
        let bytes = status["progress"]["bytes_downloaded"].as_u64().unwrap();
        assert!(bytes >= last.get(), "{bytes} after {last:?}");
        last.set(bytes);
        status["status"] == "completed"
    });
    insta::assert_json_snapshot!("status_after", settled(service.status("wd")));
    let done = service.start("wd");
    assert_eq!((done.status, &done.json()["created"]), (200, &json!(false)));
    let queue = service.http().get("/api/v1/queue").ok();
    assert_eq!(queue["queue"], json!([]));
    let commit = hub.head(WDV3, "main").unwrap();
    sandbox.assert_snapshot(
        &only(&wdv3(), &["model.onnx", "selected_tags.csv"]),
        &commit,
    );
    service.stop();
    assert_tidy(&sandbox);
}

#[test]
fn the_queue_shows_who_waits_behind_whom() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    as_admin(
        &sandbox,
        &service,
        "PATCH",
        "/api/v1/queue",
        Some(&json!({"paused": true})),
    )
    .ok();
    for id in ["first", "second"] {
        let body = json!({"model_id": id, "kind": "generic", "repo_id": WDV3, "allow_patterns": ["*.csv"]});
        service.register(&body).ok();
        let status = service.start(id).ok();
        assert_eq!(status["state"], "paused");
        assert_eq!(status["status"], "downloading");
    }
    let mut queue = service.http().get("/api/model-download-queue-status").ok();
    for entry in queue["queue"].as_array_mut().unwrap() {
        entry["job_id"] = "[job]".into();
        entry["enqueued_at"] = "[time]".into();
    }
    queue["lease"] = "[lease]".into();
    insta::assert_json_snapshot!("queue", queue);
    assert_eq!(service.status("second")["queue_position"], 2);
    as_admin(
        &sandbox,
        &service,
        "PATCH",
        "/api/v1/queue",
        Some(&json!({"paused": false})),
    )
    .ok();
    for id in ["first", "second"] {
        service.wait_completed(id);
    }
}

#[test]
fn a_long_queue_comes_in_pages() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    sandbox.run(&["pause", "--queue"]).ok();
    for n in 1..=5 {
        let id = format!("m{n}");
        let body = json!({"model_id": id, "kind": "generic", "repo_id": WDV3});
        service.register(&body).ok();
        service.start(&id).ok();
    }
    let mut path = "/api/v1/queue?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let reply = service.http().get(&path);
        let page = reply.ok();
        assert_eq!(page["queue_size"], 5);
        let entries = page["queue"].as_array().unwrap().iter();
        seen.extend(entries.map(|entry| entry["queue_position"].as_u64().unwrap()));
        let Some(link) = reply.header("link") else {
            assert_eq!(page["next"], Value::Null);
            break;
        };
        let (address, kind) = link.split_once("; ").unwrap();
        assert_eq!(kind, "rel=\"next\"");
        path = address.trim_matches(['<', '>']).to_owned();
        let next = page["next"].as_str().unwrap();
        assert_eq!(path, format!("/api/v1/queue?limit=2&after={next}"));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    problem(
        &service.http().get("/api/v1/queue?limit=1001"),
        400,
        "invalid_query",
    );
}

#[test]
fn an_edit_by_hand_shows_within_a_quarter_of_a_second() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    sandbox.run(&["pause", "--queue"]).ok();
    let body = json!({"model_id": "m", "kind": "generic", "repo_id": WDV3});
    service.register(&body).ok();
    // An own write shows in the very next answer.
    assert_eq!(service.status("m")["state"], "not_started");
    assert_eq!(service.start("m").ok()["state"], "paused");
    assert_eq!(service.status("m")["state"], "paused");
    for (edit, state) in [
        (
            "UPDATE jobs SET state = 'cancelled', finished_at_ms = 1",
            "cancelled",
        ),
        ("UPDATE jobs SET cleared_at_ms = 1", "not_started"),
    ] {
        let before = service.status("m");
        assert_ne!(before["state"], state);
        sandbox.db().execute(edit);
        let edited = Instant::now();
        while service.status("m")["state"] != state {
            assert!(
                edited.elapsed() < Duration::from_millis(350),
                "{state} is not seen"
            );
        }
        let queue = service.http().get("/api/v1/queue").ok();
        assert_eq!(queue["queue"].as_array().unwrap().len(), 0, "{queue:#}");
    }
}

#[test]
fn an_id_with_a_slash_is_one_id_in_both_spellings() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let body = json!({"model_id": WDV3, "kind": "caption", "repo_id": WDV3, "template": "wdv3"});
    service.register(&body).ok();
    let escaped = WDV3.replace('/', "%2F");
    let started = service.start(&escaped);
    assert_eq!(started.status, 202, "{}", started.text());
    assert_eq!(started.json()["model_id"], WDV3);
    assert_eq!(service.start(WDV3).status / 100, 2);
    service.wait_completed(WDV3);
    let (raw, coded) = (service.status(WDV3), service.status(&escaped));
    assert_eq!(raw, coded);
    for path in [WDV3, &escaped] {
        let cleared = as_admin(
            &sandbox,
            &service,
            "POST",
            &format!("/api/model-download/{path}/clear"),
            None,
        );
        assert_eq!(cleared.status, 200, "{}", cleared.text());
        let shown = service.http().get(&format!("/api/v1/models/{path}"));
        assert_eq!(shown.ok()["model_id"], WDV3);
    }
}

#[test]
fn switched_off_downloads_are_refused_and_what_is_here_is_not() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    sandbox.run(&["pull", WDV3, "-i", "*.csv"]).ok();
    let sandbox = sandbox.env("DISABLE_MODEL_DOWNLOADS", "1");
    let service = sandbox.serve();
    service.register(&wd()).ok();
    let refused = service.start("wd");
    let body = problem(&refused, 403, "downloads_disabled");
    assert!(
        body["remedy"]
            .as_str()
            .unwrap()
            .contains("DISABLE_MODEL_DOWNLOADS")
    );
    assert_eq!(service.status("wd")["status"], "not_started");
    let queue = service.http().get("/api/model-download-queue-status").ok();
    assert_eq!(queue["downloads_disabled"], true);
    let body = json!({"model_id": "tags", "kind": "generic", "repo_id": WDV3, "allow_patterns": ["selected_tags.csv"]});
    service.register(&body).ok();
    assert_eq!(service.start("tags").status, 200, "it is complete already");
    assert_eq!(hub.requests_for("*model.onnx").len(), 0);
}

#[test]
fn an_unknown_model_is_a_problem_that_says_how_to_register() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let mut body = problem(&service.start("nothing"), 404, "unknown_model");
    body["request_id"] = "[id]".into();
    insta::assert_json_snapshot!("unknown_model", body);
    let http = service.http();
    problem(
        &http.get("/api/model-download-status/nothing"),
        404,
        "unknown_model",
    );
    problem(&http.get("/api/v1/models/nothing"), 404, "unknown_model");
    let bad = http.get("/api/model-download-status/a%00b");
    problem(&bad, 400, "invalid_model_id");
    problem(
        &http.get("/api/model-download-status/..%2F.."),
        400,
        "invalid_model_id",
    );
}

#[test]
fn clear_is_for_admins_and_frees_a_failed_model() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let body = json!({"model_id": "lost", "kind": "generic", "repo_id": "no/such", "template": "everything"});
    service.register(&body).ok();
    service.start("lost").ok();
    let failed = service.wait_status("lost", "failed", |status| status["state"] == "failed");
    assert_eq!(failed["status"], "not_started");
    assert_eq!(failed["error"]["code"], "repo_not_found");

    let path = "/api/model-download/lost/clear";
    let http = service.http();
    problem(&http.post(path, None), 401, "admin_token_required");
    let wrong = [("Authorization", "Bearer wrong")];
    problem(
        &http.request("POST", path, &wrong, None),
        401,
        "admin_token_wrong",
    );
    assert_eq!(
        service.status("lost")["state"],
        "failed",
        "a refusal changes nothing"
    );

    let cleared = as_admin(
        &sandbox,
        &service,
        "POST",
        path,
        Some(&json!({"purge": true})),
    )
    .ok();
    assert_eq!(cleared["model_id"], "lost");
    assert_eq!(cleared["jobs"].as_array().unwrap().len(), 1, "{cleared:#}");
    let status = service.status("lost");
    assert_eq!(
        (&status["state"], &status["error"]),
        (&json!("not_started"), &Value::Null)
    );
    assert_eq!(service.start("lost").status, 202);
    problem(
        &as_admin(
            &sandbox,
            &service,
            "POST",
            "/api/model-download/none/clear",
            None,
        ),
        404,
        "unknown_model",
    );
}

#[test]
fn clear_stops_a_running_download_and_purges_its_part_but_no_finished_file() {
    let hub = hub();
    hub.tune(|settings| settings.rate_total = 1_500_000);
    let sandbox = sandbox(&hub);
    let service: Service = sandbox.serve();
    service.register(&wd()).ok();
    service.start("wd").ok();
    service.wait_bytes("wd", 500_000);
    let tags = only(&wdv3(), &["selected_tags.csv"]);
    wait_for(SHORT, "the small file is finished", || {
        holds(
            sandbox
                .blobs(WDV3)
                .contains(&tags.files()[0].etag().to_owned()),
        )
    });
    let answer = service.http().request(
        "POST",
        "/api/model-download/wd/clear?purge=true",
        &[("Authorization", &*admin(&sandbox))],
        None,
    );
    let cleared = answer.ok();
    assert_eq!(
        cleared["parts_deleted"],
        1,
        "{cleared:#} {:?} {:#?}\n{}",
        sandbox.blobs(WDV3),
        sandbox
            .db()
            .rows("SELECT path, state, part_name, bytes_done FROM files"),
        service.logs()
    );
    assert_eq!(sandbox.blobs(WDV3), [tags.files()[0].etag()]);
    let status = service.status("wd");
    assert_eq!(status["status"], "not_started", "{status:#}");
    hub.tune(|settings| settings.rate_total = 0);
    service.start("wd").ok();
    service.wait_completed("wd");
    service.stop();
    assert_tidy(&sandbox);
}
