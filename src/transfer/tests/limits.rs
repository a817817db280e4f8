//! Memory, speed and file limits hold.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::fixture::{Act, Scripted, Stage, content};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_stops_the_network() {
    let mut stage = Stage::one(16 << 20, |_, _| Act::Serve(16 << 10));
    stage.options.stall_timeout = Duration::from_secs(20);
    stage.options.disk_threads = 2;
    let owner = Arc::clone(&stage.owner);
    let given = Arc::clone(&stage.sources[0].given);
    let (release, hang) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let _gate = owner.gate.write().unwrap();
        // Ends when the other side is dropped.
        drop(hang.recv());
    });
    let watch = async move {
        let start = Instant::now();
        while given.load(Ordering::SeqCst) < 64 << 10 {
            assert!(start.elapsed() < Duration::from_secs(10));
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        let received = given.load(Ordering::SeqCst);
        drop(release);
        received
    };
    let ((), received) = tokio::join!(stage.succeed(), watch);
    holder.join().unwrap();
    // Two buffers and one chunk for each of eight connections.
    assert!(received <= 8 * (2 * (64 << 10) + (16 << 10)), "{received}");
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
async fn only_so_many_big_files_are_open_at_once() {
    let source = |seed| {
        Scripted::new(content(300_000, seed), |_, _| {
            Act::Slow(50_000, Duration::from_millis(2))
        })
    };
    let mut stage = Stage::new((0..6).map(source).collect());
    stage.options.file_concurrency = 1;
    stage.succeed().await;
    let heard = stage.owner.heard.lock().unwrap();
    assert_eq!(heard.opened, [0, 1, 2, 3, 4, 5]);
    assert_eq!(heard.finished, [0, 1, 2, 3, 4, 5]);
}
