//! Who is turned away before anything happens, and that each refusal is a problem that can be read.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use super::{problem, wd};
use crate::support::{Sandbox, Service};

/// Sends raw bytes and reads the whole answer.
fn raw(service: &Service, head: &str, body: &[u8]) -> String {
    let address = service.http().url();
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(30)))
        .unwrap();
    stream
        .write_all(head.replace('\n', "\r\n").as_bytes())
        .unwrap();
    // The other side may have said no and closed before all of it was sent.
    drop(stream.write_all(body));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn bodies_are_bounded_and_must_be_json() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let big = json!({"model_id": "x".repeat(2 << 20)});
    let length = big.to_string().len();
    let head = format!(
        "POST /api/v1/models HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: {length}\n\n"
    );
    let answer = raw(&service, &head, big.to_string().as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("body_too_large"));

    let answer = raw(
        &service,
        "POST /api/v1/models HTTP/1.1\nHost: localhost\nContent-Type: text/plain\nContent-Length: 2\nConnection: close\n\n",
        b"{}",
    );
    assert!(
        answer.starts_with("HTTP/1.1 415") && answer.contains("unsupported_media_type"),
        "{answer}"
    );
    let answer = raw(
        &service,
        "POST /api/v1/models HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 2\nConnection: close\n\n",
        b"{,",
    );
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("invalid_json"),
        "{answer}"
    );
    problem(
        &service.http().post("/api/v1/models", None),
        400,
        "invalid_json",
    );
    assert_eq!(
        service.http().get("/api/v1/models").ok()["items"],
        json!([])
    );
}

#[test]
fn foreign_hosts_and_other_sites_change_and_learn_nothing() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let http = service.http();
    service.register(&wd()).ok();
    let foreign = [("Host", "evil.example")];
    problem(
        &http.request("GET", "/api/v1/models", &foreign, None),
        421,
        "host_not_allowed",
    );
    problem(
        &http.request("GET", "/healthz", &foreign, None),
        421,
        "host_not_allowed",
    );
    let answer = raw(
        &service,
        "GET /healthz HTTP/1.1\nConnection: close\n\n",
        b"",
    );
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    for header in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ] {
        let refused = http.request("POST", "/api/model-download/wd/start", &[header], None);
        problem(&refused, 403, "cross_site");
        let read = http.request("GET", "/api/v1/models", &[header], None);
        assert_eq!(read.header("access-control-allow-origin"), None);
    }
    assert_eq!(service.status("wd")["state"], "not_started");
    let own = [("Origin", &*http.url()), ("Sec-Fetch-Site", "same-origin")];
    let started = http.request("POST", "/api/model-download/wd/start", &own, None);
    assert_eq!(started.status, 202, "{}", started.text());
}

#[test]
fn wrong_addresses_methods_and_tokens_are_problems_too() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let http = service.http();
    problem(&http.get("/nothing"), 404, "not_found");
    problem(&http.get("/api/v1/models/a/b/c/d"), 404, "not_found");
    let wrong = http.request("DELETE", "/api/v1/queue", &[], None);
    problem(&wrong, 405, "method_not_allowed");
    assert!(
        wrong
            .header("allow")
            .is_some_and(|allow| allow.contains("GET"))
    );
    problem(&http.get("/api/v1/models?token=abc"), 400, "token_in_query");
    let refused = http.request(
        "PATCH",
        "/api/v1/queue",
        &[],
        Some(&json!({"paused": true})),
    );
    problem(&refused, 401, "admin_token_required");
    assert!(refused.header("www-authenticate").is_some());
    for reply in [http.get("/healthz"), http.get("/nothing")] {
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert!(reply.header("content-security-policy").is_some());
    }
}
