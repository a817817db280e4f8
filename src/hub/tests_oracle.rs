//! The `hf-hub` crate as a second opinion: on ordinary answers both read the same.
//!
//! It runs with our client, without retries and without a cache, so that it writes nothing.

use hf_hub::{HFClient, HFError};

use super::direct::tls;
use super::http::client;
use super::tests_kit::{PATIENCE, Reply, SECRET, SHA, Server, hub, repo};
use crate::domain::{FailureCode, Revision};

fn oracle(server: &Server) -> HFClient {
    HFClient::builder()
        .endpoint(server.url().as_str())
        .token(SECRET)
        .client(client(PATIENCE, tls().unwrap(), None, None).unwrap())
        .cache_enabled(false)
        .retry_max_attempts(0)
        .build()
        .unwrap()
}

#[tokio::test]
async fn both_ask_the_same_and_read_the_same() {
    let server = Server::start(|_, _| {
        Reply::json(&format!(
            r#"{{"id":"org/name","sha":"{SHA}","private":false,"gated":"manual","disabled":false}}"#
        ))
    })
    .await;
    let theirs = oracle(&server)
        .model("org", "name")
        .info()
        .revision("feature/x")
        .send()
        .await
        .unwrap();
    let ours = hub(&server)
        .resolve_revision(&repo(), &"feature/x".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(theirs.sha.as_deref(), Some(ours.commit.as_str()));
    assert_eq!(theirs.private, Some(ours.private));
    assert_eq!(theirs.gated.is_some_and(|g| g != false), ours.gated);
    let seen = server.seen();
    assert_eq!(seen[0].target, seen[1].target);
    assert_eq!(
        seen[0].header("authorization"),
        seen[1].header("authorization")
    );
}

#[tokio::test]
async fn both_name_the_same_causes() {
    for (status, code) in [(404, "RevisionNotFound"), (429, ""), (403, "")] {
        let server =
            Server::start(move |_, _| Reply::status(status).header("x-error-code", code).body(""))
                .await;
        let theirs = oracle(&server)
            .model("org", "name")
            .info()
            .revision("main")
            .send()
            .await
            .unwrap_err();
        let theirs = match theirs {
            HFError::RevisionNotFound { .. } => FailureCode::RevisionNotFound,
            HFError::RateLimited { .. } => FailureCode::RateLimited,
            HFError::Forbidden { .. } => FailureCode::Forbidden,
            other => panic!("{other}"),
        };
        let main = Revision::main();
        let ours = hub(&server)
            .resolve_revision(&repo(), &main)
            .await
            .unwrap_err();
        assert_eq!(ours.code(), theirs, "{status} {code}");
    }
}

#[tokio::test]
async fn a_missing_repository_is_told_from_a_missing_revision_only_by_us() {
    let server = Server::start(|_, _| {
        Reply::status(404)
            .header("x-error-code", "RepoNotFound")
            .body("")
    })
    .await;
    let theirs = oracle(&server)
        .model("org", "name")
        .info()
        .revision("main")
        .send()
        .await;
    assert!(matches!(theirs, Err(HFError::RevisionNotFound { .. })));
    let main = Revision::main();
    let ours = hub(&server).resolve_revision(&repo(), &main).await;
    assert_eq!(ours.unwrap_err().code(), FailureCode::RepoNotFound);
}
