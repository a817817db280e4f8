//! One address for many connections, and a new one when it expires.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::fetch_error::FetchError;
use super::tests_kit::{Reply, SIGNATURE, Server, assert_clean, commit, hub, planned, repo};
use super::{Hub, RangeReader};
use crate::domain::FailureCode;

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

fn reader(hub: &Hub) -> RangeReader {
    hub.reader(&repo(), &commit(), &planned(CONTENT.len()))
}

/// A hub that signs a new address each time: `/0?…`, `/1?…`.
async fn signing(place: &Server) -> Server {
    let at = place.at("/");
    Server::start(move |_, n| Reply::redirect(302, &format!("{at}{n}?{SIGNATURE}"))).await
}

#[tokio::test]
async fn connections_that_start_together_ask_the_hub_once() {
    let place = Server::start(|request, _| Reply::range(request, CONTENT)).await;
    let gate = Arc::new(Semaphore::new(0));
    let (target, held) = (place.at("/x"), Arc::clone(&gate));
    let server = Server::start(move |_, _| Reply::redirect(302, &target).gated(&held)).await;
    let reader = reader(&hub(&server));
    let mut tasks = JoinSet::new();
    for start in 0..16 {
        let reader = reader.clone();
        // Also proves that the futures may move between threads.
        tasks.spawn(async move { reader.open(start..start + 2).await.map(drop) });
    }
    gate.add_permits(16);
    for result in tasks.join_all().await {
        result.unwrap();
    }
    assert_eq!((server.hits(), place.hits()), (1, 16));
}

#[tokio::test]
async fn connections_that_wait_for_a_refusal_share_it() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let server = Server::start(move |_, _| {
        Reply::status(403)
            .header("x-error-code", "GatedRepo")
            .body("")
            .gated(&held)
    })
    .await;
    let reader = reader(&hub(&server));
    let opens = join_all((0..8).map(|start| reader.open(start..start + 1)));
    gate.add_permits(8);
    for result in opens.await {
        assert_eq!(result.unwrap_err().code(), FailureCode::Gated);
    }
    assert_eq!(server.hits(), 1);
    // Who comes later asks anew.
    reader.open(0..1).await.unwrap_err();
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn an_expired_address_is_renewed_through_the_hub() {
    for status in [400, 401, 403, 404, 410] {
        let place = Server::start(move |request, n| {
            if request.target.starts_with("/0") && n > 0 {
                Reply::status(status).body("<Error>expired</Error>")
            } else {
                Reply::range(request, CONTENT)
            }
        })
        .await;
        let server = signing(&place).await;
        let reader = reader(&hub(&server));
        reader.open(0..5).await.unwrap();
        let mut body = reader.open(5..10).await.unwrap();
        assert_eq!(body.next().await.unwrap().unwrap(), &b"56789"[..]);
        assert_eq!((server.hits(), place.hits()), (2, 3), "{status}");
    }
}

#[tokio::test]
async fn an_address_that_never_works_is_renewed_three_times() {
    let place = Server::start(|_, _| Reply::status(403).body("")).await;
    let server = signing(&place).await;
    let reader = reader(&hub(&server));
    let error = reader.open(0..5).await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Status { status: 403, .. }),
        "{error}"
    );
    assert!(error.code().is_retryable(), "the hub did not refuse");
    assert_clean(&error);
    assert_eq!((server.hits(), place.hits()), (4, 4));
    // The reader is worn out: an attempt does not go round in circles.
    reader.open(0..5).await.unwrap_err();
    assert_eq!(server.hits(), 4);
}

#[tokio::test]
async fn many_connections_together_renew_three_times() {
    let place = Server::start(|_, _| Reply::status(403).body("")).await;
    let server = signing(&place).await;
    let reader = reader(&hub(&server));
    for result in join_all((0..12).map(|at| reader.open(at..at + 1))).await {
        assert!(result.is_err());
    }
    assert_eq!(server.hits(), 4);
}

#[tokio::test]
async fn bytes_between_two_expiries_reset_the_count() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    // Every address is good for one request.
    let place = Server::start(move |request, n| {
        if n % 2 == 0 {
            count.fetch_add(1, Ordering::SeqCst);
            Reply::range(request, CONTENT)
        } else {
            Reply::status(403).body("")
        }
    })
    .await;
    let server = signing(&place).await;
    let reader = reader(&hub(&server));
    for at in 0..12 {
        let mut body = reader.open(at..at + 1).await.unwrap();
        assert!(body.next().await.unwrap().is_some());
    }
    assert_eq!(served.load(Ordering::SeqCst), 12);
    assert_eq!(server.hits(), 12);
}

#[tokio::test]
async fn a_repository_that_was_closed_meanwhile_is_the_hubs_word() {
    let place = Server::start(|request, n| match n {
        0 => Reply::range(request, CONTENT),
        _ => Reply::status(403).body(""),
    })
    .await;
    let target = place.at("/x");
    let server = Server::start(move |_, n| match n {
        0 => Reply::redirect(302, &target),
        _ => Reply::status(403)
            .header("x-error-code", "GatedRepo")
            .body(""),
    })
    .await;
    let reader = reader(&hub(&server));
    reader.open(0..5).await.unwrap();
    let error = reader.open(5..9).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::Gated, "{error}");
}

#[tokio::test]
async fn a_cancelled_question_leaves_the_way_free() {
    let place = Server::start(|request, _| Reply::range(request, CONTENT)).await;
    let target = place.at("/x");
    let server = Server::start(move |_, n| match n {
        0 => Reply::silence(),
        _ => Reply::redirect(302, &target),
    })
    .await;
    let reader = reader(&hub(&server));
    {
        let first = reader.open(0..5);
        tokio::pin!(first);
        while server.hits() == 0 {
            tokio::select! {
                biased;
                result = &mut first => panic!("{result:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    assert!(reader.open(0..5).await.is_ok());
}

#[tokio::test]
async fn another_connections_bytes_do_not_renew_for_ever() {
    // Each refusal lets another byte of the first range through.
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let place = Server::start(move |request, _| {
        if request.range() == (0, 35) {
            let head = Reply::status(206)
                .header("content-range", "bytes 0-35/36")
                .header("content-length", "36");
            CONTENT
                .iter()
                .fold(head.part(""), |reply, byte| reply.wait(&held).part([*byte]))
        } else {
            held.add_permits(1);
            Reply::status(403).body("")
        }
    })
    .await;
    let server = signing(&place).await;
    let reader = reader(&hub(&server));
    let mut body = reader.open(0..36).await.unwrap();
    let flow = async { while let Ok(Some(_)) = body.next().await {} };
    let open = async {
        let result = reader.open(20..30).await;
        gate.add_permits(36);
        result.unwrap_err()
    };
    let (error, ()) = tokio::join!(open, flow);
    assert!(
        matches!(error, FetchError::Status { status: 403, .. }),
        "{error}"
    );
    assert_eq!(server.hits(), 4);
}
