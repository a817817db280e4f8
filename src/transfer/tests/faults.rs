//! Sources that cut, stall, lie and refuse.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::fixture::{Act, Scripted, Stage, content};
use crate::domain::{Failure, FailureCode};
use crate::transfer::{SourceError, SourceErrorKind};

fn refusal(code: FailureCode, kind: SourceErrorKind) -> Act {
    Act::Fail(SourceError::new(kind, Failure::new(code, "refused")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_and_broken_bodies_are_continued_where_they_ended() {
    let stage = Stage::one(2_000_000, |request, range| match request % 3 {
        0 => Act::Cut((range.end - range.start) / 2 + 1),
        1 => Act::Break((range.end - range.start) / 3 + 1),
        _ => Act::Serve(5000),
    });
    stage.succeed().await;
    let snapshot = stage.progress.snapshot();
    assert_eq!(snapshot.written, 2_000_000);
    assert!(snapshot.received < 2_200_000, "{}", snapshot.received);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_gives_one_byte_at_a_time_still_makes_progress() {
    Stage::one(40, |_, _| Act::Cut(1)).succeed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_gives_more_than_crumbs_does_not_hold_the_run_for_ever() {
    let stage = Stage::one(10_000, |_, _| Act::Cut(1));
    let failure = stage.fail().await;
    assert_eq!(failure.code, FailureCode::Network);
    let written = stage.progress.snapshot().written;
    assert!((40..100).contains(&written), "{written} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_without_a_byte_are_counted_and_end_the_run() {
    let stage = Stage::one(10_000, |_, _| Act::Break(0));
    let failure = stage.fail().await;
    assert_eq!(failure.code, FailureCode::Network);
    assert_eq!(stage.sources[0].opened.load(Ordering::SeqCst), 5);
    let stage = Stage::one(10_000, |_, _| Act::Cut(0));
    assert_eq!(stage.fail().await.code, FailureCode::Network);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_stream_is_tried_again_and_at_last_reported() {
    let stage = Stage::one(500_000, |request, _| match request {
        0 | 2 => Act::Stall(1000),
        _ => Act::Serve(5000),
    });
    stage.succeed().await;
    let stage = Stage::one(10_000, |_, _| Act::Stall(0));
    let failure = stage.fail().await;
    assert_eq!(failure.code, FailureCode::Timeout);
    assert!(failure.message.contains("files/0.bin"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_empty_chunks_is_a_stall() {
    let stage = Stage::one(10_000, |_, _| Act::Empty);
    assert_eq!(stage.fail().await.code, FailureCode::Timeout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_beyond_the_range_are_not_taken() {
    let stage = Stage::one(1_000_000, |_, _| Act::TooMany);
    stage.succeed().await;
    assert_eq!(stage.progress.snapshot().written, 1_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_ranges_is_read_as_one_stream() {
    let stage = Stage::one(1_000_000, |_, _| Act::OnlyWhole);
    stage.succeed().await;
    let asked = stage.sources[0].asked.lock().unwrap().clone();
    assert_eq!(
        asked
            .iter()
            .filter(|range| **range == (0..1_000_000))
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_to_honour_ranges_midway_is_read_as_one_stream() {
    let cut = AtomicBool::new(false);
    let stage = Stage::one(3_000_000, move |request, range| match request {
        0..5 => Act::Serve(20_000),
        // The stream from 0 is cut once, behind what was there.
        _ if *range == (0..3_000_000) && !cut.swap(true, Ordering::SeqCst) => Act::Cut(2_900_000),
        _ => Act::OnlyWhole,
    });
    stage.succeed().await;
    assert_eq!(stage.progress.snapshot().written, 3_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_ignored_for_the_whole_file_is_a_failure() {
    let stage = Stage::one(100_000, |_, _| {
        refusal(FailureCode::BadResponse, SourceErrorKind::RangeIgnored)
    });
    assert_eq!(stage.fail().await.code, FailureCode::BadResponse);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_or_missing_file_ends_the_run_at_once() {
    for kind in [SourceErrorKind::Changed, SourceErrorKind::Permanent] {
        let stage = Stage::one(10_000, move |_, _| refusal(FailureCode::FileNotFound, kind));
        assert_eq!(stage.fail().await.code, FailureCode::FileNotFound);
        assert_eq!(stage.sources[0].opened.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_byte_is_fetched_again() {
    let stage = Stage::one(1_000_000, |request, _| {
        if request < 4 {
            Act::Flip(70_000)
        } else {
            Act::Serve(30_000)
        }
    });
    stage.owner.strict.store(false, Ordering::SeqCst);
    stage.succeed().await;
    let snapshot = stage.progress.snapshot();
    assert!(snapshot.received >= 2_000_000, "{}", snapshot.received);
    assert_eq!(snapshot.present, 1_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_that_is_wrong_each_time_is_reported_with_both_hashes_and_nothing_is_kept() {
    let stage = Stage::one(1_000_000, |_, _| Act::Flip(999_999));
    stage.owner.strict.store(false, Ordering::SeqCst);
    let failure = stage.fail().await;
    assert_eq!(failure.code, FailureCode::ChecksumMismatch);
    assert!(failure.message.contains(stage.tasks[0].digest.as_str()));
    assert!(failure.message.contains("hashes to "));
    let heard = stage.owner.heard.lock().unwrap();
    assert!(heard.finished.is_empty());
    assert!(
        heard.recorded[&0].is_empty(),
        "wrong bytes must not be resumed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_pause_that_the_server_asks_for_is_kept() {
    let pause = Duration::from_millis(250);
    let stage = Stage::one(10_000, move |request, _| match request {
        0 => Act::Fail(SourceError::new(
            SourceErrorKind::Transient,
            Failure::new(FailureCode::RateLimited, "429").with_retry_after(Some(pause)),
        )),
        _ => Act::Serve(1000),
    });
    let start = Instant::now();
    stage.succeed().await;
    assert!(start.elapsed() >= pause);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_pause_that_the_server_asks_for_ends_the_run() {
    let pause = Some(Duration::from_mins(2));
    let stage = Stage::one(10_000, move |_, _| {
        Act::Fail(SourceError::new(
            SourceErrorKind::Transient,
            Failure::new(FailureCode::RateLimited, "429").with_retry_after(pause),
        ))
    });
    let failure = stage.fail().await;
    assert_eq!(
        (failure.code, failure.retry_after),
        (FailureCode::RateLimited, pause)
    );
    assert_eq!(stage.sources[0].opened.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_many_connections_gets_few() {
    let stage = Stage::one(1_000_000, |request, _| match request {
        1..4 => refusal(FailureCode::RateLimited, SourceErrorKind::Transient),
        _ => Act::Slow(16 << 10, Duration::from_millis(2)),
    });
    stage.succeed().await;
    assert!(stage.sources[0].most_open.load(Ordering::SeqCst) <= 4);
}

#[derive(Debug, Clone)]
struct Mess(Vec<u8>);

impl Mess {
    fn act(&self, request: usize, length: u64) -> Act {
        let dice = self.0[request % self.0.len()];
        let some = u64::from(dice) * length / 256 + 1;
        match (request < 40, dice % 7) {
            (true, 0) => Act::Cut(some),
            (true, 1) => Act::Break(some),
            (true, 2) => Act::TooMany,
            (true, 3) => Act::Late(Duration::from_millis(u64::from(dice) / 16)),
            (_, 4) => Act::Slow(20_000, Duration::from_millis(1)),
            _ => Act::Serve(1 + usize::from(dice) * 300),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_mixture_of_faults_ends_with_the_right_content(
        dice in prop::collection::vec(any::<u8>(), 1..40),
        sizes in prop::collection::vec(0usize..900_000, 1..5),
        connections in 1usize..9,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2).enable_all().build().unwrap();
        let source = |(seed, size): (usize, &usize)| {
            let mess = Mess(dice.clone());
            Scripted::new(content(*size, seed as u64), move |request, range| {
                mess.act(request + seed, range.end - range.start)
            })
        };
        let mut stage = Stage::new(sizes.iter().enumerate().map(source).collect());
        stage.options.max_connections = connections;
        runtime.block_on(stage.succeed());
        let total: u64 = stage.tasks.iter().map(|task| task.size).sum();
        prop_assert_eq!(stage.progress.snapshot().written, total);
    }
}
