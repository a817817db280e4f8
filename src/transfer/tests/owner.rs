//! Owners that lock, fence, refuse, and watch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::fixture::{Act, Scripted, Stage, content};
use crate::domain::{Failure, FailureCode, RangeSet};
use crate::transfer::TransferError;

fn three() -> Stage {
    let source = |seed| Scripted::new(content(200_000, seed), |_, _| Act::Serve(20_000));
    Stage::new((0..3).map(source).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_somebody_else_finished_is_left_alone() {
    let stage = three();
    stage.owner.manners.lock().unwrap().present.push(1);
    stage.run().await.unwrap();
    assert_eq!(stage.owner.finished(), [0, 2]);
    assert_eq!(stage.sources[1].opened.load(Ordering::SeqCst), 0);
    assert_eq!(stage.progress.snapshot().files_finished, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_file_comes_last() {
    let stage = three();
    stage.owner.manners.lock().unwrap().locked.insert(0, 3);
    stage.succeed().await;
    assert_eq!(stage.owner.heard.lock().unwrap().finished.last(), Some(&0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_stays_locked_is_given_up_after_the_others_are_in() {
    let stage = three();
    stage
        .owner
        .manners
        .lock()
        .unwrap()
        .locked
        .insert(0, usize::MAX);
    let failure = stage.fail().await;
    assert_eq!(failure.code, FailureCode::CacheLocked);
    assert!(failure.message.contains("files/0.bin"));
    assert_eq!(stage.owner.finished(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_worker_writes_and_records_nothing_more() {
    let stage = Stage::one(4 << 20, |_, _| {
        Act::Slow(16 << 10, Duration::from_millis(1))
    });
    stage.owner.writes_left.store(10, Ordering::SeqCst);
    assert_eq!(stage.run().await, Err(TransferError::Fenced));
    let (written, recorded) = {
        let heard = stage.owner.heard.lock().unwrap();
        (stage.progress.snapshot().written, heard.recorded.clone())
    };
    assert!(written <= 10 * (64 << 10), "{written}");
    assert!(recorded.values().all(|ranges| ranges.len() <= written));
    assert!(stage.owner.finished().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_the_right_to_write_does_not_even_touch_the_length() {
    let stage = three();
    stage.owner.may_write.store(false, Ordering::SeqCst);
    std::fs::write(stage.owner.part(0), vec![0; 300_000]).unwrap();
    assert_eq!(stage.run().await, Err(TransferError::Fenced));
    let length = std::fs::metadata(stage.owner.part(0)).unwrap().len();
    assert_eq!(length, 300_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_lease_in_any_call_is_a_fence() {
    let lost = Failure::new(FailureCode::LeaseLost, "lost");
    let stage = Stage::one(4 << 20, |_, _| {
        Act::Slow(16 << 10, Duration::from_millis(2))
    });
    stage.owner.manners.lock().unwrap().checkpoint = Some(lost.clone());
    assert_eq!(stage.run().await, Err(TransferError::Fenced));
    assert_eq!(stage.owner.heard.lock().unwrap().checkpoints, 1);
    let stage = three();
    stage.owner.manners.lock().unwrap().finish = Some(lost);
    assert_eq!(stage.run().await, Err(TransferError::Fenced));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_refuses_to_finish_ends_the_run() {
    let stage = three();
    stage.owner.manners.lock().unwrap().finish = Some(Failure::new(FailureCode::Storage, "no"));
    assert_eq!(stage.fail().await.code, FailureCode::Storage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn received_bytes_are_recorded_while_the_stream_only_drips() {
    // A buffer would take 100 s to fill at this speed.
    let stage = Stage::one(20_000, |_, _| Act::Slow(10, Duration::from_millis(10)));
    let cancel = stage.cancel.clone();
    let owner = Arc::clone(&stage.owner);
    let watch = async move {
        let recorded = || {
            owner
                .heard
                .lock()
                .unwrap()
                .recorded
                .get(&0)
                .map_or(0, RangeSet::len)
        };
        let start = Instant::now();
        while recorded() < 100 {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "nothing was recorded"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(stage.run(), watch);
    assert_eq!(result, Err(TransferError::Cancelled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_never_go_down_even_when_a_file_is_fetched_again() {
    let stage = Stage::one(2 << 20, |request, _| {
        if request < 5 {
            Act::Flip(100)
        } else {
            Act::Slow(64 << 10, Duration::from_millis(1))
        }
    });
    stage.owner.strict.store(false, Ordering::SeqCst);
    let progress = Arc::clone(&stage.progress);
    let run = stage.succeed();
    tokio::pin!(run);
    let mut last = progress.snapshot();
    loop {
        tokio::select! {
            () = &mut run => break,
            () = tokio::time::sleep(Duration::from_millis(1)) => {
                let now = progress.snapshot();
                assert!(now.present >= last.present && now.received >= last.received);
                assert!(now.written >= last.written && now.files_finished >= last.files_finished);
                last = now;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_before_the_start_and_while_nothing_answers_returns_soon() {
    let stage = Stage::one(1_000_000, |_, _| Act::Late(Duration::from_mins(10)));
    let cancel = stage.cancel.clone();
    let start = Instant::now();
    let (result, ()) = tokio::join!(stage.run(), async move {
        tokio::time::sleep(Duration::from_millis(30)).await;
        cancel.cancel();
    });
    assert_eq!(result, Err(TransferError::Cancelled));
    assert!(
        start.elapsed() < Duration::from_millis(600),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(stage.run().await, Err(TransferError::Cancelled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_never_answers_does_not_hold_a_cancelled_run() {
    let stage = three();
    stage.owner.manners.lock().unwrap().silent = vec![1];
    let (cancel, owner) = (stage.cancel.clone(), Arc::clone(&stage.owner));
    let watch = async move {
        while owner.finished() != [0, 2] {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
        Instant::now()
    };
    let (result, at) = tokio::join!(stage.run(), watch);
    assert_eq!(result, Err(TransferError::Cancelled));
    assert!(at.elapsed() < Duration::from_millis(600));
}
