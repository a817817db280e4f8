//! Ranges against servers that send something else.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::fetch_error::{BrokenAt, FetchError};
use super::tests_kit::{
    Reply, SHA, SHORT, SIGNATURE, Seen, Server, assert_clean, commit, digest, hub, impatient,
    options, planned, repo,
};
use super::{Hub, RangeBody, RangeReader};
use crate::domain::{FailureCode, PlannedFile, RepoPath};

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

fn reader(server: &Server) -> RangeReader {
    hub(server).reader(&repo(), &commit(), &planned(CONTENT.len()))
}

async fn all(mut body: RangeBody) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    assert!(body.next().await?.is_none());
    Ok(bytes)
}

async fn read(server: &Server, range: std::ops::Range<u64>) -> Result<Vec<u8>, FetchError> {
    read_by(&reader(server), range).await
}

async fn read_by(reader: &RangeReader, range: std::ops::Range<u64>) -> Result<Vec<u8>, FetchError> {
    let error_is_clean = |error: FetchError| {
        assert_clean(&error);
        assert_clean(&error.failure(&planned(1).path));
        error
    };
    let body = reader.open(range).await.map_err(error_is_clean)?;
    all(body).await.map_err(error_is_clean)
}

/// A hub that sends everyone to the place where the bytes lie, as for LFS files.
async fn hub_before(place: &Server) -> Server {
    let target = place.at(&format!("/bucket/x?{SIGNATURE}"));
    Server::start(move |_, _| {
        Reply::redirect(302, &target)
            .header("x-repo-commit", SHA)
            .header("x-linked-size", &CONTENT.len().to_string())
            .header("x-linked-etag", &format!("\"{}\"", digest()))
            .header("etag", "\"of the redirect itself\"")
    })
    .await
}

/// What a place's answers to a range of the file lead to.
async fn through(answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> FetchError {
    let place = Server::start(answer).await;
    let hub = hub_before(&place).await;
    read(&hub, 10..20).await.unwrap_err()
}

#[tokio::test]
async fn a_range_comes_through_the_redirect_without_the_token() {
    let place = Server::start(|request, _| Reply::range(request, CONTENT)).await;
    let hub = hub_before(&place).await;
    assert_eq!(read(&hub, 10..20).await.unwrap(), b"abcdefghij");
    let (asked, fetched) = (&hub.seen()[0], &place.seen()[0]);
    assert_eq!(
        asked.target,
        format!("/org/name/resolve/{SHA}/sub/model.bin")
    );
    assert_eq!(asked.header("authorization"), Some("Bearer hf_secret"));
    assert_eq!(fetched.target, format!("/bucket/x?{SIGNATURE}"));
    for request in [asked, fetched] {
        assert_eq!(request.header("range"), Some("bytes=10-19"));
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert_eq!(request.header("referer"), None);
    }
    assert_eq!(fetched.header("authorization"), None);
}

#[tokio::test]
async fn a_file_at_the_hub_itself_comes_with_the_token_over_a_relative_redirect() {
    let hub = Server::start(|request, _| {
        if request.target.contains("/resolve/") {
            Reply::redirect(307, "/api/resolve-cache/x?sig=1")
        } else {
            Reply::range(request, CONTENT).header("x-repo-commit", SHA)
        }
    })
    .await;
    let reader = reader(&hub);
    for (range, expected) in [(0..5, &CONTENT[..5]), (5..36, &CONTENT[5..])] {
        let body = reader.open(range).await.unwrap();
        assert_eq!(all(body).await.unwrap(), expected);
    }
    let seen = hub.seen();
    assert_eq!(
        seen.len(),
        3,
        "the second range goes straight to the address"
    );
    assert!(seen.iter().all(|r| r.header("authorization").is_some()));
}

#[tokio::test]
async fn awkward_names_are_asked_for_as_they_are() {
    let server = Server::start(|request, _| Reply::range(request, CONTENT)).await;
    let file = PlannedFile {
        path: RepoPath::parse("a b/100%#?é").unwrap(),
        ..planned(CONTENT.len())
    };
    let reader = hub(&server).reader(&repo(), &commit(), &file);
    reader.open(0..1).await.unwrap();
    assert_eq!(
        server.seen()[0].target,
        format!("/org/name/resolve/{SHA}/a%20b/100%25%23%3F%C3%A9")
    );
}

#[tokio::test]
async fn a_whole_file_may_come_as_200() {
    let with_length = Server::start(|_, _| Reply::ok(CONTENT)).await;
    let without = Server::start(|_, _| Reply::status(200).part(CONTENT)).await;
    for server in [with_length, without] {
        assert_eq!(read(&server, 0..36).await.unwrap(), CONTENT);
    }
    let other = Server::start(|_, _| Reply::ok(&CONTENT[1..])).await;
    let error = read(&other, 0..36).await.unwrap_err();
    assert!(matches!(error, FetchError::Changed { .. }), "{error}");
}

#[tokio::test]
async fn ignored_and_wrong_ranges_are_refused_before_a_byte() {
    let error = through(|_, _| Reply::ok(CONTENT)).await;
    assert!(matches!(error, FetchError::RangeIgnored { .. }), "{error}");
    for header in [
        "bytes 0-9/36",
        "bytes 10-18/36",
        "bytes 10-19/35",
        "bytes 10-19/*",
        "rubbish",
    ] {
        let error = through(move |_, _| {
            Reply::status(206)
                .header("content-range", header)
                .body(&CONTENT[10..20])
        })
        .await;
        assert!(
            matches!(error, FetchError::WrongRange { .. }),
            "{header}: {error}"
        );
        assert_eq!(error.code(), FailureCode::BadResponse);
    }
    let missing = through(|_, _| Reply::status(206).body(&CONTENT[10..20])).await;
    assert!(
        matches!(missing, FetchError::WrongRange { .. }),
        "{missing}"
    );
    let shorter = through(|_, _| {
        Reply::status(206)
            .header("content-range", "bytes 10-19/36")
            .body(&CONTENT[10..15])
    });
    assert!(matches!(shorter.await, FetchError::WrongRange { .. }));
    let empty = through(|_, _| {
        Reply::status(416)
            .header("content-range", "bytes */36")
            .body("")
    });
    assert!(matches!(empty.await, FetchError::WrongRange { .. }));
    let smaller = through(|_, _| {
        Reply::status(416)
            .header("content-range", "bytes */9")
            .body("")
    });
    assert!(matches!(smaller.await, FetchError::Changed { .. }));
}

#[tokio::test]
async fn bodies_of_a_wrong_length_are_errors() {
    let head = || Reply::status(206).header("content-range", "bytes 10-19/36");
    let cut = through(move |_, _| head().header("content-length", "10").part("abc")).await;
    assert_eq!(cut.code(), FailureCode::Network, "{cut}");
    assert!(
        matches!(
            &cut,
            FetchError::Transport {
                at: BrokenAt::Body,
                ..
            }
        ),
        "{cut}"
    );
    let cut = through(move |_, _| head().part("abcdefghi")).await;
    assert!(
        matches!(
            &cut,
            FetchError::Cut {
                got: 9,
                expected: 10,
                ..
            }
        ),
        "{cut}"
    );
    let long = through(move |_, _| head().part("abcdefghijk")).await;
    assert!(
        matches!(&long, FetchError::TooLong { expected: 10, .. }),
        "{long}"
    );
    let chunked = through(move |_, _| {
        head()
            .header("transfer-encoding", "chunked")
            .part("5\r\nabcde\r\nffffffffffffffffff\r\nx")
    })
    .await;
    assert_eq!(chunked.code(), FailureCode::Network, "{chunked}");
}

#[tokio::test]
async fn a_body_that_is_whole_may_end_badly() {
    let place = Server::start(|_, _| {
        Reply::status(206)
            .header("content-range", "bytes 10-19/36")
            .header("transfer-encoding", "chunked")
            .part("a\r\nabcdefghij\r\n")
            .then_hang()
    })
    .await;
    let hub = hub_before(&place).await;
    assert_eq!(read(&hub, 10..20).await.unwrap(), b"abcdefghij");
}

#[tokio::test]
async fn encoded_bytes_are_refused() {
    let error =
        through(|request, _| Reply::range(request, CONTENT).header("content-encoding", "gzip"))
            .await;
    assert!(matches!(error, FetchError::Encoded { .. }), "{error}");
    let place = Server::start(|request, _| {
        Reply::range(request, CONTENT).header("content-encoding", "identity")
    })
    .await;
    assert!(read(&hub_before(&place).await, 0..5).await.is_ok());
}

#[tokio::test]
async fn silence_is_a_stall_wherever_it_falls() {
    let read = async |server: &Server| {
        let reader = impatient(server).reader(&repo(), &commit(), &planned(CONTENT.len()));
        read_by(&reader, 10..20).await.unwrap_err()
    };
    let place = Server::start(|_, _| Reply::silence()).await;
    let before = read(&hub_before(&place).await).await;
    assert!(
        matches!(&before, FetchError::Stall { got: 0, .. }),
        "{before}"
    );
    let place = Server::start(|_, _| {
        Reply::status(206)
            .header("content-range", "bytes 10-19/36")
            .header("content-length", "10")
            .part("abc")
            .then_hang()
    })
    .await;
    let inside = read(&hub_before(&place).await).await;
    assert!(
        matches!(&inside, FetchError::Stall { got: 3, waited, .. } if *waited == SHORT),
        "{inside}"
    );
    assert_eq!(inside.code(), FailureCode::Timeout);
    let hub = Server::start(|_, _| Reply::silence()).await;
    let at_hub = read(&hub).await;
    assert_eq!(at_hub.code(), FailureCode::HubUnreachable, "{at_hub}");
}

#[tokio::test]
async fn dead_places_are_network_errors_and_dead_hubs_are_unreachable() {
    let dead = "http://127.0.0.1:9/x?X-Amz-Signature=topsecret";
    let hub = Server::start(move |_, _| Reply::redirect(302, dead)).await;
    let error = read(&hub, 0..5).await.unwrap_err();
    assert!(
        matches!(
            &error,
            FetchError::Transport {
                at: BrokenAt::Connect,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.code(), FailureCode::Network);
    let gone = Hub::new(options("http://127.0.0.1:9".parse().unwrap())).unwrap();
    let reader = gone.reader(&repo(), &commit(), &planned(36));
    let error = reader.open(0..5).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::HubUnreachable, "{error}");
}

#[tokio::test]
async fn what_the_hub_says_about_the_file_must_fit_the_plan() {
    for (name, value) in [
        ("x-repo-commit", "f".repeat(40)),
        ("x-repo-commit", "../..".to_owned()),
        ("x-linked-size", "35".to_owned()),
        ("x-linked-size", "junk".to_owned()),
        ("x-linked-etag", format!("\"{}\"", "b".repeat(64))),
        ("x-linked-etag", "../x".to_owned()),
        ("etag", format!("\"{}\"", "b".repeat(64))),
    ] {
        let server =
            Server::start(move |request, _| Reply::range(request, CONTENT).header(name, &value))
                .await;
        let error = read(&server, 0..5).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Changed { .. }),
            "{name}: {error}"
        );
    }
    let mirror =
        Server::start(|request, _| Reply::range(request, CONTENT).header("etag", "\"5f-abc\""))
            .await;
    assert!(read(&mirror, 0..5).await.is_ok());
}

#[tokio::test]
async fn ranges_of_two_versions_are_not_mixed() {
    let place = Server::start(|request, n| {
        Reply::range(request, CONTENT).header("etag", &format!("\"v{n}\""))
    })
    .await;
    let hub = hub_before(&place).await;
    let reader = reader(&hub);
    assert!(reader.open(0..5).await.is_ok());
    let error = reader.open(5..9).await.unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Changed {
                what: "the etag",
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn statuses_of_the_place_keep_their_meaning() {
    for (status, code) in [
        (500, FailureCode::ServerError),
        (501, FailureCode::NotSupported),
        (505, FailureCode::NotSupported),
        (503, FailureCode::ServerError),
        (408, FailureCode::Timeout),
        (451, FailureCode::BadResponse),
        (204, FailureCode::BadResponse),
    ] {
        let error = through(move |_, _| Reply::status(status).body("")).await;
        assert_eq!(error.code(), code, "{error}");
    }
    let error = through(|_, _| Reply::status(429).header("retry-after", "9").body("")).await;
    assert_eq!(error.retry_after().map(|d| d.as_secs()), Some(9), "{error}");
    assert_eq!(
        error.failure(&planned(1).path).code,
        FailureCode::RateLimited
    );
}

#[tokio::test]
async fn redirects_of_the_place_are_walked_to_an_end() {
    let error = through(|_, n| Reply::redirect(302, &format!("/{n}?{SIGNATURE}"))).await;
    assert!(matches!(error, FetchError::Redirect { .. }), "{error}");
    let error = through(|_, _| Reply::redirect(302, "file:///etc/passwd")).await;
    assert!(matches!(error, FetchError::Redirect { .. }), "{error}");
    let place = Server::start(|request, n| match n {
        0 => Reply::redirect(307, "/next"),
        _ => Reply::range(request, CONTENT),
    })
    .await;
    assert!(read(&hub_before(&place).await, 3..4).await.is_ok());
}

#[tokio::test]
async fn redirects_of_the_hub_are_walked_to_an_end() {
    let server = Server::start(|_, n| Reply::redirect(307, &format!("/{n}"))).await;
    let error = read(&server, 0..1).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::BadResponse, "{error}");
    assert_eq!(server.hits(), 11);
    let server = Server::start(|request, _| Reply::redirect(307, &request.target)).await;
    let error = read(&server, 0..1).await.unwrap_err();
    assert!(error.to_string().contains("itself"), "{error}");
    let server = Server::start(|_, _| Reply::status(302).body("")).await;
    let error = read(&server, 0..1).await.unwrap_err();
    assert!(error.to_string().contains("no address"), "{error}");
}

#[tokio::test]
async fn a_redirect_back_to_another_port_of_the_hubs_host_gets_no_token() {
    let place = Server::start(|request, _| Reply::range(request, CONTENT)).await;
    let hub = hub_before(&place).await;
    assert_eq!(place.url().host_str(), hub.url().host_str());
    read(&hub, 0..1).await.unwrap();
    assert_eq!(place.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn ranges_outside_the_file_are_the_callers_fault_and_cost_no_request() {
    let server = Server::start(|_, _| Reply::ok(CONTENT)).await;
    let reader = reader(&server);
    #[expect(clippy::reversed_empty_ranges, reason = "it must be refused")]
    let wrong = [0..37, 36..37, 5..5, 6..5, 0..u64::MAX];
    for range in wrong {
        assert!(reader.open(range).await.is_err());
    }
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn a_sign_in_page_is_no_file_wherever_it_answers() {
    let page = || {
        Reply::status(200)
            .header("content-type", "text/html")
            .body("<html>log in")
    };
    let error = through(move |_, _| page()).await;
    assert_eq!(error.code(), FailureCode::NotAHub, "{error}");
    // A file may be a page, also where nothing marks the server as a hub.
    let server = Server::start(move |_, _| page()).await;
    let file = PlannedFile {
        path: RepoPath::parse("docs/index.HTML").unwrap(),
        ..planned(12)
    };
    let reader = hub(&server).reader(&repo(), &commit(), &file);
    assert_eq!(read_by(&reader, 0..12).await.unwrap(), b"<html>log in");
}

#[tokio::test]
async fn connections_are_used_again() {
    let place = Server::start(|request, _| Reply::range(request, CONTENT).keep()).await;
    let target = place.at("/x");
    let server = Server::start(move |_, _| {
        Reply::status(302)
            .header("location", &target)
            // Longer than what comes together with the head.
            .body(vec![b' '; 60_000])
            .keep()
    })
    .await;
    let hub = hub(&server);
    for _ in 0..4 {
        let reader = hub.reader(&repo(), &commit(), &planned(CONTENT.len()));
        for start in 0..4 {
            let bytes = all(reader.open(start..start + 8).await.unwrap()).await;
            assert_eq!(bytes.unwrap().len(), 8);
        }
    }
    assert_eq!((server.hits(), place.hits()), (4, 16));
    assert_eq!((server.connections(), place.connections()), (1, 1));
}

#[tokio::test]
async fn slow_but_alive_is_alive() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let place = Server::start(move |_, _| {
        (0..8).fold(
            Reply::status(206)
                .header("content-range", "bytes 10-19/36")
                .header("content-length", "10")
                .part("ab"),
            |reply, at| reply.wait(&held).part(&CONTENT[12 + at..13 + at]),
        )
    })
    .await;
    let hub = hub_before(&place).await;
    let reader = impatient(&hub).reader(&repo(), &commit(), &planned(CONTENT.len()));
    let mut body = reader.open(10..20).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut bytes = body.next().await.unwrap().unwrap();
    while bytes.len() < 10 {
        // Each byte comes within the patience, all of them do not.
        let next = body.next();
        tokio::pin!(next);
        assert!(timeout(SHORT / 3, &mut next).await.is_err());
        gate.add_permits(1);
        bytes.extend(next.await.unwrap().unwrap());
    }
    assert_eq!(bytes, CONTENT[10..20]);
    assert!(began.elapsed() > SHORT * 2);
}

#[tokio::test]
async fn a_pause_of_the_caller_is_not_the_servers_stall() {
    let place = Server::start(|_, _| {
        Reply::status(206)
            .header("content-range", "bytes 10-19/36")
            .part("abc")
            .then_hang()
    })
    .await;
    let hub = hub_before(&place).await;
    let reader = impatient(&hub).reader(&repo(), &commit(), &planned(CONTENT.len()));
    let mut body = reader.open(10..20).await.unwrap();
    body.next().await.unwrap();
    let paused = timeout(SHORT * 2, std::future::pending::<()>()).await;
    assert!(paused.is_err());
    let began = tokio::time::Instant::now();
    let error = body.next().await.unwrap_err();
    assert!(matches!(error, FetchError::Stall { got: 3, .. }), "{error}");
    assert!(began.elapsed() >= SHORT, "the wait begins with the call");
}
