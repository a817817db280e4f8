//! The whole of the doors: the table, the refusals, the documents.

use std::collections::BTreeMap;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::SystemClock;
use crate::domain::FailureCode;
use crate::manager::ManagerOptions;
use crate::redact::Token;

use super::extract::BODY_LIMIT;
use super::guard::Policy;
use super::practice::{self, Practice, request, send, send_body};
use super::table::ROUTES;
use super::*;

const TOKEN: &str = "correct horse battery";

fn guard(public: bool) -> Guard {
    Guard::new(
        AllowedHosts::new("127.0.0.1".parse().unwrap(), &[]).unwrap(),
        Some(&Token::parse(TOKEN).unwrap()),
        public,
        CancellationToken::new(),
    )
}

fn practice() -> Practice {
    practice::doors(guard(false))
}

/// The real doors over a manager that has an empty database.
async fn real(folder: &tempfile::TempDir, public: bool) -> Doors {
    let cache = folder.path().join("hub");
    std::fs::create_dir_all(&cache).unwrap();
    let options = ManagerOptions::new(
        folder.path().join("test.db"),
        cache,
        Url::parse("http://127.0.0.1:9/").unwrap(),
    );
    let manager = UnifiedModelDownloadManager::open(options, Arc::new(SystemClock::new()))
        .await
        .unwrap();
    doors(manager, guard(public), Vec::new())
}

pub(super) fn example(path: &str) -> String {
    path.replace("{model_id}", "m")
        .replace("{org}", "o")
        .replace("{name}", "n")
        .replace("{repo}", "r")
        .replace("{revision}", "main")
        .replace("{hash}", "0")
        .replace("{file}", "index.css")
        .replace("{*path}", "app.js")
        .replace("{job_id}", "019aaaaa-0000-7000-8000-000000000000")
}

#[test]
fn the_table_gives_writes_no_reading_policy_and_both_forms_of_an_id_the_same_one() {
    let mut policies = BTreeMap::new();
    for route in ROUTES {
        let reads = route.method == "GET";
        assert_eq!(
            reads,
            matches!(route.policy, Policy::Read | Policy::Open | Policy::Named),
            "{} {}",
            route.method,
            route.path
        );
        let twice = policies.insert((route.method, route.path), route.policy);
        assert!(
            twice.is_none(),
            "{} {} stands twice",
            route.method,
            route.path
        );
    }
    for ((method, path), policy) in &policies {
        if path.contains("{model_id}") {
            let raw = path.replace("{model_id}", "{org}/{name}");
            assert_eq!(
                policies.get(&(*method, raw.as_str())),
                Some(policy),
                "{method} {path}"
            );
        }
    }
    let admin: Vec<_> = ROUTES
        .iter()
        .filter(|route| route.policy == Policy::Admin && !route.path.contains("{org}"))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(
        admin,
        [
            "POST /api/model-download/{model_id}/clear",
            "PUT /api/v1/models/{model_id}",
            "DELETE /api/v1/models/{model_id}",
            "PATCH /api/v1/queue",
            "POST /api/v1/cache/verify",
            "DELETE /api/v1/cache/{repo}/{revision}",
        ]
    );
}

#[tokio::test]
async fn every_route_obeys_its_policy() {
    let folder = tempfile::tempdir().unwrap();
    for public in [false, true] {
        for route in ROUTES {
            let doors = real(&folder, public).await;
            let uri = example(route.path);
            // An unknown query and a bad body end a request before the manager, but after the token check.
            let needed = match route.policy {
                Policy::Open | Policy::Named | Policy::SignIn => false,
                Policy::Read | Policy::Write => public,
                Policy::Admin => true,
            };
            let what = format!("{} {uri} public={public}", route.method);
            if needed {
                let (missing, bad) = match route.policy {
                    Policy::Admin => ("admin_token_required", "admin_token_wrong"),
                    _ => ("token_required", "token_wrong"),
                };
                let reply = send(&doors, request(route.method, &uri)).await;
                assert_eq!(
                    (reply.status, reply.code().as_str()),
                    (401, missing),
                    "{what}"
                );
                for wrong in ["wrong", &TOKEN[..TOKEN.len() - 1]] {
                    let builder = request(route.method, &uri)
                        .header("authorization", format!("Bearer {wrong}"));
                    assert_eq!(send(&doors, builder).await.code(), bad, "{what}");
                }
            } else {
                let reply = send(&doors, request(route.method, &uri)).await;
                assert!(![401, 403].contains(&reply.status), "{what}: {reply:?}");
            }
            let builder =
                request(route.method, &uri).header("authorization", format!("Bearer {TOKEN}"));
            let reply = send(&doors, builder).await;
            assert!(
                ![401, 403, 405].contains(&reply.status),
                "{what}: {reply:?}"
            );
        }
    }
}

#[tokio::test]
async fn no_other_spelling_of_a_route_exists() {
    let folder = tempfile::tempdir().unwrap();
    let doors = real(&folder, false).await;
    let fixed = |path: &str| !path.contains('{') && path != "/";
    for route in ROUTES.iter().filter(|route| fixed(route.path)) {
        let path = route.path;
        let mut escaped = path.to_owned();
        escaped.replace_range(1..2, &format!("%{:02x}", path.as_bytes()[1]));
        for other in [
            format!("{path}/"),
            format!("/{path}"),
            path.to_uppercase(),
            format!("/.{path}"),
            escaped,
        ] {
            let reply = send(&doors, request(route.method, &other)).await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (404, "not_found"),
                "{other}"
            );
        }
    }
    for route in ROUTES {
        let uri = example(route.path);
        for method in ["OPTIONS", "TRACE", "BREW"] {
            let reply = send(&doors, request(method, &uri)).await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (405, "method_not_allowed"),
                "{method} {uri}"
            );
            assert!(reply.header("allow").contains(route.method), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn an_id_with_a_slash_has_two_spellings_and_no_third() {
    let doors = practice().doors;
    for (path, id) in [
        ("wd", "wd"),
        ("org/name", "org/name"),
        ("org%2Fname", "org/name"),
        ("org%2fname", "org/name"),
        ("queue", "queue"),
        ("clear/start", "clear/start"),
        ("%77d", "wd"),
    ] {
        let reply = send(&doors, request("GET", &format!("/model/{path}"))).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, id), "{path}");
    }
    let long = "a".repeat(161);
    for path in [
        "%2e%2e",
        "..",
        "%252e",
        "org%2F..%2Fetc",
        "a/..",
        "a%2Fb/c",
        "a%00",
        "%E2%82%AC",
        "a%20b",
        "a%5Cb",
        "%2F",
        &long,
    ] {
        let reply = send(&doors, request("GET", &format!("/model/{path}"))).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "invalid_model_id"),
            "{path}"
        );
        assert!(
            reply.text.len() < 1500,
            "an answer does not grow with the request"
        );
    }
    for path in ["%ff", "a%C3", "a/%ff"] {
        let reply = send(&doors, request("GET", &format!("/model/{path}"))).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "invalid_path"),
            "{path}"
        );
    }
    for path in ["/model/", "/model//", "/model/a/b/c", "/model/a/"] {
        assert_eq!(
            send(&doors, request("GET", path)).await.code(),
            "not_found",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_bad_body_is_refused_with_the_field_and_the_rule() {
    let doors = practice().doors;
    let post = async |body: Vec<u8>| {
        let builder = request("POST", "/register").header("content-type", "application/json");
        send_body(&doors, builder, body).await
    };
    let good = br#"{"model_id":"wd","kind":"caption","repo_id":"a/b"}"#;
    assert_eq!(post(good.to_vec()).await.text, "wd");
    let deep = [
        br#"{"colour":"#.to_vec(),
        b"[".repeat(100_000),
        b"]".repeat(100_000),
        b"}".to_vec(),
    ]
    .concat();
    let broken: [&[u8]; 9] = [
        b"",
        b"{",
        b"nope",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        br#"{"total_size_estimate": NaN}"#,
        b"{} {}",
        &deep,
        br#"{"total_size_estimate": 1e400}"#,
    ];
    for body in broken {
        let reply = post(body.to_vec()).await;
        assert_eq!(
            reply.status,
            400,
            "{:?}: {reply:?}",
            &body[..body.len().min(40)]
        );
        assert_eq!(reply.code(), "invalid_json");
    }
    for (body, field) in [
        (r#"{"model_id": 5}"#, "model_id"),
        (r#"{"allow_patterns": ["a", 5]}"#, "allow_patterns[1]"),
        (r#"{"total_size_estimate": -1}"#, "total_size_estimate"),
        (r#"{"total_size_estimate": 1.5}"#, "total_size_estimate"),
        (
            r#"{"model_id":"wd","kind":"caption","repo_id":"a/b","colour":1}"#,
            "colour",
        ),
    ] {
        let reply = post(body.into()).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (422, "invalid_body"),
            "{body}"
        );
        assert_eq!(reply.json()["errors"][0]["field"], field, "{body}");
    }
    for body in ["[]", "5", "null", r#"{"model_id":"a","model_id":"b"}"#] {
        let reply = post(body.into()).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (422, "invalid_body"),
            "{body}"
        );
    }
    assert!(
        post(b"[]".to_vec())
            .await
            .text
            .contains("expected a JSON object")
    );
    let builder = request("POST", "/model/a").header("content-type", "application/json");
    let reply = send_body(&doors, builder, r#"{"force":true}"#).await;
    assert_eq!((reply.status, reply.code().as_str()), (422, "invalid_body"));
    assert!(reply.text.contains("force"));
}

#[tokio::test]
async fn a_body_has_a_largest_size() {
    let doors = practice().doors;
    let builder = || request("POST", "/register").header("content-type", "application/json");
    let reply = send_body(&doors, builder(), vec![b' '; BODY_LIMIT + 1]).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (413, "body_too_large")
    );
    assert_eq!(
        send_body(&doors, builder(), vec![b' '; BODY_LIMIT])
            .await
            .status,
        400,
        "a blank is no JSON"
    );
    // An endless body without a length is left at the limit.
    let endless =
        stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 8192])));
    let reply = send_body(&doors, builder(), Body::from_stream(endless)).await;
    assert_eq!((reply.status, reply.header("connection")), (413, "close"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let doors = practice().doors;
    let builder = request("POST", "/register").header("content-type", "application/json");
    let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let reply = send_body(&doors, builder, body).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (408, "request_timeout")
    );
    let builder = request("POST", "/register").header("content-type", "application/json");
    let broken = stream::iter([
        Ok(Bytes::from_static(b"{")),
        Err(std::io::Error::other("cut")),
    ]);
    let reply = send_body(&doors, builder, Body::from_stream(broken)).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "bad_request"));
}

#[tokio::test]
async fn every_way_to_fail_is_a_problem_with_an_id_and_safe_headers() {
    let doors = practice().doors;
    let mut ids = std::collections::BTreeSet::new();
    for (uri, status, code) in [
        ("/nowhere", 404, "not_found"),
        ("/panic", 500, "internal"),
        ("/late", 504, "answer_timeout"),
        ("/library", 400, "bad_request"),
    ] {
        let reply = send(&doors, request("GET", uri).header("x-request-id", "forged")).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{uri}"
        );
        assert!(!reply.text.contains("hf_secret") && !reply.text.contains("own words"));
        assert!(ids.insert(reply.header("x-request-id").to_owned()));
        assert_eq!(reply.json()["instance"], uri);
    }
    assert!(!ids.contains("forged"));
    for uri in ["/quick", "/nowhere", "/panic"] {
        let reply = send(&doors, request("GET", uri)).await;
        assert!(
            reply
                .header("content-security-policy")
                .starts_with("default-src 'none'")
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("server"), "");
    }
}

#[tokio::test]
async fn the_log_names_the_template_and_nothing_that_came_from_outside() {
    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With only one subscriber alive, a thread without it would switch a line off for all threads; so there are two.
    let _second = tracing::Dispatch::new(
        tracing_subscriber::fmt()
            .with_writer(std::io::sink)
            .finish(),
    );
    let _logging = tracing::subscriber::set_default(subscriber);
    let doors = practice().doors;
    for (method, uri) in [
        ("GET", "/model/canary?x=canary"),
        ("POST", "/model/canary/canary"),
        ("POST", "/admin?access_token=canary"),
        ("GET", "/canary"),
    ] {
        let builder = request(method, uri)
            .header("authorization", "Bearer canary")
            .header("x-request-id", "canary");
        send(&doors, builder).await;
    }
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("canary"), "{text}");
    for part in [
        "route=\"/model/{org}/{name}\"",
        "route=\"(none)\"",
        "status=404",
        "code=\"token_in_query\"",
        "request_id=",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn queries_are_checked_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let doors = real(&folder, false).await;
    for uri in [
        "/api/v1/models?limit=0",
        "/api/v1/models?limit=201",
        "/api/v1/models?limit=x",
        "/api/v1/models?colour=1",
        "/api/v1/models?after=a/b/c",
        "/api/v1/jobs?state=waiting",
        "/api/v1/jobs?after=5",
        "/api/v1/jobs?limit=501",
        "/api/v1/models/m/wait?timeout=301",
        "/api/v1/models/m/wait?timeout=-1",
        "/api/v1/models/m/wait?timout=1",
    ] {
        let reply = send(&doors, request("GET", uri)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "invalid_query"),
            "{uri}: {reply:?}"
        );
    }
    let reply = send(&doors, request("GET", "/api/v1/jobs/5")).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_path"));
}

#[tokio::test]
async fn a_limit_that_cannot_be_kept_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let doors = real(&folder, false).await;
    for (limit, status) in [
        ("0", 422),
        ("9223372036854775808", 422),
        ("9223372036854775807", 200),
        ("null", 200),
    ] {
        let builder = request("PATCH", "/api/v1/queue")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/json");
        let body = format!("{{\"bandwidth_limit\": {limit}}}");
        let reply = send_body(&doors, builder, body).await;
        assert_eq!(reply.status, status, "{limit}: {reply:?}");
        if status == 422 {
            assert_eq!(reply.json()["errors"][0]["field"], "bandwidth_limit");
        }
    }
}

#[tokio::test]
async fn health_needs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let doors = real(&folder, true).await;
    let reply = send(&doors, request("GET", "/healthz")).await;
    assert_eq!(
        (reply.status, reply.json()["status"].as_str()),
        (200, Some("ok"))
    );
    assert_eq!(reply.header("content-type"), "application/json");
}

#[test]
fn the_document_names_every_route_and_every_code() {
    let document = include_str!("../../docs/API.md");
    for route in ROUTES.iter().filter(|route| !route.path.contains("{org}")) {
        let line = format!("`{} {}`", route.method, route.path);
        assert!(document.contains(&line), "docs/API.md lacks {line}");
    }
    let own = Code::ALL.iter().map(|code| code.word());
    for code in own.chain(FailureCode::ALL.iter().map(|code| code.as_str())) {
        assert!(
            document.contains(&format!("| `{code}` |")),
            "docs/API.md lacks the code {code}"
        );
    }
}

/// A route that stands elsewhere would have no policy.
#[test]
fn routes_are_written_down_in_the_table_alone() {
    fn sources(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let api = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut files = Vec::new();
    sources(&api, &mut files);
    let mut makers = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let adds = [".route(", ".nest(", ".merge(", ".route_service("];
        let practice = name.ends_with("tests.rs") || name == "practice.rs";
        if !practice && adds.iter().any(|word| text.contains(word)) {
            makers.push(name);
        }
    }
    assert_eq!(makers, ["table.rs"]);
}
