//! Group commit: many writers share a commit, and none of them is answered for another.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Bench, at, spec};
use crate::store::{Store, StoreError};

/// Registers this many models, one commit for many.
async fn models(bench: &Bench, count: usize) -> Vec<i64> {
    let mut adding = JoinSet::new();
    for n in 0..count {
        let store = bench.store.clone();
        adding.spawn(async move { store.add_model(&spec(&format!("m{n}")), at(0)).await });
    }
    let added = adding.join_all().await.into_iter();
    added.map(|model| model.unwrap().0.key).collect()
}

fn enqueue_all(
    store: &Store,
    keys: &[i64],
) -> JoinSet<Result<(crate::domain::Job, bool), StoreError>> {
    let mut asking = JoinSet::new();
    for key in keys.iter().copied() {
        let store = store.clone();
        asking.spawn(async move { store.enqueue(key, 0, at(1)).await });
    }
    asking
}

#[tokio::test]
async fn who_waits_at_the_same_time_shares_a_commit() {
    let bench = Bench::new().await;
    let keys = models(&bench, 200).await;
    let before = bench.store.writer().writes();
    for started in enqueue_all(&bench.store, &keys).join_all().await {
        assert!(started.unwrap().1);
    }
    let commits = bench.store.writer().writes() - before;
    assert!(commits <= 20, "{commits} commits for 200 jobs");
    assert_eq!(bench.store.queue_counts().await.unwrap().queued, 200);
}

#[tokio::test]
async fn one_that_fails_takes_back_only_itself() {
    let bench = Bench::new().await;
    let mut keys = models(&bench, 20).await;
    let again = keys[3];
    keys.insert(7, -1);
    keys.insert(12, again);
    keys.push(-2);
    let (mut made, mut found, mut refused) = (0, 0, 0);
    for outcome in enqueue_all(&bench.store, &keys).join_all().await {
        match outcome {
            Ok((_, true)) => made += 1,
            Ok((_, false)) => found += 1,
            Err(StoreError::Conflict(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((made, found, refused), (20, 1, 2));
    assert_eq!(bench.store.queue_counts().await.unwrap().queued, 20);
}

#[tokio::test]
async fn on_a_full_disk_nobody_is_answered_for_a_row_that_is_not_there() {
    let bench = Bench::new().await;
    let keys = models(&bench, 400).await;
    let pool = bench.store.writer().pool();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(pool)
        .await
        .unwrap();
    let limit = format!("PRAGMA max_page_count = {}", pages + 30);
    sqlx::query(super::unchecked(limit))
        .execute(pool)
        .await
        .unwrap();
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for outcome in enqueue_all(&bench.store, &keys).join_all().await {
        match outcome {
            Ok((job, true)) => accepted.push(job.id),
            Ok((job, false)) => panic!("{} was there before", job.id),
            Err(StoreError::DiskFull) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(!accepted.is_empty() && refused > 0, "{refused} refused");
    let mut stored: Vec<_> = bench.store.active_jobs(None, 1000).await.unwrap();
    stored.sort_by_key(|job| job.id);
    accepted.sort();
    assert_eq!(
        stored.iter().map(|job| job.id).collect::<Vec<_>>(),
        accepted
    );
    let counted = bench.store.queue_counts().await.unwrap().queued;
    assert_eq!(counted, accepted.len() as u64);
    // With room again the rest gets in.
    sqlx::query("PRAGMA max_page_count = 1000000")
        .execute(bench.store.writer().pool())
        .await
        .unwrap();
    for outcome in enqueue_all(&bench.store, &keys).join_all().await {
        outcome.unwrap();
    }
    assert_eq!(bench.store.queue_counts().await.unwrap().queued, 400);
}

#[tokio::test]
async fn whoever_leaves_holds_up_nobody() {
    let bench = Bench::new().await;
    let keys = models(&bench, 100).await;
    for (round, keys) in keys.chunks(10).enumerate() {
        let mut impatient = JoinSet::new();
        for key in keys.iter().copied() {
            let store = bench.store.clone();
            let patience = Duration::from_micros(round as u64 * 150);
            impatient.spawn(async move {
                tokio::time::timeout(patience, store.enqueue(key, 0, at(1)))
                    .await
                    .is_ok()
            });
        }
        impatient.join_all().await;
    }
    for outcome in enqueue_all(&bench.store, &keys).join_all().await {
        outcome.unwrap();
    }
    assert_eq!(bench.store.queue_counts().await.unwrap().queued, 100);
    bench.store.close().await;
    let late = bench.store.enqueue(keys[0], 0, at(1)).await;
    assert!(late.is_err(), "a closed store answers");
}
