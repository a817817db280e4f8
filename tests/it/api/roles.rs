//! Tokens that the command line makes while a service runs, as that service sees them.

use std::time::Duration;

use serde_json::{Value, json};

use super::problem;
use crate::support::{Reply, Sandbox, Service, holds, wait_for};

const READ: &str = "/api/v1/queue";

/// What a person gets printed.
#[track_caller]
fn create(sandbox: &Sandbox, name: &str, role: &str, more: &[&str]) -> String {
    let arguments = [&["token", "create", "--name", name, "--role", role], more].concat();
    let ran = sandbox.run(&arguments);
    assert!(ran.stderr.contains("only time"), "{ran:?}");
    ran.ok().trim().to_owned()
}

fn ask(service: &Service, method: &str, path: &str, token: &str) -> Reply {
    let header = format!("Bearer {token}");
    let headers = [("Authorization", header.as_str())];
    service.http().request(method, path, &headers, None)
}

/// A change by another process counts within a second.
#[track_caller]
fn within_a_second(what: &str, condition: impl Fn() -> bool) {
    wait_for(Duration::from_secs(1), what, || holds(condition()));
}

#[test]
fn tokens_are_made_used_listed_and_revoked_while_the_service_runs() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    assert_eq!(service.http().get(READ).status, 200);
    let viewer = create(&sandbox, "eve", "viewer", &[]);
    within_a_second("reading needs a token", || {
        service.http().get(READ).status == 401
    });
    problem(&service.http().get(READ), 401, "token_required");
    ask(&service, "GET", READ, &viewer).ok();
    let start = "/api/model-download/wd/start";
    problem(&ask(&service, "POST", start, &viewer), 403, "role_too_low");
    let operator = create(&sandbox, "olga", "operator", &["--expires", "30d"]);
    let clear = "/api/model-download/wd/clear";
    within_a_second("the operator is known", || {
        ask(&service, "GET", READ, &operator).status == 200
    });
    problem(
        &ask(&service, "POST", start, &operator),
        404,
        "unknown_model",
    );
    problem(
        &ask(&service, "POST", clear, &operator),
        403,
        "role_too_low",
    );
    let admin = create(&sandbox, "ann", "admin", &[]);
    within_a_second("the admin is known", || {
        ask(&service, "GET", READ, &admin).status == 200
    });
    problem(&ask(&service, "POST", clear, &admin), 404, "unknown_model");

    let listed = sandbox.run(&["token", "ls", "--format", "json"]).ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[1]["name"], "eve");
    assert_eq!(
        (&listed[2]["role"], &listed[2]["expired"]),
        (&json!("operator"), &json!(false))
    );
    assert!(
        sandbox
            .run(&["token", "ls"])
            .ok()
            .contains("olga  operator")
    );
    let twice = sandbox.run(&["token", "create", "--name", "eve", "--role", "admin"]);
    assert!(
        twice.code != Some(0) && twice.stderr.contains("exists"),
        "{twice:?}"
    );
    for bad in [
        ["--name", "a b", "--role", "viewer"],
        ["--name", "a", "--role", "root"],
    ] {
        let arguments = [&["token", "create"], &bad[..]].concat();
        assert_eq!(sandbox.run(&arguments).code, Some(2));
    }

    sandbox.run(&["token", "revoke", "eve"]).ok();
    within_a_second("the viewer is refused", || {
        ask(&service, "GET", READ, &viewer).status == 401
    });
    assert_eq!(sandbox.run(&["token", "revoke", "eve"]).code, Some(3));
    // By hand in the shell counts too.
    sandbox.db().execute("DELETE FROM tokens");
    within_a_second("the door is as before", || {
        service.http().get(READ).status == 200
    });

    let logs = service.logs();
    let db =
        String::from_utf8_lossy(&std::fs::read(sandbox.path("modelhaul.db")).unwrap()).into_owned();
    for secret in [&viewer, &operator, &admin] {
        assert!(!logs.contains(&secret[3..]) && !db.contains(&secret[3..]));
    }
}

#[test]
fn a_session_is_as_good_as_its_token_and_no_better() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let token = create(&sandbox, "eve", "viewer", &[]);
    let sign_in = || {
        let body = json!({"token": token});
        let reply = service.http().post("/api/v1/session", Some(&body));
        reply
            .header("set-cookie")
            .map(|whole| whole.split(';').next().unwrap().to_owned())
    };
    let cookie = wait_for(Duration::from_secs(1), "the token is known", sign_in);
    let read = |service: &Service| {
        let headers = [("Cookie", cookie.as_str())];
        service.http().request("GET", READ, &headers, None).status
    };
    assert_eq!(read(&service), 200);
    sandbox.run(&["token", "revoke", "eve"]).ok();
    let spare = create(&sandbox, "spare", "viewer", &[]);
    within_a_second("the session died with its token", || read(&service) == 401);
    let body = json!({"token": spare});
    let again = wait_for(Duration::from_secs(1), "the other one is known", || {
        let reply = service.http().post("/api/v1/session", Some(&body));
        reply.header("set-cookie").map(str::to_owned)
    });
    service.stop();
    let service = sandbox.serve();
    let cookie = again.split(';').next().unwrap();
    let reply = service
        .http()
        .request("GET", READ, &[("Cookie", cookie)], None);
    problem(&reply, 401, "token_required");
    assert!(!service.logs().contains(cookie));
}

#[test]
fn an_open_stream_ends_with_what_opened_it() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    // Nobody needed a token when this one began.
    let mut local = service.http().stream("/api/v1/events", &[]);
    assert!(local.next_event().is_some());
    let spare = create(&sandbox, "spare", "viewer", &[]);
    let viewer = create(&sandbox, "eve", "viewer", &[]);
    while local.next_event().is_some() {}
    within_a_second("the viewer is known", || {
        ask(&service, "GET", READ, &viewer).status == 200
    });
    let listen = |token: &str| {
        let header = format!("Bearer {token}");
        let headers = [("Authorization", header.as_str())];
        let mut stream = service.http().stream("/api/v1/events", &headers);
        assert!(stream.next_event().is_some());
        stream
    };
    let (mut revoked, mut kept) = (listen(&viewer), listen(&spare));
    sandbox.run(&["token", "revoke", "eve"]).ok();
    while revoked.next_event().is_some() {}
    problem(&ask(&service, "GET", READ, &viewer), 401, "token_wrong");
    ask(&service, "GET", READ, &spare).ok();
    service.signal(rustix::process::Signal::TERM);
    let mut last = Vec::new();
    while let Some(event) = kept.next_event() {
        last = event;
    }
    assert!(
        last.iter()
            .any(|(name, value)| name == "event" && value == "bye"),
        "{last:?}"
    );
}
