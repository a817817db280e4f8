//! `/metrics` after real work, and that the examples ask for nothing that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{problem, wd};
use crate::support::{SHORT, Sandbox, holds, wait_for};
use crate::world::{hub, sandbox};

/// The names that are kept.
const PROMISED: &[&str] = &[
    "modelhaul_build_info",
    "modelhaul_downloads",
    "modelhaul_downloads_finished_total",
    "modelhaul_download_duration_seconds",
    "modelhaul_queue_oldest_age_seconds",
    "modelhaul_received_bytes_total",
    "modelhaul_reused_bytes_total",
    "modelhaul_upstream_requests_total",
    "modelhaul_upstream_request_duration_seconds",
    "modelhaul_retries_total",
    "modelhaul_verify_failures_total",
    "modelhaul_rate_limit_bytes_per_second",
    "modelhaul_lease_held",
    "modelhaul_lease_acquisitions_total",
    "modelhaul_cache_bytes",
    "modelhaul_disk_free_bytes",
    "modelhaul_sse_clients",
    "http_server_request_duration_seconds",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
    "process_cpu_seconds_total",
];

/// The value of a series, written as in the text.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{series} ")));
    line.unwrap_or_else(|| panic!("{series} is missing\n{text}"))
        .parse()
        .unwrap()
}

/// The names in a text that look like our metrics, without what an encoder or a query appends.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    words
        .filter(|word| {
            ["modelhaul_", "process_", "http_server_"]
                .iter()
                .any(|prefix| word.starts_with(prefix))
        })
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn a_download_is_counted_and_the_examples_find_what_they_ask_for() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    service.register(&wd());
    service.start("wd");
    let status = service.wait_completed("wd");
    let reply = service.http().get("/metrics");
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = reply.text();
    let received = value(
        &text,
        "modelhaul_received_bytes_total{source=\"hub\",transport=\"http\"}",
    );
    let total = status["progress"]["bytes_total"].as_f64().unwrap();
    assert!(received >= total, "{received} of {total}");
    let finished = "modelhaul_downloads_finished_total{outcome=\"completed\",source=\"hub\"}";
    assert!((value(&text, finished) - 1.0).abs() < 0.1);
    let there = "modelhaul_downloads{state=\"completed\"}";
    assert!((value(&text, there) - 1.0).abs() < 0.1);
    assert!((value(&text, "modelhaul_lease_held") - 1.0).abs() < 0.1);
    assert!(value(&text, "modelhaul_disk_free_bytes") > 0.0);
    assert!(value(&text, "modelhaul_cache_bytes") >= total);
    let route = "http_server_request_duration_seconds_count{method=\"POST\",route=\"/api/model-download/{model_id}/start\",status=\"202\"}";
    assert!((value(&text, route) - 1.0).abs() < 0.1);
    assert!(!text.contains("/wd"), "no series has a model in its name");

    // Who listens is counted while he does.
    let listeners = || {
        value(
            &service.http().get("/metrics").text(),
            "modelhaul_sse_clients",
        )
    };
    assert!(listeners().abs() < 0.1);
    let mut streams = [(); 3].map(|()| service.http().stream("/api/v1/events", &[]));
    for stream in &mut streams {
        assert!(stream.next_event().is_some());
    }
    assert!((listeners() - 3.0).abs() < 0.1);
    drop(streams);
    wait_for(SHORT, "nobody listens", || holds(listeners().abs() < 0.1));

    // Families without a series yet are known by their type.
    let types: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .flat_map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let end = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            [format!("{name}{end}")]
        })
        .collect();
    for example in [
        "examples/grafana/modelhaul.json",
        "examples/prometheus/alerts.yml",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(example);
        let asked = names(&fs::read_to_string(path).unwrap());
        assert!(asked.len() > 4, "{example}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&types).collect();
        assert!(
            unknown.is_empty(),
            "{example} asks for {unknown:?}\n{types:#?}"
        );
    }
    // Dashboards and rules of others rest on these.
    for name in PROMISED {
        assert!(types.contains(*name), "{name} is missing\n{types:#?}");
    }
    let dashboard = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/grafana/modelhaul.json");
    let dashboard: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dashboard).unwrap()).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 8);
}

#[test]
fn the_configuration_is_shown_with_its_origin_and_without_its_secrets() {
    let sandbox = Sandbox::new()
        .env("HF_TOKEN", "hf_canary")
        .env("HTTPS_PROXY", "http://me:canary@127.0.0.1:9");
    let service = sandbox.serve_with(&["--max-connections", "7"]);
    let reply = service.http().get("/api/v1/config");
    let config = reply.ok();
    let setting = |name: &str| {
        let all = config["settings"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!(setting("max_connections")["value"], "7");
    assert!(
        setting("max_connections")["origin"]
            .as_str()
            .unwrap()
            .contains("max-connections")
    );
    assert_eq!(setting("token")["value"], "***");
    assert!(!reply.text().contains("canary"), "{}", reply.text());
    assert_eq!(config["offline"], false);
    sandbox
        .run(&["token", "create", "--name", "a", "--role", "viewer"])
        .ok();
    let refused = wait_for(SHORT, "reading needs a token", || {
        Some(service.http().get("/metrics")).filter(|reply| reply.status == 401)
    });
    problem(&refused, 401, "token_required");
}
