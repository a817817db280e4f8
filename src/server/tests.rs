//! Serving over real sockets: limits, order of the end, who may listen where.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use crate::api::practice::{self, Practice};
use crate::api::{AllowedHosts, Guard};
use crate::clock::SystemClock;
use crate::manager::ManagerOptions;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// Fails instead of waiting for ever.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future)
        .await
        .expect("it takes too long")
}

struct Running {
    address: SocketAddr,
    practice: Practice,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), ServerError>>,
}

fn start(limits: Limits) -> Running {
    let (listener, local_addr) = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let draining = CancellationToken::new();
    let hosts = AllowedHosts::new(local_addr.ip(), &[]).unwrap();
    let guard = Guard::new(hosts, None, false, draining.clone());
    let admin_key = guard.admin_key();
    let practice = practice::doors(guard);
    let server = Server {
        listener,
        local_addr,
        mounted: Mounted {
            router: practice.doors.clone(),
            admin_key,
            draining,
        },
        limits,
    };
    let stop = CancellationToken::new();
    let ended = TaskTracker::new().spawn(server.run_until(stop.clone()));
    Running {
        address: local_addr,
        practice,
        stop,
        ended,
    }
}

async fn connect(running: &Running, bytes: &[u8]) -> TcpStream {
    let mut stream = soon(TcpStream::connect(running.address)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// What the server sends until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    soon(stream.read_to_end(&mut bytes)).await.ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").into_bytes()
}

fn short_header_time() -> Limits {
    Limits {
        header_time: Duration::from_millis(200),
        ..Limits::default()
    }
}

#[tokio::test]
async fn it_answers_on_the_port_that_the_system_chose() {
    let running = start(Limits::default());
    assert_ne!(running.address.port(), 0);
    let text = rest(&mut connect(&running, &get("/quick")).await).await;
    assert!(
        text.starts_with("HTTP/1.1 200") && text.ends_with("quick"),
        "{text}"
    );
    running.stop.cancel();
    soon(running.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_head_request_gets_no_body_even_when_it_fails() {
    let running = start(Limits::default());
    for (path, status) in [("/only-get", "200"), ("/nowhere", "404"), ("/panic", "500")] {
        let request =
            format!("HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let text = rest(&mut connect(&running, request.as_bytes()).await).await;
        assert!(
            text.contains(status) && text.ends_with("\r\n\r\n"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_answer_before_the_whole_body_ends_the_connection() {
    let running = start(Limits::default());
    let head = "POST /register HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9999999\r\n\r\n{";
    let text = rest(&mut connect(&running, head.as_bytes()).await).await;
    assert!(
        text.contains(" 413 ") && text.contains("body_too_large"),
        "{text}"
    );
}

#[tokio::test]
async fn silent_half_and_idle_connections_are_closed() {
    let running = start(short_header_time());
    for sent in [
        &b""[..],
        b"GET /quick HTTP/1.1\r\nHost: 127.",
        b"GET /quick HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ] {
        let began = Instant::now();
        let text = rest(&mut connect(&running, sent).await).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{text}");
        assert_eq!(
            text.contains("quick"),
            sent.ends_with(b"\r\n\r\n"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn odd_requests_do_not_get_in() {
    let running = start(Limits::default());
    let long = format!(
        "GET /quick HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {}\r\n\r\n",
        "a".repeat(64 << 10)
    );
    let many = format!(
        "GET /quick HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n",
        "X: a\r\n".repeat(200)
    );
    for (request, status) in [
        ("GET /quick HTTP/1.1\r\nConnection: close\r\n\r\n", "400"),
        ("GET /quick HTTP/1.0\r\n\r\n", "400"),
        (
            "GET /quick HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
            "400",
        ),
        (
            "GET http://evil.example/quick HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
            "400",
        ),
        (
            "GET /quick HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            "421",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
        (long.as_str(), "431"),
        (many.as_str(), "431"),
    ] {
        let text = rest(&mut connect(&running, request.as_bytes()).await).await;
        let line = text.lines().next().unwrap_or_default();
        assert!(
            line.contains(status) || line.is_empty() && status == "400",
            "{request:.60}: {line}"
        );
        assert!(!text.ends_with("quick"));
    }
}

#[tokio::test]
async fn more_connections_than_seats_wait() {
    let running = start(Limits {
        connections: 2,
        ..Limits::default()
    });
    let mut first = connect(&running, &get("/slow")).await;
    let _second = connect(&running, &get("/slow")).await;
    soon(running.practice.arrived.acquire_many(2))
        .await
        .unwrap()
        .forget();
    let mut third = connect(&running, &get("/quick")).await;
    let early = tokio::time::timeout(Duration::from_millis(200), third.read_u8()).await;
    assert!(early.is_err(), "there is no seat for it yet");
    running.practice.finish.add_permits(1);
    assert!(rest(&mut first).await.ends_with("done"));
    assert!(rest(&mut third).await.contains("200 OK"));
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_seat() {
    let running = start(Limits {
        connections: 1,
        write_time: Duration::from_millis(200),
        ..Limits::default()
    });
    let _deaf = connect(&running, &get("/big")).await;
    let text = rest(&mut connect(&running, &get("/quick")).await).await;
    assert!(text.ends_with("quick"), "{text}");
}

#[tokio::test]
async fn a_request_in_flight_finishes_after_the_stop() {
    let running = start(Limits::default());
    let mut idle = connect(&running, b"").await;
    let mut busy = connect(&running, &get("/slow")).await;
    soon(running.practice.arrived.acquire())
        .await
        .unwrap()
        .forget();
    running.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    running.practice.finish.add_permits(1);
    assert!(rest(&mut busy).await.ends_with("done"));
    soon(running.ended).await.unwrap().unwrap();
    assert!(
        TcpStream::connect(running.address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_request_that_does_not_finish_is_cut() {
    let running = start(Limits {
        drain_time: Duration::from_millis(200),
        ..Limits::default()
    });
    let mut busy = connect(&running, &get("/slow")).await;
    soon(running.practice.arrived.acquire())
        .await
        .unwrap()
        .forget();
    let mut half = connect(&running, b"GET /quick HT").await;
    running.stop.cancel();
    soon(running.ended).await.unwrap().unwrap();
    assert_eq!(rest(&mut busy).await, "");
    assert_eq!(rest(&mut half).await, "");
}

#[tokio::test]
async fn connections_end_with_the_future_that_serves_them() {
    let running = start(Limits::default());
    let mut busy = connect(&running, &get("/slow")).await;
    soon(running.practice.arrived.acquire())
        .await
        .unwrap()
        .forget();
    running.ended.abort();
    assert_eq!(rest(&mut busy).await, "");
}

async fn bind(listen: &str, token: Option<&str>, hosts: &[&str]) -> Result<Server, ServerError> {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("hub");
    std::fs::create_dir(&cache).unwrap();
    let endpoint = url::Url::parse("http://127.0.0.1:9/").unwrap();
    let options = ManagerOptions::new(folder.path().join("test.db"), cache, endpoint);
    let manager = UnifiedModelDownloadManager::open(options, Arc::new(SystemClock::new()))
        .await
        .unwrap();
    let options = ServerOptions {
        listen: listen.parse().unwrap(),
        admin_token: token.and_then(Token::parse),
        allowed_hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        trust_proxy: false,
        settings: Vec::new(),
    };
    Server::bind(options, manager)
}

#[tokio::test]
async fn other_machines_come_in_only_with_a_good_token() {
    for listen in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        for token in [None, Some(" "), Some("pssst")] {
            let text = bind(listen, token, &[]).await.unwrap_err().to_string();
            for way in ["127.0.0.1", "MODELHAUL_ADMIN_TOKEN", "proxy"] {
                assert!(text.contains(way), "{text}");
            }
            assert!(!text.contains("pssst"), "{text}");
        }
    }
    let server = bind("0.0.0.0:0", Some("0123456789abcdef"), &[])
        .await
        .unwrap();
    assert_ne!(server.local_addr().port(), 0);
    let server = bind("127.0.0.1:0", None, &["models.lan"]).await.unwrap();
    assert!(server.local_addr().ip().is_loopback());
}

#[tokio::test]
async fn a_bad_host_or_a_taken_address_is_named() {
    let text = bind("127.0.0.1:0", None, &["http://x"])
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("http://x"), "{text}");
    let taken = bind("127.0.0.1:0", None, &[]).await.unwrap();
    let address = taken.local_addr().to_string();
    let error = bind(&address, None, &[]).await.unwrap_err();
    assert!(matches!(error, ServerError::Bind { .. }));
    assert!(error.to_string().contains(&address), "{error}");
}
