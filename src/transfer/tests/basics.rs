//! Files of all sizes come in whole, over several connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::{FileTask, Options};
use super::fixture::{Act, Scripted, Stage, content};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_size_around_the_borders_comes_in_whole() {
    let piece = 256 << 10;
    let buffer = 64 << 10;
    let small = 32 << 10;
    let mut sizes = vec![0, 1, 2, 4095, 4097, 3_000_017, 5 << 20];
    for border in [small, buffer, piece, 2 * piece, 5 * piece] {
        sizes.extend([border - 1, border, border + 1]);
    }
    let source = |(seed, size): (usize, &usize)| {
        Scripted::new(content(*size, seed as u64 + 1), move |_, _| {
            Act::Serve(1 + seed * 7919)
        })
    };
    let stage = Stage::new(sizes.iter().enumerate().map(source).collect());
    stage.succeed().await;
    assert_eq!(
        stage.sources[0].opened.load(Ordering::SeqCst),
        0,
        "an empty file needs no request"
    );
    assert_eq!(stage.sources[1].opened.load(Ordering::SeqCst), 1);
    let snapshot = stage.progress.snapshot();
    assert_eq!(snapshot.received, snapshot.written);
    assert!(snapshot.current_file.is_some() && snapshot.last_byte.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_to_do_is_done() {
    Stage::new(Vec::new()).succeed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_big_file_comes_over_several_connections_but_never_too_many() {
    let mut stage = Stage::one(6 << 20, |_, _| {
        Act::Slow(16 << 10, Duration::from_millis(2))
    });
    stage.options.max_connections = 6;
    stage.options.initial_connections = 2;
    stage.succeed().await;
    let most = stage.sources[0].most_open.load(Ordering::SeqCst);
    assert!((3..=6).contains(&most), "{most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_never_leaves_the_file_and_none_is_made_twice() {
    let stage = Stage::one(3_333_333, |_, _| Act::Serve(10_000));
    stage.succeed().await;
    let received = stage.progress.snapshot().received;
    // Split pieces may have had a chunk on the way that nobody wants.
    assert!(received < 3_333_333 + 200_000, "{received}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_files_share_the_connections() {
    let source = |seed| {
        Scripted::new(content(5000, seed), |_, _| {
            Act::Late(Duration::from_millis(10))
        })
    };
    let mut stage = Stage::new((0..200).map(source).collect());
    stage.options.max_connections = 16;
    let start = std::time::Instant::now();
    stage.succeed().await;
    // One after the other they would take 2 s.
    assert!(
        start.elapsed() < Duration::from_millis(1200),
        "{:?}",
        start.elapsed()
    );
    assert!(stage.owner.heard.lock().unwrap().finish_calls < 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_serve_small_files_and_fewer_a_big_one() {
    let stage = Stage::new(vec![Scripted::new(content(5000, 1), |_, _| {
        Act::Serve(10_000)
    })]);
    let task = |size| FileTask {
        size,
        ..stage.tasks[0].clone()
    };
    let (small, big) = (task(5000), task(1 << 30));
    for (allowed, with_big) in [(1, 1), (16, 16), (32, 18), (50, 18), (64, 21)] {
        let options = Arc::new(Options {
            max_connections: allowed,
            ..Options::default()
        });
        let most = |files: &[FileTask]| options.for_run(files).max_connections;
        assert_eq!(most(&[small.clone(), small.clone()]), allowed);
        assert_eq!(most(&[small.clone(), big.clone()]), with_big);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_connection_at_the_end_is_helped() {
    let mut stage = Stage::one(1 << 20, |request, _| match request {
        0 => Act::Slow(2 << 10, Duration::from_millis(20)),
        _ => Act::Serve(16 << 10),
    });
    stage.options.initial_connections = 4;
    let start = std::time::Instant::now();
    stage.succeed().await;
    // Alone, the slow connection would need over two seconds for its piece.
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
}
