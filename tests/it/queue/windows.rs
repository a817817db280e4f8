//! Windows of the week, a person's limit, and the order of the queue, by the real service.

use std::fs;

use serde_json::{Value, json};

use crate::support::{LONG, Sandbox, Service, holds, wait_for};
use crate::world::{JTP2, WDV3, hub, sandbox};

/// A configuration with windows that hold at any time of any day.
fn always(sandbox: &Sandbox, rate: &str) {
    let path = sandbox.path("home/.config/modelhaul/config.toml");
    let mut text = fs::read_to_string(&path).unwrap();
    let windows = format!("['Mon-Sun 00:00-24:00 -> {rate}']");
    let lines = format!("time_zone = 'Europe/Berlin'\nbandwidth_windows = {windows}\n");
    text.push_str(&lines);
    fs::write(path, text).unwrap();
}

fn register(service: &Service) {
    service.register(
        &json!({"model_id": "wd", "kind": "caption", "repo_id": WDV3, "template": "wdv3"}),
    );
    service.register(&json!({"model_id": "jtp", "kind": "caption", "repo_id": JTP2}));
}

fn queue(service: &Service) -> Value {
    service.http().get("/api/v1/queue").ok()
}

#[test]
fn a_window_lets_nothing_through_until_a_person_says_otherwise() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    always(&sandbox, "0");
    let service = sandbox.serve();
    register(&service);
    service.start("wd");
    let held = service.wait_status("wd", "held by the window", |status| {
        status["state"] == "paused"
    });
    assert_eq!(held["queue"]["limit"]["why"], "window", "{held:#}");
    assert_eq!(held["queue"]["limit"]["bytes_per_second"], 0);
    let queue = queue(&service);
    assert_eq!(
        (&queue["paused"], &queue["bandwidth_limit"]),
        (&json!(false), &json!(0))
    );
    let text = queue["limited_by"]["text"].as_str().unwrap();
    assert!(
        text.contains("stand still: Mon-Sun 00:00-24:00 -> 0"),
        "{text}"
    );
    let said = sandbox.run(&["queue"]).ok();
    assert!(
        said.contains("downloads stand still by the window `Mon-Sun 00:00-24:00 -> 0`"),
        "{said}"
    );
    assert_eq!(service.status("wd")["attempt"], 0, "nothing was tried");
    // A person's limit goes before the window.
    let live = sandbox.run(&["limit", "500MB/s"]).ok();
    assert!(
        live.contains("limited to 500.00 MB/s") && live.contains("limit off"),
        "{live}"
    );
    let done = service.wait_completed("wd");
    assert_eq!(done["queue"]["limit"]["why"], "live");
    assert!(sandbox.run(&["limit", "off"]).ok().contains("stand still"));
    for bad in ["fast", "none", "3"] {
        assert_eq!(sandbox.run(&["limit", bad]).code, Some(2), "{bad}");
    }
}

#[test]
fn a_job_that_runs_when_a_window_opens_stops_and_goes_on_afterwards() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    always(&sandbox, "0");
    let service = sandbox.serve();
    register(&service);
    // What a person has set hides the window; taking it away is the moment at which the window opens for the job.
    sandbox.run(&["limit", "1MB/s"]).ok();
    service.start("wd");
    let before = service.wait_bytes("wd", 1_000_000);
    sandbox.run(&["limit", "off"]).ok();
    let held = service.wait_status("wd", "stopped by the window", |status| {
        status["state"] == "paused"
    });
    assert_eq!(held["attempt"], before["attempt"]);
    let here = held["progress"]["bytes_downloaded"].as_u64().unwrap();
    assert!(here >= 900_000, "it keeps its bytes: {here}");
    sandbox.run(&["limit", "900MB/s"]).ok();
    let done = service.wait_completed("wd");
    assert_eq!(done["attempt"], 2, "it was claimed once more");
    let metrics = service.http().get("/metrics").text();
    let name = "modelhaul_received_bytes_total{source=\"hub\",transport=\"http\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    let received: u64 = line.unwrap().parse().unwrap();
    // What had come before the standstill is not fetched again, but for what was on its way.
    assert!(received < 6_500_000, "{received} bytes for 6 MB");
}

#[test]
fn a_window_s_rate_is_the_limit_of_a_job_from_its_first_byte() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    always(&sandbox, "2 MB/s");
    let service = sandbox.serve();
    register(&service);
    let began = std::time::Instant::now();
    service.start("wd");
    service.wait_completed("wd");
    // 6 MB at 2 MB/s, less what may be saved up.
    assert!(began.elapsed().as_secs_f64() > 2.0, "{:?}", began.elapsed());
    assert_eq!(queue(&service)["limit"]["bytes_per_second"], 2_000_000);
}

#[test]
fn people_choose_which_job_goes_first() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    register(&service);
    sandbox.run(&["pause", "--queue"]).ok();
    service.start("wd");
    service.start("jtp");
    let order = || -> Vec<String> {
        let queue = queue(&service);
        let jobs = queue["queue"].as_array().unwrap().iter();
        jobs.map(|job| job["model_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(order(), ["wd", "jtp"]);
    let id = service.status("jtp")["job_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/jobs/{id}");
    let place = |body: Value| service.http().request("PATCH", &path, &[], Some(&body));
    assert_eq!(place(json!({"position": "top"})).ok()["priority"], 1);
    assert_eq!(order(), ["jtp", "wd"]);
    sandbox.run(&["priority", "jtp", "--bottom"]).ok();
    wait_for(LONG, "the service sees it", || {
        holds(order() == ["wd", "jtp"])
    });
    // Above the highest priority there is none: the others step down.
    sandbox.run(&["priority", "wd", "--set", "100"]).ok();
    assert_eq!(place(json!({"position": "top"})).ok()["priority"], 100);
    wait_for(LONG, "it is on top", || holds(order() == ["jtp", "wd"]));
    assert_eq!(sandbox.db().value("SELECT min(priority) FROM jobs"), 99);
    sandbox.run(&["priority", "jtp", "--set", "-100"]).ok();
    sandbox.run(&["priority", "wd", "--bottom"]).ok();
    wait_for(LONG, "it is behind", || holds(order() == ["jtp", "wd"]));
    for bad in [
        json!({}),
        json!({"priority": 101}),
        json!({"priority": 1, "position": "top"}),
        json!({"position": "middle"}),
    ] {
        assert_eq!(place(bad.clone()).status, 422, "{bad}");
    }
    sandbox.run(&["resume", "--queue"]).ok();
    service.wait_completed("wd");
    service.wait_completed("jtp");
}
