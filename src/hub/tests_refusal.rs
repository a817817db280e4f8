//! Every way in which the hub says no, and what people are told.

use super::tests_kit::{
    Reply, SECRET, Server, anonymous, assert_clean, commit, hub, impatient, planned, repo,
};
use crate::domain::{Failure, FailureCode, Revision};

#[derive(Debug, Clone, Copy)]
enum Call {
    Revision,
    Tree,
    File,
}

async fn refused(
    call: Call,
    with_token: bool,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> Failure {
    let server = Server::start(move |_, _| {
        headers
            .iter()
            .fold(Reply::status(status), |reply, (name, value)| {
                reply.header(name, value)
            })
            .body(body)
    })
    .await;
    let hub = if with_token {
        hub(&server)
    } else {
        anonymous(&server)
    };
    let failure = match call {
        Call::Revision => {
            let main = Revision::main();
            let error = hub.resolve_revision(&repo(), &main).await.unwrap_err();
            error.failure()
        }
        Call::Tree => hub.tree(&repo(), &commit()).await.unwrap_err().failure(),
        Call::File => {
            let file = planned(10);
            let reader = hub.reader(&repo(), &commit(), &file);
            reader.open(0..5).await.unwrap_err().failure(&file.path)
        }
    };
    assert_eq!(server.hits(), 1, "a refusal is not asked for twice");
    assert_clean(&failure);
    failure
}

#[tokio::test]
async fn the_hubs_error_codes_decide() {
    use Call::{File, Revision, Tree};
    use FailureCode as Code;
    for (call, token, status, code, expected) in [
        (Revision, true, 404, "RepoNotFound", Code::RepoNotFound),
        (Revision, false, 401, "RepoNotFound", Code::RepoNotFound),
        (
            Revision,
            true,
            404,
            "RevisionNotFound",
            Code::RevisionNotFound,
        ),
        (Tree, true, 404, "RevisionNotFound", Code::RevisionNotFound),
        (File, true, 404, "EntryNotFound", Code::FileNotFound),
        (File, true, 404, "RevisionNotFound", Code::RevisionNotFound),
        (File, true, 403, "GatedRepo", Code::Gated),
        (File, false, 401, "GatedRepo", Code::TokenMissing),
        (Tree, true, 403, "GatedRepo", Code::Gated),
    ] {
        let headers: &'static [(&str, &str)] = Box::leak(Box::new([("x-error-code", code)]));
        let failure = refused(call, token, status, headers, "").await;
        assert_eq!(failure.code, expected, "{call:?} {code}: {failure}");
        assert!(!failure.code.is_retryable());
        assert!(failure.remedy.is_some(), "{failure}");
    }
}

#[tokio::test]
async fn without_a_code_the_status_is_read_against_the_question() {
    use Call::{File, Revision, Tree};
    use FailureCode as Code;
    for (call, token, status, expected) in [
        (Revision, false, 401, Code::RepoNotFound),
        (Revision, true, 401, Code::RepoNotFound),
        (Revision, true, 403, Code::Forbidden),
        (Revision, true, 404, Code::RepoNotFound),
        (Tree, true, 404, Code::RevisionNotFound),
        (File, true, 404, Code::FileNotFound),
        (Revision, true, 410, Code::RepoNotFound),
        (Revision, true, 451, Code::RepoDisabled),
        (Revision, true, 400, Code::BadResponse),
        (File, true, 400, Code::BadResponse),
        (Revision, true, 408, Code::ServerError),
        (Revision, true, 500, Code::ServerError),
        (Revision, true, 501, Code::NotSupported),
        (Tree, true, 505, Code::NotSupported),
        (Tree, true, 502, Code::ServerError),
        (File, true, 503, Code::ServerError),
        (Revision, true, 504, Code::ServerError),
        (Revision, true, 429, Code::RateLimited),
        (Revision, true, 407, Code::HubUnreachable),
        (Revision, true, 304, Code::BadResponse),
    ] {
        let failure = refused(call, token, status, &[], "").await;
        assert_eq!(failure.code, expected, "{call:?} {status}: {failure}");
    }
}

#[tokio::test]
async fn the_sentence_says_what_to_do() {
    let private = refused(Call::Revision, false, 401, &[], "").await;
    for word in ["org/name", "does not exist", "private", "no token was sent"] {
        assert!(private.message.contains(word), "{private}");
    }
    assert!(private.remedy.unwrap().contains("HF_TOKEN"));

    let gated = &[("x-error-code", "GatedRepo")];
    let gated = refused(Call::Tree, true, 403, gated, "").await;
    let remedy = gated.remedy.unwrap();
    assert!(
        remedy.starts_with("accept the conditions at http://127.0.0.1:"),
        "{remedy}"
    );
    assert!(remedy.contains("/org/name"), "{remedy}");

    let wrong = &[(
        "x-error-message",
        "Invalid credentials in Authorization header",
    )];
    let wrong = refused(Call::File, true, 401, wrong, "").await;
    assert_eq!(wrong.code, FailureCode::TokenInvalid);

    let closed = &[("x-error-message", "Access to this resource is disabled.")];
    let closed = refused(Call::Tree, true, 403, closed, "").await;
    assert_eq!(closed.code, FailureCode::RepoDisabled);

    let forbidden = r#"{"error":"Your token lacks read access"}"#;
    let forbidden = refused(Call::Tree, true, 403, &[], forbidden).await;
    assert!(
        forbidden.message.contains("lacks read access"),
        "{forbidden}"
    );
}

#[tokio::test]
async fn the_hubs_words_never_repeat_a_secret() {
    let leaks: [&'static [(&str, &str)]; 2] = [
        &[("x-error-message", "bad token hf_secret")],
        &[(
            "x-error-message",
            "see https://cdn/x?X-Amz-Signature=topsecret",
        )],
    ];
    for headers in leaks {
        let failure = refused(Call::Tree, true, 403, headers, "").await;
        assert_eq!(failure.code, FailureCode::Forbidden);
    }
    assert_eq!(SECRET, "hf_secret");
}

#[tokio::test]
async fn a_web_page_is_no_refusal() {
    let html = &[("content-type", "text/html; charset=utf-8")];
    for call in [Call::Revision, Call::Tree, Call::File] {
        for status in [401, 403, 404, 410] {
            let failure = refused(call, true, status, html, "<html>").await;
            assert_eq!(failure.code, FailureCode::NotAHub, "{call:?} {status}");
            assert!(failure.code.is_retryable());
        }
    }
    let portal = refused(Call::File, true, 200, html, "<html>log in</html>").await;
    assert_eq!(portal.code, FailureCode::NotAHub);
}

#[tokio::test]
async fn the_asked_pause_reaches_the_failure() {
    type Headers = &'static [(&'static str, &'static str)];
    let rows: [(u16, Headers, Option<u64>); 7] = [
        (429, &[("retry-after", "5")], Some(5)),
        (
            429,
            &[("retry-after", "Sun, 22 Nov 2026 10:00:30 GMT")],
            Some(30),
        ),
        (429, &[("retry-after", "999999999")], Some(900)),
        (429, &[("retry-after", "junk")], None),
        (429, &[("ratelimit", "\"api\";r=0;t=55")], Some(56)),
        (503, &[("retry-after", "7")], Some(7)),
        (429, &[], None),
    ];
    for (status, headers, seconds) in rows {
        for call in [Call::Revision, Call::File] {
            let failure = refused(call, true, status, headers, "").await;
            assert_eq!(failure.code, FailureCode::RateLimited, "{headers:?}");
            let asked = failure.retry_after.map(|pause| pause.as_secs());
            assert_eq!(asked, seconds, "{headers:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_whose_words_never_come_is_still_understood() {
    let server = Server::start(|_, _| {
        Reply::status(404)
            .header("x-error-code", "RepoNotFound")
            .header("content-length", "100")
            .then_hang()
    })
    .await;
    let asked = impatient(&server);
    let error = asked.tree(&repo(), &commit()).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::RepoNotFound);
}
