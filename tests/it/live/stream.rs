//! The stream of everything and the stream of one job: what comes first, what follows, and how they end.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{next, numbers, until};
use crate::queue::kit::{MIB, begin, hub as slow_hub, one_big, registration};
use crate::support::{SHORT, Sandbox, holds, wait_for};
use crate::world::{WDV3, hub, sandbox};

#[test]
fn a_snapshot_comes_first_and_then_every_line_once() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    service
        .register(
            &json!({"model_id": "wd", "kind": "caption", "repo_id": WDV3, "template": "wdv3"}),
        )
        .ok();
    let mut stream = service.http().stream("/api/v1/events", &[]);
    let first = next(&mut stream).unwrap();
    assert_eq!(first.name, "snapshot");
    assert_eq!(first.data["queue"]["queue_size"], 0);
    assert_eq!(first.data["jobs"], json!([]), "no model has a job yet");
    assert!(first.data["server"]["instance"].is_string());
    let begun = first.number();

    service.start("wd").ok();
    let told = until(&mut stream, |event| event.says("wd", "completed"));
    let lines = numbers(&told);
    let expected: Vec<i64> = (begun + 1..=begun + i64::try_from(lines.len()).unwrap()).collect();
    assert_eq!(lines, expected);
    let epoch = |id: &Option<String>| id.as_ref().unwrap().split(':').next().unwrap().to_owned();
    let last = told.last().unwrap();
    assert_eq!(epoch(&last.id), epoch(&first.id));

    // The same object as by asking, but for what the cache's answer adds later.
    let status = service.wait_completed("wd");
    assert_eq!(last.data["status"]["job_id"], status["job_id"]);
    assert_eq!(last.data["status"]["state"], "completed");
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(&last.data["status"]), keys(&status));
    assert!(
        told.iter()
            .any(|event| event.name == "queue" && event.id.is_none())
    );

    // A later listener is told the model in its snapshot, and a line that a person writes by hand.
    let mut stream = service.http().stream("/api/v1/events", &[]);
    let first = next(&mut stream).unwrap();
    assert_eq!(first.data["jobs"][0]["model_id"], "wd");
    assert_eq!(first.data["jobs"][0]["state"], "completed");
    sandbox.db().execute("UPDATE settings SET paused = 1");
    let began = Instant::now();
    let told = until(&mut stream, |event| event.data["kind"] == "queue_paused");
    assert!(told.last().unwrap().data["job_id"].is_null());
    assert!(began.elapsed() < SHORT);
    let told = until(&mut stream, |event| event.name == "queue");
    assert_eq!(told.last().unwrap().data["paused"], true);
}

#[test]
fn progress_is_told_at_most_four_times_a_second_with_the_files_under_way() {
    let hub = slow_hub(2 * MIB, [one_big("org/slow", 6 * MIB)]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let mut stream = service.http().stream("/api/v1/events", &[]);
    let began = Instant::now();
    begin(&service, "org/slow");
    let told = until(&mut stream, |event| event.says("org/slow", "completed"));
    let took = began.elapsed().as_secs_f64();
    let progress: Vec<_> = told
        .iter()
        .filter(|event| event.name == "progress")
        .collect();
    assert!(progress.len() >= 3, "{told:#?}");
    let most = (took * 4.0).ceil() + 1.0;
    #[expect(clippy::cast_precision_loss, reason = "a few events")]
    let count = progress.len() as f64;
    assert!(count <= most, "{count} in {took} s");
    let mut before = 0;
    for event in &progress {
        assert!(event.id.is_none());
        let job = &event.data["jobs"][0];
        assert_eq!(
            (&job["model_id"], &job["state"]),
            (&json!("org/slow"), &json!("running"))
        );
        let bytes = job["progress"]["bytes_downloaded"].as_u64().unwrap();
        assert!(bytes >= before, "{bytes} after {before}");
        before = bytes;
    }
    let files = progress
        .iter()
        .flat_map(|event| event.data["jobs"][0]["files"].as_array().unwrap());
    let mut files = files.map(|file| file["path"].as_str().unwrap());
    assert!(files.any(|path| path == "big.bin"), "{progress:#?}");
    let speeds = told.iter().filter(|event| event.name == "throughput");
    let speeds: Vec<_> = speeds
        .map(|event| event.data["bytes_per_second"].as_u64().unwrap())
        .collect();
    assert!(speeds.iter().any(|speed| *speed > MIB / 2), "{speeds:?}");
}

#[test]
fn the_stream_of_a_job_tells_only_of_it_and_ends_with_it() {
    let hub = slow_hub(4 * MIB, [one_big("org/a", 3 * MIB), one_big("org/b", MIB)]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let a = begin(&service, "org/a");
    let b = begin(&service, "org/b");
    let path = format!("/api/v1/jobs/{b}/events");
    let accept = ("Accept", "text/event-stream");
    let mut stream = service.http().stream(&path, &[accept]);
    let first = next(&mut stream).unwrap();
    assert_eq!(first.name, "snapshot");
    assert_eq!(first.data["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(first.data["jobs"][0]["job_id"], json!(b));
    let told = until(&mut stream, |event| event.name == "bye");
    assert_eq!(told.last().unwrap().data["reason"], "ended");
    assert!(next(&mut stream).is_none(), "nothing follows the goodbye");
    assert!(told.iter().any(|event| event.says("org/b", "completed")));
    for event in &told {
        assert!(!event.data.to_string().contains(&a), "{event:?}");
    }

    // From its beginning: the same lines as in the list.
    let mut stream = service.http().stream(&format!("{path}?after=0"), &[accept]);
    assert_eq!(next(&mut stream).unwrap().name, "resumed");
    let told = until(&mut stream, |event| event.name == "bye");
    let list = service.http().get(&path).ok();
    let list: Vec<i64> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["id"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers(&told), list);
    // Whoever has heard everything need not come again.
    let last = told
        .iter()
        .rev()
        .find_map(|event| event.id.clone())
        .unwrap();
    let reply = service
        .http()
        .request("GET", &path, &[accept, ("Last-Event-ID", &last)], None);
    assert_eq!((reply.status, reply.body.len()), (204, 0));
}

#[test]
fn a_stop_says_goodbye_and_waits_for_nobody() {
    let sandbox = Sandbox::new();
    let mut service = sandbox.serve();
    let mut streams: Vec<_> = (0..5)
        .map(|_| service.http().stream("/api/v1/events", &[]))
        .collect();
    for stream in &mut streams {
        assert_eq!(next(stream).unwrap().name, "snapshot");
    }
    let began = Instant::now();
    service.signal(rustix::process::Signal::TERM);
    for stream in &mut streams {
        let told = until(stream, |event| event.name == "bye");
        assert_eq!(told.last().unwrap().data["reason"], "shutdown");
        assert!(next(stream).is_none());
    }
    let status = service.wait_exit(SHORT);
    assert!(status.success(), "{status}");
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_position_that_cannot_be_continued_is_told() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    for n in 0..4 {
        service.register(&registration(&format!("org/m{n}"))).ok();
    }
    let all = sandbox
        .db()
        .value("SELECT max(event_id) FROM events")
        .as_i64()
        .unwrap();
    let epoch = sandbox.db().value("SELECT epoch FROM settings");
    let epoch = epoch.as_str().unwrap().to_owned();
    let first = |id: &str| {
        let headers = [("Last-Event-ID", id)];
        let mut stream = service.http().stream("/api/v1/events", &headers);
        let first = next(&mut stream).unwrap();
        let second = next(&mut stream).unwrap();
        (
            first.name,
            first.data["reason"].as_str().map(str::to_owned),
            second.name,
        )
    };
    let reset = |reason: &str| {
        (
            "reset".to_owned(),
            Some(reason.to_owned()),
            "snapshot".to_owned(),
        )
    };
    assert_eq!(first("0badcafe:1"), reset("other_database"));
    assert_eq!(first("something else"), reset("other_database"));
    assert_eq!(first(&format!("{epoch}:{}", all + 100)), reset("unknown"));
    assert_eq!(
        first(&format!("{epoch}:1")),
        ("resumed".to_owned(), None, "job".to_owned())
    );
    sandbox
        .db()
        .execute("DELETE FROM events WHERE event_id <= 3");
    assert_eq!(first(&format!("{epoch}:1")), reset("too_old"));
    // The line before the oldest one that is kept is enough, and 0 means whatever is kept.
    assert_eq!(first(&format!("{epoch}:3")).0, "resumed");
    assert_eq!(first("0").0, "resumed");
    sandbox.db().execute("DELETE FROM events");
    assert_eq!(first(&format!("{epoch}:1")), reset("too_old"));
    let refused = service.http().get("/api/v1/events?after=x");
    assert_eq!(
        (refused.status, refused.json()["code"].clone()),
        (400, json!("invalid_query"))
    );
    let head = service.http().request("HEAD", "/api/v1/events", &[], None);
    assert_eq!(head.status, 200);
    wait_for(SHORT, "the service still answers", || {
        holds(service.http().get("/healthz").status == 200)
    });
}

#[test]
fn a_waiter_is_woken_by_another_process_and_not_by_its_patience() {
    let hub = slow_hub(MIB / 4, [one_big("org/slow", 32 * MIB)]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    begin(&service, "org/slow");
    service.wait_bytes("org/slow", 1);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let path = "/api/v1/models/org%2Fslow/wait?timeout=300";
            let status = service.http().get(path).ok();
            (Instant::now(), status)
        });
        sandbox.run(&["cancel", "org/slow"]).ok();
        service.wait_status("org/slow", "cancelled", |status| {
            status["state"] == "cancelled"
        });
        let over = Instant::now();
        let (woken, status) = waiter.join().unwrap();
        assert_eq!(status["state"], "cancelled");
        assert!(woken.saturating_duration_since(over) < Duration::from_secs(2));
    });
}
