//! Memory, speed and file limits hold.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::fixture::{Act, Scripted, Stage, content, wait_for};
use crate::domain::RangeSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_stops_the_network() {
    let mut stage = Stage::one(16 << 20, |_, _| {
        Act::Slow(16 << 10, Duration::from_millis(1))
    });
    stage.options.stall_timeout = Duration::from_secs(20);
    let (progress, owner) = (Arc::clone(&stage.progress), Arc::clone(&stage.owner));
    let given = Arc::clone(&stage.sources[0].given);
    let watch = tokio::task::spawn_blocking(move || {
        while progress.snapshot().written == 0 {
            std::thread::yield_now();
        }
        let gate = owner.gate.write().unwrap();
        let written = progress.snapshot().written;
        std::thread::park_timeout(Duration::from_millis(200));
        let received = given.load(Ordering::SeqCst);
        drop(gate);
        (written, received)
    });
    stage.succeed().await;
    let (written, received) = watch.await.unwrap();
    // Two buffers and one chunk for each of eight connections, and writes that the gate did not stop any more.
    let most = 8 * (3 * (64 << 10) + (16 << 10));
    assert!(received - written <= most, "{received} - {written}");
    assert!(
        written + most < 16 << 20,
        "the disk hung too late to show anything: {written}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_slow_to_finish_does_not_make_files_pile_up() {
    let source = |seed| Scripted::new(content(100, seed), |_, _| Act::Serve(100));
    let stage = Stage::new((0..1000).map(source).collect());
    let opened = || stage.owner.heard.lock().unwrap().opened.len();
    let held = stage.owner.finishing.write().await;
    let watch = async {
        let (mut before, mut since) = (0, Instant::now());
        // Until nothing more is opened for a while.
        wait_for(|| {
            if opened() != before {
                (before, since) = (opened(), Instant::now());
            }
            before > 0 && since.elapsed() > Duration::from_millis(300)
        })
        .await;
        drop(held);
        before
    };
    let (count, ()) = tokio::join!(watch, stage.succeed());
    // Those that wait, those whose turn it is, and a little ahead of eight connections.
    assert!((256..=256 + 64 + 4 * 8).contains(&count), "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_speed_limit_holds_over_all_connections() {
    let source = |seed| Scripted::new(content(300_000, seed), |_, _| Act::Serve(8_000));
    let stage = Stage::new((0..2).map(source).collect());
    stage.limiter.set_limit(Some(1_000_000));
    let start = Instant::now();
    stage.succeed().await;
    let seconds = start.elapsed().as_secs_f64();
    assert!((0.5..0.9).contains(&seconds), "{seconds}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_low_limit_is_no_reason_to_replace_streams() {
    let mut stage = Stage::one(200_000, |_, _| Act::Serve(50_000));
    stage.options.takeover_after = Duration::from_millis(20);
    stage.limiter.set_limit(Some(400_000));
    stage.succeed().await;
    assert!(stage.sources[0].opened.load(Ordering::SeqCst) < 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_files_are_opened_only_when_the_ones_before_have_nothing_to_give() {
    let source = |seed| {
        Scripted::new(content(2_000_000, seed), |_, _| {
            Act::Slow(50_000, Duration::from_millis(2))
        })
    };
    let mut stage = Stage::new((0..4).map(source).collect());
    stage.options.file_concurrency = 1;
    stage.options.max_connections = 2;
    let sources = stage.sources.clone();
    let owner = Arc::clone(&stage.owner);
    let watch = async move {
        while owner.heard.lock().unwrap().opened.len() < 2 {
            tokio::task::yield_now().await;
        }
        let asked = sources[0].asked.lock().unwrap().clone();
        asked.into_iter().collect::<RangeSet>().to_string()
    };
    let ((), asked) = tokio::join!(stage.succeed(), watch);
    assert_eq!(asked, "0-2000000");
    assert_eq!(stage.owner.heard.lock().unwrap().opened, [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_one_piece_use_all_connections_when_answers_are_late() {
    let source = |seed| {
        Scripted::new(content(60_000, seed), |_, _| {
            Act::Late(Duration::from_millis(40))
        })
    };
    let mut stage = Stage::new((0..64).map(source).collect());
    stage.options.file_concurrency = 2;
    let start = Instant::now();
    stage.succeed().await;
    // Two at a time would take 1.28 s, eight 0.32 s.
    assert!(
        start.elapsed() < Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_transfer_syncs_often_and_is_recorded_with_the_interval() {
    let slow = |_: usize, _: &std::ops::Range<u64>| Act::Slow(32 << 10, Duration::from_millis(1));
    let mut stage = Stage::one(8 << 20, slow);
    stage.options.writeback_bytes = 256 << 10;
    stage.options.checkpoint_interval = Duration::from_hours(1);
    stage.succeed().await;
    assert_eq!(stage.owner.heard.lock().unwrap().checkpoints, 0);
    let mut often = Stage::one(8 << 20, slow);
    often.options.checkpoint_interval = Duration::from_millis(1);
    often.succeed().await;
    assert!(often.owner.heard.lock().unwrap().checkpoints > 1);
}
