//! What bodies and names may say, and what becomes of the rest.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{example, table};
use crate::faults::kit::{Case, Health, Invariants};
use crate::faults::scene::{MIB, admin_token, codes, connect, raw, register};
use crate::support::Sandbox;

#[test]
fn f098_f099_no_field_reaches_the_file_system() {
    let case = Case::open(
        "98",
        "paths of all kinds in a registration: a secret, a pipe, a device, a loop, nothing",
    );
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox).allow("trap");
    let pipe = sandbox.path("trap-pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink(sandbox.path("trap-loop"), sandbox.path("trap-loop")).unwrap();
    let mut texts = Vec::new();
    for path in [
        "/etc/passwd".to_owned(),
        "/no/such/file".to_owned(),
        "/dev/random".to_owned(),
        "/proc/self/mem".to_owned(),
        "../../../etc/passwd".to_owned(),
        pipe.display().to_string(),
        sandbox.path("trap-loop").display().to_string(),
    ] {
        for field in ["model_path", "files"] {
            let body = json!({"model_id": "m", "kind": "generic", "repo_id": "a/b", field: path});
            let since = Instant::now();
            let reply = service.register(&body);
            assert!(
                since.elapsed() < Duration::from_secs(2),
                "{path} took {:?}",
                since.elapsed()
            );
            assert_eq!(reply.status, 422, "{}", reply.text());
            let detail = reply.json()["detail"].as_str().unwrap().replace(&path, "…");
            texts.push((field, Value::from(detail)));
        }
        // A template is looked up by name among those that were read at the start.
        let body = json!({"model_id": "m", "kind": "generic", "repo_id": "a/b", "template": path});
        let reply = service.register(&body);
        assert_eq!(reply.status, 422, "{}", reply.text());
        let detail = reply.json()["detail"].as_str().unwrap().replace(&path, "…");
        texts.push(("template", detail.into()));
    }
    texts.sort_by_key(|(field, _)| *field);
    texts.dedup();
    assert_eq!(
        texts.len(),
        3,
        "the same words whether it exists or not: {texts:#?}"
    );
    watched.check(&sandbox, Some(&service));
    case.pass("422 in the same words for each, nothing was opened");

    let case = Case::open(
        "99",
        "where to write, and another model's entry, in a registration",
    );
    register(&service, "mine", "org/mine");
    let before = service.http().get("/api/v1/models/mine").json();
    for field in [
        "target",
        "cache_dir",
        "path",
        "out",
        "database",
        "overwrite",
        "local_dir",
        "locks",
        "refs",
    ] {
        let body = json!({"model_id": "m", "kind": "generic", "repo_id": "a/b", field: "/tmp/x"});
        let reply = service.register(&body);
        assert_eq!(reply.status, 422, "{}", reply.text());
        assert_eq!(reply.json()["errors"][0]["field"], field);
    }
    for repo in [
        "../x",
        ".locks",
        "a/../b",
        "/etc",
        "a//b",
        "a\\b",
        "refs/../../x",
        ".",
    ] {
        let reply = service.register(&json!({"model_id": "m", "kind": "generic", "repo_id": repo}));
        assert_eq!(reply.status, 422, "{repo}: {}", reply.text());
    }
    for revision in [
        "../../x",
        "refs/../../x",
        "a\nb",
        "-",
        ".lock",
        "x.lock",
        "@{0}",
    ] {
        let body =
            json!({"model_id": "m2", "kind": "generic", "repo_id": "a/b", "revision": revision});
        let reply = service.register(&body);
        let harmless = revision == "-";
        assert_eq!(
            reply.status == 422,
            !harmless,
            "{revision}: {}",
            reply.text()
        );
    }
    let other =
        service.register(&json!({"model_id": "mine", "kind": "generic", "repo_id": "evil/other"}));
    assert_eq!(other.status, 409, "{}", other.text());
    assert_eq!(service.http().get("/api/v1/models/mine").json(), before);
    let put = json!({"kind": "generic", "repo_id": "evil/other"});
    let refused = service
        .http()
        .request("PUT", "/api/v1/models/mine", &[], Some(&put));
    assert_eq!(
        refused.status,
        401,
        "only an administrator replaces: {}",
        refused.text()
    );
    watched.check(&sandbox, Some(&service));
    case.pass("422 names the field, 409 keeps the entry, PUT needs the token");
}

/// The routes that read a body, with the token that they need.
fn body_routes(sandbox: &Sandbox) -> Vec<(String, &'static str, Option<String>)> {
    table()
        .into_iter()
        .filter(|(method, ..)| ["POST", "PUT", "PATCH"].contains(method))
        .map(|(method, policy, path)| {
            let token = (policy == "Admin").then(|| admin_token(sandbox));
            (example(path), method, token)
        })
        .collect()
}

fn head(method: &str, path: &str, token: Option<&str>, more: &str) -> String {
    let token = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n{token}{more}\r\n\r\n"
    )
}

#[test]
fn f100_bad_bodies_are_refused_by_every_route() {
    let case = Case::open(
        "100",
        "empty, huge, endless, cut, deep, malformed bodies to every route that reads one",
    );
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    register(&service, "nobody", "no/body");
    let before = service.rss();
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let bodies: [&[u8]; 11] = [
        b"{",
        b"[]",
        b"\xff\xfe\xfd",
        b"\xef\xbb\xbf{}",
        br#"{"paused": NaN}"#,
        br#"{"total_size_estimate": 1e400}"#,
        br#"{"model_id": "a", "model_id": "b"}"#,
        br#"{"no_such_field": 1}"#,
        b"{} {}",
        &deep,
        b"null",
    ];
    let mut asked = 0;
    for (path, method, token) in body_routes(&sandbox) {
        for body in bodies {
            let length = format!("Content-Length: {}", body.len());
            let request = [
                head(method, &path, token.as_deref(), &length).as_bytes(),
                body,
            ]
            .concat();
            let answer = raw(service.http(), &request);
            let code = codes(&answer).first().copied().unwrap_or(0);
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert!(
                [400, 404, 422].contains(&code),
                "{method} {path} {shown}: {answer}"
            );
            assert!(answer.contains("application/problem+json"), "{answer}");
            asked += 1;
        }
        let huge = head(
            method,
            &path,
            token.as_deref(),
            &format!("Content-Length: {}", 2 * MIB + 1),
        );
        let answer = raw(service.http(), huge.as_bytes());
        assert!(
            [413, 404].contains(&codes(&answer)[0]),
            "{method} {path}: {answer}"
        );
        asked += 1;
    }
    assert_eq!(service.http().get("/api/v1/queue").ok()["paused"], false);

    // Endless chunks are cut at the cap, also when they come quickly.
    let mut stream = connect(service.http());
    let start = head("POST", "/api/v1/models", None, "Transfer-Encoding: chunked");
    stream.write_all(start.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut sent = 0;
    while sent < 64 * MIB && stream.write_all(chunk.as_bytes()).is_ok() {
        sent += chunk.len() as u64;
    }
    assert!(sent < 64 * MIB, "somebody reads it all");
    for (name, tail) in [
        ("a chunk of 2^64", "FFFFFFFFFFFFFFFFF\r\n"),
        ("a bad chunk", "zz\r\n{}\r\n0\r\n\r\n"),
        ("a negative length", ""),
    ] {
        let more = if tail.is_empty() {
            "Content-Length: -5"
        } else {
            "Transfer-Encoding: chunked"
        };
        let request = head("POST", "/api/v1/models", None, more) + tail;
        let answer = raw(service.http(), request.as_bytes());
        assert!(
            codes(&answer).iter().all(|code| *code == 400),
            "{name}: {answer}"
        );
    }
    let grown = service.rss().saturating_sub(before);
    assert!(grown < 40 * MIB, "memory grew by {grown} bytes");
    watched.check(&sandbox, Some(&service));
    case.pass(format_args!(
        "{asked} bodies, all refused as problems; memory grew by {grown} bytes"
    ));
}

#[test]
fn f100_a_body_that_never_comes_is_given_up() {
    let case = Case::open(
        "100b",
        "a length without a body, and a body of one byte per second",
    );
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let health = Health::watch(&service);
    let since = Instant::now();
    let answer = raw(
        service.http(),
        head("POST", "/api/v1/models", None, "Content-Length: 100").as_bytes(),
    );
    let took = since.elapsed();
    assert_eq!(codes(&answer), [408], "{answer}");
    assert!(
        answer.contains("request_timeout") && answer.contains("application/problem+json"),
        "{answer}"
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
    health.check();
    case.pass(format_args!("408 after {took:.1?}"));
}

#[test]
fn f101_a_name_has_one_meaning() {
    let case = Case::open(
        "101",
        "ids in many spellings, and ids that look like routes",
    );
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    let ids = [
        "org/name",
        "queue",
        "clear",
        "start",
        "models",
        "clear/start",
        "a--b",
        "x.git",
        "v1",
        "status",
    ];
    for id in ids {
        register(&service, id, "org/repo");
    }
    let status = |path: &str| {
        let reply = service
            .http()
            .get(&format!("/api/model-download-status/{path}"));
        (reply.status, reply.json()["model_id"].clone())
    };
    for id in ids {
        let escaped = id.replace('/', "%2F");
        assert_eq!(status(&escaped), (200, id.into()), "{id}");
        assert_eq!(
            status(&escaped.replace("%2F", "%2f")),
            (200, id.into()),
            "{id}"
        );
        assert_eq!(status(id), (200, id.into()), "{id}");
    }
    assert_eq!(status("org%2Fn%61me"), (200, "org/name".into()));
    let long = "a".repeat(161);
    for (path, code) in [
        ("..", 400),
        ("%2e%2e", 400),
        ("%252e%252e", 400),
        ("org%2F%2E%2E", 400),
        ("org%252Fname", 400),
        ("org%2F%2Fname", 400),
        ("a%00b", 400),
        ("a%0d%0ab", 400),
        ("%E2%82%AC", 400),
        ("a%5Cb", 400),
        ("%ff", 400),
        (&long, 400),
        ("org/name/", 404),
        ("/org/name", 404),
        ("org//name", 404),
        ("a/b/c", 404),
        ("", 404),
        ("ORG/NAME", 404),
    ] {
        let reply = service
            .http()
            .get(&format!("/api/model-download-status/{path}"));
        assert_eq!(reply.status, code, "{path}: {}", reply.text());
        assert!(
            reply.text().len() < 1500,
            "an answer does not grow with the request"
        );
    }
    // Whatever an id is called, its actions are its own.
    for id in ["clear/start", "queue", "start"] {
        let path = format!("/api/v1/models/{}/pause", id.replace('/', "%2F"));
        assert_eq!(service.http().post(&path, None).ok()["model_id"], id);
    }
    watched.check(&sandbox, Some(&service));
    case.pass(
        "two spellings of a slash mean the same; everything else is a 400 or 404 with the rule",
    );
}
