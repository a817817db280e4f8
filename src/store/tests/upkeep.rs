//! Pruning, the WAL, probes.

use std::time::{Duration, Instant};

use sqlx::Executor as _;

use super::{BACKOFF, Bench, at};
use crate::domain::{Failure, FailureCode};
use crate::store::settings::Settings;
use crate::store::{ProgressUpdate, StoreError};

#[tokio::test]
async fn the_wal_stays_small_over_many_small_writes() {
    let bench = Bench::new().await;
    let claimed = bench.running("a").await;
    let wal = bench.folder.path().join("m.db-wal");
    let mut largest = 0;
    // Durability is tested elsewhere; without the syncs the same pages are written.
    sqlx::query("PRAGMA synchronous = OFF")
        .execute(bench.store.writer().pool())
        .await
        .unwrap();
    for n in 0..20_000u64 {
        let update = ProgressUpdate {
            bytes_done: n,
            ..ProgressUpdate::default()
        };
        bench
            .store
            .progress(claimed.claim, &update, &[], at(2))
            .await
            .unwrap();
        if n % 100 == 0 {
            largest = largest.max(std::fs::metadata(&wal).unwrap().len());
        }
    }
    assert!(largest < 8 << 20, "{largest} bytes");
    assert!(bench.store.checkpoint_wal().await.unwrap());
    assert_eq!(std::fs::metadata(&wal).unwrap().len(), 0);
}

#[tokio::test]
async fn a_commit_of_another_connection_changes_the_version() {
    let bench = Bench::new().await;
    let before = bench.store.version().await.unwrap();
    assert_eq!(bench.store.version().await.unwrap(), before);
    bench
        .shell()
        .await
        .execute("UPDATE settings SET paused = 1")
        .await
        .unwrap();
    let edited = Instant::now();
    let after = loop {
        let version = bench.store.version().await.unwrap();
        if version != before {
            break version;
        }
        assert!(
            edited.elapsed() < Duration::from_millis(250),
            "an edit by hand is not seen"
        );
        tokio::task::yield_now().await;
    };
    // An own commit shows before its caller hears of it.
    bench.store.can_commit().await.unwrap();
    assert_ne!(bench.store.version().await.unwrap(), after);
}

#[tokio::test]
async fn a_probe_notices_a_database_that_is_locked_or_cannot_be_written() {
    let bench = Bench::new().await;
    bench.store.can_commit().await.unwrap();
    sqlx::query("PRAGMA busy_timeout = 50")
        .execute(bench.store.writer().pool())
        .await
        .unwrap();
    let mut other = bench.shell().await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    assert!(matches!(
        bench.store.can_commit().await.unwrap_err(),
        StoreError::Busy
    ));
    other.execute("ROLLBACK").await.unwrap();
    bench.store.can_commit().await.unwrap();
    sqlx::query("PRAGMA query_only = 1")
        .execute(bench.store.writer().pool())
        .await
        .unwrap();
    assert!(bench.store.can_commit().await.is_err());
}

#[tokio::test]
async fn settings_read_back() {
    let bench = Bench::new().await;
    bench
        .store
        .set_bandwidth_limit(Some(5_000_000))
        .await
        .unwrap();
    bench.store.set_queue_paused(true).await.unwrap();
    let expected = Settings {
        paused: true,
        bandwidth_limit: Some(5_000_000),
        lease_ttl: Duration::from_secs(15),
        keep_days: 30,
        keep_jobs: 1000,
    };
    assert_eq!(bench.store.settings().await.unwrap(), expected);
    assert!(matches!(
        bench.store.set_bandwidth_limit(Some(0)).await.unwrap_err(),
        StoreError::Conflict(_)
    ));
    bench.store.set_bandwidth_limit(None).await.unwrap();
    assert_eq!(bench.store.settings().await.unwrap().bandwidth_limit, None);
}

#[tokio::test]
async fn pruning_keeps_the_newest_job_of_each_model_and_what_is_active() {
    const DAY: i64 = 86_400;
    let bench = Bench::new().await;
    let token = bench.token().await;
    let failure = Failure::new(FailureCode::Gated, "no");
    let model = bench.model("a").await;
    let mut jobs = Vec::new();
    for day in [0, 1, 2, 40] {
        let (job, _) = bench
            .store
            .enqueue(model.key, 0, at(day * DAY))
            .await
            .unwrap();
        let claimed = bench
            .store
            .claim(token, None, BACKOFF, at(day * DAY))
            .await
            .unwrap()
            .unwrap();
        bench
            .store
            .fail(claimed.claim, &failure, at(day * DAY))
            .await
            .unwrap();
        jobs.push(job);
    }
    let waiting = bench.job("old-but-queued").await;
    assert_eq!(bench.store.prune(at(29 * DAY)).await.unwrap(), 0);
    assert!(bench.store.prune(at(45 * DAY)).await.unwrap() > 0);
    assert_eq!(bench.store.prune(at(45 * DAY)).await.unwrap(), 0);
    for gone in &jobs[..3] {
        assert_eq!(bench.store.job(gone.id).await.unwrap(), None);
    }
    assert!(bench.store.prune(at(400 * DAY)).await.unwrap() > 0);
    assert!(bench.store.job(jobs[3].id).await.unwrap().is_some());
    assert!(bench.store.job(waiting.id).await.unwrap().is_some());
    assert_eq!(bench.store.events(0, 100).await.unwrap(), []);
}

#[tokio::test]
async fn pruning_keeps_so_many_ended_jobs_and_no_more() {
    let bench = Bench::new().await;
    let model = bench.model("a").await;
    for n in 0..30 {
        let (job, _) = bench.store.enqueue(model.key, 0, at(n)).await.unwrap();
        bench.store.request_cancel(job.key, at(n)).await.unwrap();
    }
    bench
        .shell()
        .await
        .execute("UPDATE settings SET keep_jobs = 10")
        .await
        .unwrap();
    assert_eq!(bench.store.prune(at(100)).await.unwrap(), 20);
    assert_eq!(
        bench.store.jobs(None, None, None, 100).await.unwrap().len(),
        10
    );
}

#[tokio::test]
async fn pruning_keeps_files_that_are_complete_partial_or_of_a_job() {
    const DAY: i64 = 86_400;
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    let token = claimed.claim.lease_token;
    let point = super::checkpoint(&rows[0], "0-40", token);
    bench
        .store
        .progress(claimed.claim, &ProgressUpdate::default(), &[point], at(3))
        .await
        .unwrap();
    bench
        .store
        .set_plan(
            claimed.claim,
            super::planned(&super::commit('2'), &[super::file("c", 1, 'c')]),
            at(4),
        )
        .await
        .unwrap();
    while bench.store.prune(at(90 * DAY)).await.unwrap() > 0 {}
    let left = bench
        .store
        .files_of(claimed.model.key, &super::commit('1'))
        .await
        .unwrap();
    assert_eq!(
        left.iter().map(|row| row.key).collect::<Vec<_>>(),
        [rows[0].key],
        "the part keeps its row"
    );
    assert_eq!(
        bench
            .store
            .files_of_job(claimed.job.key)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_checkpoint_waits_for_nobody() {
    let bench = Bench::new().await;
    let mut reader = bench.shell().await;
    reader
        .execute("BEGIN; SELECT count(*) FROM models")
        .await
        .unwrap();
    bench.model("a").await;
    let start = Instant::now();
    assert!(!bench.store.checkpoint_wal().await.unwrap());
    assert!(start.elapsed() < Duration::from_secs(5));
    reader.execute("COMMIT").await.unwrap();
    assert!(bench.store.checkpoint_wal().await.unwrap());
}
