//! Connections whose answers are read by the caller, against real sockets.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderMap;
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use super::super::reply::{Content, Reply};
use super::super::tests_kit::{Reply as Said, Server};
use super::{Direct, Unanswered, tls};

const PATIENCE: Duration = Duration::from_secs(20);

fn direct() -> Direct {
    Direct::new(PATIENCE, tls().unwrap())
}

async fn get(direct: &Direct, url: &str) -> Result<Reply, Unanswered> {
    let url = Url::parse(url).unwrap();
    direct.get(&url, HeaderMap::new()).await
}

/// Reads a body in steps of so many bytes.
async fn all(content: &mut Content, step: usize) -> Result<Vec<u8>, String> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; step]);
    loop {
        let read = poll_fn(|context| content.poll_read(context, &mut buffer)).await;
        match read.map_err(|error| error.to_string())? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

async fn whole(direct: &Direct, url: &str, step: usize) -> Result<Vec<u8>, String> {
    let mut reply = get(direct, url).await.map_err(|error| error.cause)?;
    all(&mut reply.content, step).await
}

fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().step_by(7).take(count).collect()
}

#[tokio::test]
async fn a_body_comes_whole_in_any_steps_and_its_connection_is_used_again() {
    let server = Server::start(|request, _| {
        let count = request.target.trim_start_matches('/').parse().unwrap();
        Said::status(206).keep().body(bytes(count))
    })
    .await;
    let direct = direct();
    for count in [0, 1, 5000, 8192, 300_000] {
        for step in [1_usize, 4096, 1 << 20] {
            let step = step.max(count / 1000);
            let url = server.at(&format!("/{count}"));
            assert_eq!(whole(&direct, &url, step).await.unwrap(), bytes(count));
        }
    }
    assert_eq!(server.connections(), 1);
    let seen = server.seen();
    let agent = seen[0].header("user-agent").unwrap();
    assert!(agent.starts_with("modelhaul/"), "{agent}");
    assert_eq!(seen[0].header("host").unwrap(), &server.at("")[7..]);
}

#[tokio::test]
async fn a_body_that_was_not_read_to_its_end_costs_its_connection() {
    let server = Server::start(|_, _| Said::status(200).keep().body(bytes(200_000))).await;
    let direct = direct();
    let mut reply = get(&direct, &server.at("/")).await.unwrap();
    let mut buffer = [0; 100];
    poll_fn(|context| reply.content.poll_read(context, &mut buffer))
        .await
        .unwrap();
    drop(reply);
    whole(&direct, &server.at("/"), 4096).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn connections_that_are_made_ahead_are_taken_by_the_requests_that_come() {
    let server = Server::start(|_, _| Said::status(200).keep().body("abc")).await;
    let direct = direct();
    let url: Url = server.at("/").parse().unwrap();
    direct.connect_ahead(&url, 5);
    direct.connect_ahead(&url, 6);
    // They may still be on their way: whoever comes waits for one instead of making another.
    let asked = (0..6).map(|_| get(&direct, url.as_str()));
    let replies = futures_util::future::join_all(asked).await;
    assert!(replies.iter().all(Result::is_ok));
    assert_eq!(server.connections(), 6);
    // None of them is free now.
    assert_eq!(whole(&direct, url.as_str(), 10).await.unwrap(), b"abc");
    assert_eq!(server.connections(), 7);
    // The one that is ready is not kept waiting by one that is still being made.
    direct.connect_ahead(&url, 2);
    get(&direct, url.as_str()).await.unwrap();
    assert_eq!(direct.idle.count(&server.at("")), 1);
}

#[tokio::test]
async fn connections_ahead_that_cannot_be_made_change_nothing() {
    let direct = direct();
    let url: Url = "http://127.0.0.1:1/".parse().unwrap();
    direct.connect_ahead(&url, 3);
    let error = get(&direct, url.as_str()).await.unwrap_err();
    assert!(error.at_connect, "{error:?}");
}

#[tokio::test]
async fn what_a_server_closes_is_not_used_again() {
    // `connection: close`, an older version, and a close without a word after the answer.
    let server = Server::start(|_, _| Said::status(200).body("abc")).await;
    let direct = direct();
    for _ in 0..3 {
        assert_eq!(whole(&direct, &server.at("/"), 10).await.unwrap(), b"abc");
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_died_while_it_was_kept_is_replaced() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let server = Server::start(move |_, earlier| match earlier {
        0 => Said::status(200).keep().body("one"),
        // Reads the second request on the kept connection, then breaks it without an answer.
        1 => Said::reset(),
        _ => Said::status(200).keep().gated(&held).body("two"),
    })
    .await;
    let direct = direct();
    assert_eq!(whole(&direct, &server.at("/"), 10).await.unwrap(), b"one");
    gate.add_permits(1);
    assert_eq!(whole(&direct, &server.at("/"), 10).await.unwrap(), b"two");
    assert_eq!((server.connections(), server.hits()), (2, 3));
}

#[tokio::test]
async fn bytes_behind_the_answer_spoil_the_connection_and_are_not_handed_out() {
    let server = Server::start(|_, _| {
        let said = Said::status(200).keep().header("content-length", "3");
        said.part("abcHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    })
    .await;
    let direct = direct();
    for _ in 0..2 {
        assert_eq!(whole(&direct, &server.at("/"), 10).await.unwrap(), b"abc");
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn chunks_and_bodies_without_a_length_are_read_too() {
    let server = Server::start(|request, _| {
        if request.target == "/chunked" {
            let said = Said::status(200).header("transfer-encoding", "chunked");
            return said.part("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
        }
        Said::status(200).part(bytes(100_000))
    })
    .await;
    let direct = direct();
    let chunked = whole(&direct, &server.at("/chunked"), 2).await.unwrap();
    assert_eq!(chunked, b"abcdefg");
    let open = whole(&direct, &server.at("/open"), 4096).await.unwrap();
    assert_eq!(open, bytes(100_000));
}

#[tokio::test]
async fn a_cut_body_is_an_error_and_not_an_end() {
    let server = Server::start(|_, _| {
        let said = Said::status(200).header("content-length", "10");
        said.part("abc")
    })
    .await;
    let direct = direct();
    let error = whole(&direct, &server.at("/"), 100).await.unwrap_err();
    assert!(error.contains("before the last byte"), "{error}");
}

#[tokio::test]
async fn who_cannot_be_reached_and_who_does_not_answer_are_told_apart() {
    let direct = direct();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let error = get(&direct, &format!("http://{address}/")).await;
    let error = error.unwrap_err();
    assert!(
        error.at_connect && error.cause.contains("refused"),
        "{error:?}"
    );
    let server = Server::start(|_, _| Said::reset()).await;
    let error = get(&direct, &server.at("/")).await.unwrap_err();
    assert!(!error.at_connect, "{error:?}");
    let noise = Server::start(|_, _| Said::raw("SSH-2.0-OpenSSH\r\n\r\n")).await;
    let error = get(&direct, &noise.at("/")).await.unwrap_err();
    assert!(!error.at_connect, "{error:?}");
}

#[tokio::test]
async fn tls_carries_the_same_and_strangers_are_refused() {
    let cert = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(cert.signing_key.serialize_der());
    let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let served = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(served));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = JoinSet::new();
    let body = bytes(200_000);
    let answer = body.clone();
    server.spawn(async move {
        let mut accepted = 0;
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(tcp).await else {
                continue;
            };
            accepted += 1;
            assert_eq!(accepted, 1, "one connection is enough");
            let mut byte = [0];
            for _ in 0..2 {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).await.unwrap();
                    head.push(byte[0]);
                }
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                    answer.len()
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    });
    let url = format!("https://localhost:{port}/");
    let error = get(&direct(), &url).await.unwrap_err();
    assert!(
        error.at_connect && error.cause.contains("certificate"),
        "{error:?}"
    );

    let mut roots = RootCertStore::empty();
    roots.add(cert.cert.der().clone()).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let direct = Direct::new(PATIENCE, trusting);
    for step in [1000, 1 << 20] {
        assert_eq!(whole(&direct, &url, step).await.unwrap(), body);
    }
}
