//! What was here before is used, checked, and not fetched again.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;

use super::super::hasher::ContentHasher;
use super::fixture::{Act, Scripted, Stage, content, wait_for};
use crate::domain::{Digest, RangeSet};
use crate::transfer::TransferError;

/// Puts the true bytes of `have` on disk and claims them.
fn seed(stage: &Stage, size: usize, have: &RangeSet) {
    let bytes = content(size, 1);
    let file = std::fs::File::create(stage.owner.part(0)).unwrap();
    for range in have.iter() {
        let (from, to) = (
            range.start.try_into().unwrap(),
            range.end.try_into().unwrap(),
        );
        file.write_all_at(&bytes[from..to], range.start).unwrap();
    }
    stage
        .owner
        .manners
        .lock()
        .unwrap()
        .have
        .insert(0, have.clone());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn only_what_is_missing_is_fetched(
        ranges in prop::collection::vec((0u64..600_000, 1u64..200_000), 0..6),
    ) {
        let size = 600_000;
        let have: RangeSet = ranges.into_iter().map(|(at, len)| at..at + len).collect();
        let have = have.clipped(size as u64);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2).enable_all().build().unwrap();
        let stage = Stage::one(size, |_, _| Act::Serve(10_000));
        seed(&stage, size, &have);
        runtime.block_on(stage.succeed());
        let snapshot = stage.progress.snapshot();
        prop_assert_eq!(snapshot.written, size as u64 - have.len());
        prop_assert_eq!(snapshot.reused, have.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_whole_needs_no_request() {
    let stage = Stage::one(1_000_000, |_, _| Act::Serve(1));
    seed(&stage, 1_000_000, &"0-1000000".parse().unwrap());
    stage.succeed().await;
    assert_eq!(stage.sources[0].opened.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_not_true_is_found_out_and_fetched_again() {
    let stage = Stage::one(1_000_000, |_, _| Act::Serve(20_000));
    stage.owner.strict.store(false, Ordering::SeqCst);
    seed(&stage, 1_000_000, &"0-700000".parse().unwrap());
    let file = std::fs::File::options()
        .write(true)
        .open(stage.owner.part(0))
        .unwrap();
    file.write_all_at(&[0; 5000], 300_000).unwrap();
    stage.succeed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_beyond_the_end_of_the_part_are_dropped() {
    // The machine lost power: the row survived, the data did not.
    let stage = Stage::one(1_000_000, |_, _| Act::Serve(20_000));
    seed(&stage, 1_000_000, &"0-200000".parse().unwrap());
    stage
        .owner
        .manners
        .lock()
        .unwrap()
        .have
        .insert(0, "0-900000".parse().unwrap());
    stage.succeed().await;
    assert_eq!(stage.progress.snapshot().written, 800_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_mark_costs_another_look_but_no_byte() {
    let size = 1_000_000;
    let stage = Stage::one(size, |_, _| Act::Serve(20_000));
    seed(&stage, size, &"0-700000".parse().unwrap());
    let kind = Digest::Sha256(Arc::default());
    let mut other = ContentHasher::new(&kind, size as u64);
    other.update(&vec![7; 500_000]);
    let mark = other.mark(500_000).unwrap();
    stage.owner.manners.lock().unwrap().hash.insert(0, mark);
    stage.succeed().await;
    assert_eq!(stage.progress.snapshot().written, 300_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_noted_long_before_it_is_recorded() {
    let size = 16 << 20;
    let mut stage = Stage::one(size, |request, _| {
        if request < 60 {
            Act::Serve(64 << 10)
        } else {
            Act::Late(Duration::from_mins(10))
        }
    });
    stage.options.checkpoint_interval = Duration::from_mins(10);
    stage.options.takeover_after = Duration::from_mins(10);
    stage.options.stall_timeout = Duration::from_mins(10);
    let (cancel, owner) = (stage.cancel.clone(), Arc::clone(&stage.owner));
    let watch = async move {
        let noted = || {
            let heard = owner.heard.lock().unwrap();
            heard.noted.get(&0).cloned().unwrap_or_default()
        };
        wait_for(|| noted().ranges.len() > 8 << 20).await;
        // Its hash is close behind.
        assert!(noted().hash.is_some());
        assert!(owner.heard.lock().unwrap().recorded.is_empty());
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(stage.run(), watch);
    assert_eq!(result, Err(TransferError::Cancelled));
    // The last checkpoint carries a mark with which the next run goes on.
    let mark = stage.owner.heard.lock().unwrap().marks.remove(&0).unwrap();
    stage.resumed();
    stage.owner.manners.lock().unwrap().hash.insert(0, mark);
    let again = Stage {
        cancel: tokio_util::sync::CancellationToken::new(),
        sources: vec![Scripted::new(content(size, 1), |_, _| Act::Serve(64 << 10))],
        ..stage
    };
    let again = again.with_sources();
    again.succeed().await;
    assert_eq!(again.progress.snapshot().written, size as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_too_long_is_cut_and_one_of_zeros_is_not_complete() {
    let stage = Stage::one(300_000, |_, _| Act::Serve(20_000));
    std::fs::File::create(stage.owner.part(0))
        .unwrap()
        .set_len(400_000)
        .unwrap();
    stage.succeed().await;
    assert_eq!(stage.progress.snapshot().written, 300_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_goes_on_where_it_was() {
    let size = 4 << 20;
    let stage = Stage::one(size, |_, _| Act::Slow(16 << 10, Duration::from_millis(5)));
    let progress = Arc::clone(&stage.progress);
    let cancel = stage.cancel.clone();
    let canceller = async {
        while progress.snapshot().written < 1 << 20 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
        std::time::Instant::now()
    };
    let (result, at) = tokio::join!(stage.run(), canceller);
    assert_eq!(result, Err(TransferError::Cancelled));
    assert!(
        at.elapsed() < Duration::from_millis(600),
        "{:?}",
        at.elapsed()
    );
    assert_eq!(stage.sources[0].now_open.load(Ordering::SeqCst), 0);
    let first = stage.progress.snapshot();
    let recorded = stage.owner.heard.lock().unwrap().recorded[&0].len();
    // Nothing that was received is lost, except chunks that nobody wanted after a split.
    assert_eq!(recorded, first.written);
    assert!(
        first.received - recorded < 256 << 10,
        "{first:?} {recorded}"
    );
    stage.resumed();
    let again = Stage {
        cancel: tokio_util::sync::CancellationToken::new(),
        ..stage
    };
    again.succeed().await;
    assert_eq!(again.progress.snapshot().written, size as u64);
}
