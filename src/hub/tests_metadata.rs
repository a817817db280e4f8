//! Revisions and file lists against servers that lie.

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use super::tests_kit::{
    Reply, SECRET, SHA, Server, anonymous, assert_clean, commit, hub, impatient, options, repo,
};
use super::{Hub, HubError};
use crate::domain::{Digest, FailureCode, Revision};

fn info() -> Reply {
    Reply::json(&format!(
        r#"{{"id":"org/name","sha":"{SHA}","gated":"auto","private":true,"disabled":false,"siblings":[{{"rfilename":"x"}}]}}"#
    ))
}

async fn revision_error(server: &Server) -> HubError {
    hub(server)
        .resolve_revision(&repo(), &Revision::main())
        .await
        .unwrap_err()
}

async fn tree_error(server: &Server) -> HubError {
    hub(server).tree(&repo(), &commit()).await.unwrap_err()
}

fn file(path: &str) -> String {
    let path = serde_json::to_string(path).unwrap();
    format!(r#"{{"type":"file","path":{path},"oid":"{SHA}","size":3}}"#)
}

async fn tree_of(body: String) -> Result<Vec<String>, HubError> {
    let server = Server::start(move |_, _| Reply::json(&body)).await;
    let files = hub(&server).tree(&repo(), &commit()).await?;
    Ok(files.into_iter().map(|f| f.path.to_string()).collect())
}

#[tokio::test]
async fn a_revision_is_asked_for_plainly() {
    let server = Server::start(|_, _| info().header("set-cookie", "id=1")).await;
    let hub = hub(&server);
    for _ in 0..2 {
        let info = hub
            .resolve_revision(&repo(), &"refs/pr/1".parse().unwrap())
            .await
            .unwrap();
        assert_eq!(info.commit, commit());
        assert!(info.gated && info.private);
    }
    for request in server.seen() {
        assert_eq!(
            request.target,
            "/api/models/org/name/revision/refs%2Fpr%2F1"
        );
        assert_eq!(request.header("authorization"), Some("Bearer hf_secret"));
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert_eq!(
            request.header("user-agent"),
            Some(concat!("modelhaul/", env!("CARGO_PKG_VERSION")))
        );
        assert_eq!(request.header("cookie"), None);
        assert_eq!(request.header("referer"), None);
    }
}

#[tokio::test]
async fn a_full_commit_needs_no_request_and_offline_makes_none() {
    let server = Server::start(|_, _| info()).await;
    let sha = SHA.parse().unwrap();
    let info = hub(&server).resolve_revision(&repo(), &sha).await.unwrap();
    assert_eq!(info.commit, commit());

    let mut options = options(server.url());
    options.offline = true;
    let offline = Hub::new(options).unwrap();
    let main = Revision::main();
    let errors = [
        offline.resolve_revision(&repo(), &main).await.unwrap_err(),
        offline.tree(&repo(), &commit()).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|e| e.code() == FailureCode::Offline));
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn a_renamed_repository_is_followed_at_the_hub_only() {
    let server = Server::start(|request, _| {
        if request.target.starts_with("/api/models/org/") {
            Reply::redirect(307, "/api/models/new/name/revision/main")
        } else {
            info()
        }
    })
    .await;
    let main = Revision::main();
    assert!(hub(&server).resolve_revision(&repo(), &main).await.is_ok());
    assert_eq!(
        server.seen()[1].header("authorization"),
        Some("Bearer hf_secret")
    );

    let elsewhere = Server::start(|_, _| info()).await;
    let target = elsewhere.at("/login?id=7");
    let portal = Server::start(move |_, _| Reply::redirect(302, &target)).await;
    let error = revision_error(&portal).await;
    assert_eq!(error.code(), FailureCode::NotAHub);
    assert_eq!(elsewhere.hits(), 0);
}

#[tokio::test]
async fn a_redirect_does_not_cost_a_connection() {
    let server = Server::start(|_, n| match n {
        0 => Reply::status(307)
            .header("location", "/moved")
            .body(vec![b' '; 60_000])
            .keep(),
        _ => info().keep(),
    })
    .await;
    let main = Revision::main();
    assert!(hub(&server).resolve_revision(&repo(), &main).await.is_ok());
    assert_eq!((server.hits(), server.connections()), (2, 1));
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let server = Server::start(|_, n| Reply::redirect(302, &format!("/api/{n}"))).await;
    let error = revision_error(&server).await;
    assert_eq!(error.code(), FailureCode::BadResponse, "{error}");
    assert_eq!(server.hits(), 11);
}

#[tokio::test]
async fn what_is_no_hub_is_called_so() {
    for (body, kind, code) in [
        ("<html>log in</html>", "text/html", FailureCode::NotAHub),
        (
            "  <!doctype html>",
            "application/json",
            FailureCode::NotAHub,
        ),
        ("hello", "text/plain", FailureCode::NotAHub),
        ("", "application/json", FailureCode::NotAHub),
        ("{\"sha\":", "application/json", FailureCode::NotAHub),
        ("[]", "application/json", FailureCode::BadMetadata),
        ("{}", "application/json", FailureCode::BadMetadata),
        ("{\"sha\":1}", "application/json", FailureCode::BadMetadata),
        (
            "{\"sha\":\"../..\"}",
            "application/json",
            FailureCode::BadMetadata,
        ),
        (
            "{\"sha\":\"main\"}",
            "application/json",
            FailureCode::BadMetadata,
        ),
    ] {
        let server =
            Server::start(move |_, _| Reply::status(200).header("content-type", kind).body(body))
                .await;
        let error = revision_error(&server).await;
        assert_eq!(error.code(), code, "{body}: {error}");
    }
}

#[tokio::test]
async fn an_encoding_that_was_not_asked_for_is_refused() {
    let server = Server::start(|_, _| info().header("content-encoding", "gzip")).await;
    let error = revision_error(&server).await;
    assert!(matches!(error, HubError::Encoded { .. }), "{error}");
}

#[tokio::test]
async fn long_and_deep_answers_are_refused() {
    let announced = Server::start(|_, _| {
        Reply::status(200)
            .header("content-length", "99999999999")
            .then_hang()
    });
    let endless = Server::start(|_, _| Reply::status(200).part(vec![b' '; 34 << 20]).then_hang());
    for server in [announced.await, endless.await] {
        let error = tree_error(&server).await;
        assert_eq!(error.code(), FailureCode::BadMetadata, "{error}");
    }
    let deep = "[".repeat(100_000);
    let nested = format!("[{{\"type\":\"file\",\"x\":{deep}");
    for body in [deep, nested] {
        assert!(tree_of(body).await.is_err());
    }
}

#[tokio::test]
async fn a_hub_that_cannot_be_reached_is_never_not_found() {
    let silent = Server::start(|_, _| Reply::silence()).await;
    let stuck = Server::start(|_, _| {
        Reply::status(200)
            .header("content-length", "100")
            .part("{")
            .then_hang()
    })
    .await;
    let main = Revision::main();
    for server in [silent, stuck] {
        let asked = impatient(&server);
        let error = asked.resolve_revision(&repo(), &main).await.unwrap_err();
        assert_eq!(error.code(), FailureCode::HubUnreachable, "{error}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for url in [
        format!("http://127.0.0.1:{port}"),
        "http://no-such-host.invalid".to_owned(),
    ] {
        let hub = Hub::new(options(Url::parse(&url).unwrap())).unwrap();
        let error = hub.resolve_revision(&repo(), &main).await.unwrap_err();
        assert_eq!(error.code(), FailureCode::HubUnreachable, "{error}");
        assert!(error.failure().remedy.is_some());
    }
}

#[tokio::test]
async fn a_broken_handshake_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let url = Url::parse(&format!("https://127.0.0.1:{port}")).unwrap();
    let hub = Hub::new(options(url)).unwrap();
    let main = Revision::main();
    let error = hub.resolve_revision(&repo(), &main).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::HubUnreachable, "{error}");
}

#[tokio::test]
async fn one_reset_is_tried_again_at_once_and_two_are_not() {
    let once = Server::start(|_, n| if n == 0 { Reply::reset() } else { info() }).await;
    let main = Revision::main();
    assert!(hub(&once).resolve_revision(&repo(), &main).await.is_ok());
    let always = Server::start(|_, _| Reply::reset()).await;
    let error = revision_error(&always).await;
    assert_eq!(error.code(), FailureCode::Network, "{error}");
    assert_eq!(always.hits(), 2);
}

#[tokio::test]
async fn the_configured_proxy_is_used_and_its_password_is_not_told() {
    let proxy = Server::start(|_, _| info()).await;
    let mut options = options(Url::parse("http://hub.invalid").unwrap());
    options.proxy = Some(proxy.url());
    let main = Revision::main();
    let through = Hub::new(options.clone()).unwrap();
    assert!(through.resolve_revision(&repo(), &main).await.is_ok());
    assert!(proxy.seen()[0].target.starts_with("http://hub.invalid/"));

    let mut around = super::tests_kit::options(proxy.url());
    around.proxy = Some(Url::parse("http://127.0.0.1:9").unwrap());
    around.no_proxy = Some("localhost,127.0.0.1".to_owned());
    let around = Hub::new(around).unwrap();
    assert!(around.resolve_revision(&repo(), &main).await.is_ok());

    options.proxy = Some(Url::parse("http://me:topsecret@127.0.0.1:9").unwrap());
    let dead = Hub::new(options).unwrap();
    let error = dead.resolve_revision(&repo(), &main).await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
    assert_clean(&error);
    assert_clean(&dead);
}

#[tokio::test]
async fn pages_are_followed_by_relative_and_absolute_links() {
    let server = Server::start(|request, n| {
        let host = request.header("host").unwrap();
        let page = Reply::status(200);
        match n {
            0 => page
                .header("link", "</api/p2?cursor=a%3D>; rel=\"next\"")
                .body(format!("[{}]", file("c"))),
            1 => page
                .header("link", &format!("<http://{host}/api/p3>; rel=\"next\""))
                .body(format!("[{},{}]", file("a"), file("d/e"))),
            _ => page.body(r#"[{"type":"directory","path":"d","oid":"x","size":0}]"#),
        }
    })
    .await;
    let files = hub(&server).tree(&repo(), &commit()).await.unwrap();
    let paths: Vec<_> = files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["a", "c", "d/e"]);
    let targets: Vec<_> = server.seen().into_iter().map(|r| r.target).collect();
    let first = format!("/api/models/org/name/tree/{SHA}?recursive=true&expand=false");
    assert_eq!(targets, [first.as_str(), "/api/p2?cursor=a%3D", "/api/p3"]);
}

#[tokio::test]
async fn foreign_and_circular_pages_are_refused() {
    let elsewhere = Server::start(|_, _| Reply::json("[]")).await;
    let link = format!("<{}>; rel=\"next\"", elsewhere.at("/"));
    let foreign = Server::start(move |_, _| Reply::json("[]").header("link", &link)).await;
    assert_eq!(tree_error(&foreign).await.code(), FailureCode::BadMetadata);
    assert_eq!(elsewhere.hits(), 0);

    let circle = Server::start(|_, n| {
        Reply::status(200)
            .header("link", &format!("</p{}>; rel=\"next\"", n % 2))
            .body("[]")
    })
    .await;
    let error = tree_error(&circle).await;
    assert!(error.to_string().contains("circle"), "{error}");
    assert!(circle.hits() <= 4);
}

#[tokio::test]
async fn evil_names_are_refused_by_name() {
    for name in [
        "../x",
        "/x",
        "a/../../x",
        "C:\\x",
        "\\\\h\\s",
        "a\0b",
        "a\nb",
        "",
        ".",
        "a//b",
        &"x".repeat(256),
        &"y/".repeat(2500),
    ] {
        let error = tree_of(format!("[{},{}]", file("ok"), file(name)))
            .await
            .unwrap_err();
        assert_eq!(error.code(), FailureCode::UnsafePath, "{name:?}: {error}");
    }
    let error = tree_of(format!("[{}]", file("../victim.txt")))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("../victim.txt"), "{error}");
}

#[tokio::test]
async fn colliding_names_are_refused_and_awkward_ones_kept() {
    for names in [["a", "a"], ["a/b", "a"], ["x/y/z", "x/y"]] {
        let error = tree_of(format!("[{},{}]", file(names[0]), file(names[1])))
            .await
            .unwrap_err();
        assert_eq!(error.code(), FailureCode::UnsafePath, "{names:?}");
    }
    let folder = r#"{"type":"directory","path":"a","oid":"","size":0}"#;
    assert!(tree_of(format!("[{},{folder}]", file("a"))).await.is_err());
    let names = ["%41", "a#b?c", "a-b", "a/b", "ä ö"];
    let list: Vec<_> = names.iter().map(|name| file(name)).collect();
    assert_eq!(
        tree_of(format!("[{}]", list.join(","))).await.unwrap(),
        names
    );
}

#[tokio::test]
async fn entries_of_a_wrong_shape_are_refused() {
    let sha256 = "b".repeat(64);
    let with =
        |oid: &str, rest: &str| format!(r#"[{{"type":"file","path":"f","oid":"{oid}"{rest}}}]"#);
    for (body, code) in [
        (with("", ",\"size\":1"), FailureCode::BadMetadata),
        (with("../../x", ",\"size\":1"), FailureCode::UnsafePath),
        (
            with(&SHA.to_uppercase(), ",\"size\":1"),
            FailureCode::BadMetadata,
        ),
        (with(SHA, ""), FailureCode::BadMetadata),
        (with(SHA, ",\"size\":-1"), FailureCode::BadMetadata),
        (with(SHA, ",\"size\":1.5"), FailureCode::BadMetadata),
        (
            with(SHA, ",\"size\":18446744073709551615"),
            FailureCode::BadMetadata,
        ),
        (
            with(SHA, ",\"size\":1,\"size\":2"),
            FailureCode::BadMetadata,
        ),
        (
            with(SHA, ",\"size\":1,\"lfs\":{\"oid\":\"x\",\"size\":1}"),
            FailureCode::BadMetadata,
        ),
        (
            with(
                SHA,
                &format!(",\"size\":1,\"lfs\":{{\"oid\":\"{sha256}\",\"size\":2}}"),
            ),
            FailureCode::BadMetadata,
        ),
        (
            with(
                SHA,
                &format!(",\"size\":1,\"lfs\":{{\"oid\":\"{SHA}\",\"size\":1}}"),
            ),
            FailureCode::BadMetadata,
        ),
    ] {
        let error = tree_of(body.clone()).await.unwrap_err();
        assert_eq!(error.code(), code, "{body}: {error}");
    }
}

#[tokio::test]
async fn lfs_files_carry_their_sha256_and_xet_hash() {
    let (sha256, xet) = ("b".repeat(64), "c".repeat(64));
    let body = format!(
        r#"[{{"type":"file","path":"m","oid":"{SHA}","size":9007199254740993,"xetHash":"{xet}",
            "lfs":{{"oid":"{sha256}","size":9007199254740993,"pointerSize":135}},"lastCommit":{{}}}},
            {{"type":"file","path":"n","oid":"{SHA}","size":0,"xetHash":"../x"}},
            {{"type":"submodule","path":"../s"}}]"#
    );
    let server = Server::start(move |_, _| Reply::json(&body)).await;
    let files = anonymous(&server).tree(&repo(), &commit()).await.unwrap();
    assert_eq!(files.len(), 2);
    assert_eq!(files[0].digest, Digest::Sha256(sha256.into()));
    assert_eq!(files[0].size, 9_007_199_254_740_993);
    assert_eq!(files[0].xet_hash, Some(xet));
    assert_eq!(files[1].digest, Digest::GitSha1(SHA.into()));
    assert_eq!((files[1].size, &files[1].xet_hash), (0, &None));
    assert_eq!(server.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_token_that_cannot_stand_in_a_header_is_named_as_the_cause() {
    let server = Server::start(|_, _| info()).await;
    let mut options = options(server.url());
    options.tokens.given = crate::redact::Token::parse(&format!("{SECRET}\u{7f}"));
    let hub = Hub::new(options).unwrap();
    let error = hub.tree(&repo(), &commit()).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::TokenInvalid);
    assert_clean(&error);
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let long = Server::start(|_, _| info().header("x-long", &"x".repeat(2 << 20))).await;
    let many = Server::start(|_, _| {
        (0..10_000).fold(info(), |reply, n| {
            reply.header("set-cookie", &format!("a={n}"))
        })
    })
    .await;
    for server in [long, many] {
        let error = revision_error(&server).await;
        assert_eq!(error.code(), FailureCode::Network, "{error}");
    }
}
