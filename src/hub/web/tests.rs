//! Files by their addresses, against a server that says exactly what it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::tests_kit::{PATIENCE, Reply as Said, SHORT, Seen as Request, Server};
use super::*;
use crate::clock::SystemClock;
use crate::domain::RepoPath;

const TAG: &str = "\"v1\"";

fn web(networks: &[&str], credentials: Vec<Credential>) -> Web {
    Web::new(WebOptions {
        offline: false,
        tls: Tls::of_the_system().unwrap(),
        roots: Vec::new(),
        networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
        credentials,
        metadata_timeout: PATIENCE,
        read_timeout: PATIENCE,
        clock: Arc::new(SystemClock::new()),
        metrics: Arc::default(),
    })
}

fn local() -> Web {
    web(&["127.0.0.0/8"], Vec::new())
}

fn file(url: &str) -> UrlFile {
    UrlFile {
        url: url.parse().unwrap(),
        path: RepoPath::parse("f.bin").unwrap(),
        sha256: None,
        size: None,
        credential: None,
    }
}

/// A server that knows neither ranges nor versions.
fn untold() -> Seen {
    Seen {
        size: Some(1000),
        ranges: false,
        validator: Validator::None,
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().step_by(7).take(count).collect()
}

fn ranged(request: &Request, content: &[u8], tag: &str) -> Said {
    Said::range(request, content).header("etag", tag)
}

async fn all(body: &mut super::super::RangeBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(more) = body.next().await.unwrap() {
        bytes.extend(more);
    }
    bytes
}

#[tokio::test]
async fn one_byte_tells_length_version_and_ranges() {
    let server = Server::start(|request, _| {
        assert_eq!(request.header("range"), Some("bytes=0-0"));
        match request.target.as_str() {
            "/ranged" => Said::status(206)
                .header("content-range", "bytes 0-0/5000")
                .header("etag", TAG)
                .body("x"),
            "/whole" => Said::status(200).header("etag", "W/\"a\"").body(bytes(700)),
            "/untold" => Said::status(200).part("abc"),
            "/empty" => Said::status(416)
                .header("content-range", "bytes */0")
                .body(""),
            "/page" => Said::status(200)
                .header("content-type", "text/html")
                .body("<html>"),
            "/packed" => Said::status(200)
                .header("content-encoding", "gzip")
                .body("x"),
            "/busy" => Said::status(429).header("retry-after", "7").body("SECRET"),
            target => Said::status(target[1..].parse().unwrap()).body("SECRET"),
        }
    })
    .await;
    let web = local();
    let look = async |path: &str| web.look(&file(&server.at(path))).await;
    let seen = |size, ranges, validator| Seen {
        size,
        ranges,
        validator,
    };
    let tag = Validator::Etag(TAG.to_owned());
    assert_eq!(look("/ranged").await.unwrap(), seen(Some(5000), true, tag));
    assert_eq!(
        look("/whole").await.unwrap(),
        seen(Some(700), false, Validator::None)
    );
    assert_eq!(
        look("/untold").await.unwrap(),
        seen(None, false, Validator::None)
    );
    assert_eq!(
        look("/empty").await.unwrap(),
        seen(Some(0), true, Validator::None)
    );
    for (path, code) in [
        ("/page", FailureCode::BadResponse),
        ("/packed", FailureCode::BadResponse),
        ("/busy", FailureCode::RateLimited),
        ("/401", FailureCode::TokenMissing),
        ("/403", FailureCode::Forbidden),
        ("/404", FailureCode::FileNotFound),
        ("/410", FailureCode::FileNotFound),
        ("/418", FailureCode::NotSupported),
        ("/408", FailureCode::Timeout),
        ("/500", FailureCode::ServerError),
        ("/501", FailureCode::NotSupported),
    ] {
        let failure = look(path)
            .await
            .unwrap_err()
            .failure(&file("http://h/").path);
        assert_eq!(failure.code, code, "{path}");
        assert!(!failure.to_string().contains("SECRET"), "{failure}");
    }
}

#[tokio::test]
async fn every_part_is_of_the_version_that_was_seen() {
    let content = bytes(10_000);
    let (served, count) = (content.clone(), Arc::new(AtomicUsize::new(0)));
    let version = Arc::clone(&count);
    let server = Server::start(move |request, _| {
        let tag = ["\"v1\"", "\"v2\""][version.load(Ordering::SeqCst).min(1)];
        match request.header("if-range") {
            Some(wanted) if wanted != tag => {
                Said::status(200).header("etag", tag).body(served.clone())
            }
            _ => ranged(request, &served, tag),
        }
    })
    .await;
    let file = file(&server.at("/f"));
    let tag = Some(Seen {
        size: Some(10_000),
        ranges: true,
        validator: Validator::Etag(TAG.to_owned()),
    });
    let reader = local().reader(&file, 10_000, tag, false);
    let mut body = reader.open(100..5000).await.unwrap();
    assert_eq!(all(&mut body).await, content[100..5000]);
    assert_eq!(server.seen()[0].header("if-range"), Some(TAG));
    count.store(1, Ordering::SeqCst);
    let error = reader.open(0..100).await.unwrap_err();
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
    // Without a version from before, the first answer gives it.
    let fresh = local().reader(&file, 10_000, None, true);
    drop(fresh.open(0..100).await.unwrap());
    count.store(0, Ordering::SeqCst);
    assert!(matches!(
        fresh.open(100..200).await,
        Err(FetchError::Changed { .. })
    ));
    let longer = local().reader(&file, 10_001, None, true);
    assert!(longer.open(0..100).await.is_err());
}

#[tokio::test]
async fn without_hash_and_version_there_is_one_request_for_all_or_none() {
    let content = bytes(1000);
    let served = content.clone();
    let server = Server::start(move |_, _| Said::status(200).body(served.clone())).await;
    let file = file(&server.at("/f"));
    let reader = local().reader(&file, 1000, Some(untold()), false);
    assert!(matches!(
        reader.open(0..10).await,
        Err(FetchError::RangeIgnored { .. })
    ));
    assert_eq!(server.hits(), 0, "that needs no request");
    let mut body = reader.open(0..1000).await.unwrap();
    assert_eq!(all(&mut body).await, content);
    let error = reader.open(0..1000).await.unwrap_err();
    assert!(matches!(error, FetchError::Unbound { .. }), "{error}");
    assert_eq!(error.code(), FailureCode::Network);
    // With a hash the whole file may be asked for again.
    let proven = local().reader(&file, 1000, Some(untold()), true);
    assert!(matches!(
        proven.open(0..10).await,
        Err(FetchError::RangeIgnored { .. })
    ));
    drop(proven.open(0..1000).await.unwrap());
    drop(proven.open(0..1000).await.unwrap());
}

#[tokio::test]
async fn no_hop_leads_to_an_address_that_is_not_allowed() {
    let hidden = Server::start(|_, _| Said::ok("SECRET")).await;
    let to = hidden.at("/x").replace("127.0.0.1", "127.0.0.2");
    let server = Server::start(move |request, _| match request.target.as_str() {
        "/file" => Said::redirect(302, "file:///etc/passwd"),
        "/user" => Said::redirect(302, "http://me:pw@127.0.0.1/"),
        _ => Said::redirect(302, &to),
    })
    .await;
    let only = web(&["127.0.0.1"], Vec::new());
    let error = only.look(&file(&server.at("/a"))).await.unwrap_err();
    assert!(matches!(error, FetchError::Blocked { .. }), "{error}");
    assert!(!error.to_string().contains("127.0.0.2"), "{error}");
    assert_eq!(hidden.connections(), 0);
    let blocked = web(&[], Vec::new());
    for url in [
        server.at("/a"),
        server.at("/a").replace("127.0.0.1", "localhost"),
    ] {
        let error = blocked.look(&file(&url)).await.unwrap_err();
        assert_eq!(error.code(), FailureCode::BlockedAddress, "{url}: {error}");
    }
    assert_eq!(server.hits(), 1, "the blocked client has connected");
    for path in ["/file", "/user"] {
        let error = only.look(&file(&server.at(path))).await.unwrap_err();
        assert!(matches!(error, FetchError::Redirect { .. }), "{error}");
        assert!(!error.to_string().contains("pw"), "{error}");
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = Server::start(|_, _| Said::silence()).await;
    let patient = local();
    let wire = Arc::into_inner(patient.wire).unwrap();
    let web = Web {
        wire: Arc::new(Wire {
            metadata_timeout: SHORT,
            ..wire
        }),
    };
    let error = web.look(&file(&server.at("/f"))).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::Timeout);
}

async fn plain(web: &Web, url: &str, start: u64) -> Result<(u64, Vec<u8>), FetchError> {
    let mut answer = web.get(url.parse().unwrap(), start).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok((answer.start, bytes))
}

#[tokio::test]
async fn a_plain_answer_goes_on_where_it_was_asked_to_and_nowhere_else() {
    let content = bytes(5000);
    let body = content.clone();
    let server = Server::start(move |request, _| {
        let part = |first: usize| {
            let said =
                Said::status(206).header("content-range", &format!("bytes {first}-4999/5000"));
            said.body(&body[first..])
        };
        match (request.target.as_str(), request.header("range")) {
            ("/x", None) | ("/ignores", _) => Said::ok(body.clone()),
            ("/x", Some("bytes=1000-")) => part(1000),
            ("/lies", _) => part(900),
            ("/silent", _) => Said::status(206).body(&body[1000..]),
            ("/cut", _) => Said::status(200)
                .header("content-length", "5000")
                .part("abc"),
            _ => Said::status(416)
                .header("content-range", "bytes */5000")
                .body("<html>no such range</html>"),
        }
    })
    .await;
    let web = local();
    let get = async |path: &str, start| plain(&web, &server.at(path), start).await;
    assert!(get("/x", 0).await.unwrap() == (0, content.clone()));
    assert!(get("/x", 1000).await.unwrap() == (1000, content[1000..].to_vec()));
    assert!(get("/ignores", 1000).await.unwrap() == (0, content.clone()));
    // All of it is here already: that is no error, and the server's page about it is no content.
    assert_eq!(get("/x", 5000).await.unwrap(), (5000, Vec::new()));
    for path in ["/lies", "/silent"] {
        let error = get(path, 1000).await.unwrap_err();
        assert!(matches!(error, FetchError::WrongRange { .. }), "{error:?}");
    }
    let beyond = get("/x", 6000).await.unwrap_err();
    assert!(
        matches!(beyond, FetchError::Status { status: 416, .. }),
        "{beyond:?}"
    );
    let cut = get("/cut", 0).await.unwrap_err();
    let broken = matches!(cut, FetchError::Cut { .. } | FetchError::Transport { .. });
    assert!(broken, "{cut:?}");
}

#[tokio::test]
async fn nothing_is_asked_offline() {
    let server = Server::start(|_, _| Said::ok("x")).await;
    let web = Web::new(WebOptions {
        offline: true,
        tls: Tls::of_the_system().unwrap(),
        roots: Vec::new(),
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        credentials: Vec::new(),
        metadata_timeout: PATIENCE,
        read_timeout: PATIENCE,
        clock: Arc::new(SystemClock::new()),
        metrics: Arc::default(),
    });
    let error = plain(&web, &server.at("/x"), 0).await.unwrap_err();
    assert!(
        matches!(error, FetchError::Hub(HubError::Offline)),
        "{error:?}"
    );
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_address_that_names_no_object_is_refused_when_it_is_registered() {
    let keys = Credential::s3("s", "http://127.0.0.1:9", "AKID", None, Some("k")).unwrap();
    let web = web(&["127.0.0.0/8"], vec![keys]);
    let check = |url: &str| {
        web.check(&UrlFile {
            credential: Some("s".to_owned()),
            ..file(url)
        })
    };
    assert_eq!(check("s3://bucket/a/b"), Ok(()));
    assert_eq!(check("s3://bucket/a//b").unwrap_err().0, "url");
}
