//! The lease, also when a hand deletes it.

use sqlx::Executor as _;

use super::{Bench, at};
use crate::domain::{FailureCode, JobState};
use crate::store::StoreError;

#[tokio::test]
async fn there_is_one_lease_and_its_token_only_grows() {
    let bench = Bench::new().await;
    let first = bench
        .store
        .acquire("a", false, at(0))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bench.store.acquire("b", true, at(1)).await.unwrap(), None);
    let lease = bench.store.lease().await.unwrap().unwrap();
    assert_eq!(
        (lease.token, lease.holder.as_str(), lease.locked, lease.beat),
        (first, "a", false, 0)
    );
    assert_eq!(lease.expires_at, at(15));
    assert!(bench.store.set_locked(first, true).await.unwrap());
    assert!(bench.store.renew(first, at(30)).await.unwrap());
    let lease = bench.store.lease().await.unwrap().unwrap();
    assert_eq!(
        (lease.locked, lease.beat, lease.renewed_at, lease.expires_at),
        (true, 1, at(30), at(45))
    );

    assert!(!bench.store.delete_lease(Some(first + 1)).await.unwrap());
    assert!(bench.store.delete_lease(Some(first)).await.unwrap());
    assert!(!bench.store.renew(first, at(31)).await.unwrap());
    assert!(!bench.store.set_locked(first, true).await.unwrap());
    assert_eq!(bench.store.lease().await.unwrap(), None);
    assert!(
        bench
            .store
            .acquire("b", true, at(1))
            .await
            .unwrap()
            .unwrap()
            > first
    );
}

#[tokio::test]
async fn deleting_the_lease_by_hand_puts_the_job_back_and_tells_why() {
    let bench = Bench::new().await;
    let (claimed, _) = bench.planned("a").await;
    let mut shell = bench.shell().await;
    shell.execute("DELETE FROM lease").await.unwrap();
    let job = bench.read(&claimed.job).await;
    assert_eq!(
        (job.state, job.retries, job.lease_token, job.phase),
        (JobState::Queued, 0, None, None)
    );
    assert_eq!(job.failure.unwrap().code, FailureCode::LeaseLost);
    assert_eq!(bench.store.files_of_job(job.key).await.unwrap().len(), 2);
    let attempts = bench.store.attempts(job.key, 0, 1000).await.unwrap();
    assert_eq!(attempts[0].outcome.as_deref(), Some("lost"));
    let events = bench.store.events(0, 100).await.unwrap();
    assert!(
        events
            .iter()
            .any(|e| e.kind == "lease_deleted" && e.detail.as_deref() == Some("host/1/a"))
    );
    let back = events
        .iter()
        .find(|e| e.to_state.as_deref() == Some("queued") && e.from_state.is_some())
        .unwrap();
    assert_eq!(back.detail.as_deref(), Some("lease_lost"));
    let late = bench.store.release(claimed.claim, at(9)).await.unwrap_err();
    assert!(matches!(late, StoreError::Fenced));
}

#[tokio::test]
async fn a_lease_replaced_behind_the_triggers_strands_no_job() {
    let bench = Bench::new().await;
    let claimed = bench.running("a").await;
    let mut shell = bench.shell().await;
    // REPLACE takes the old row away without its delete trigger.
    shell
        .execute(
            "INSERT OR REPLACE INTO lease (slot, holder, acquired_at_ms, renewed_at_ms, expires_at_ms)
             VALUES (1, 'hand', 1790000005000, 1790000005000, 1790000009000)",
        )
        .await
        .unwrap();
    assert_eq!(bench.read(&claimed.job).await.state, JobState::Queued);
    let late = bench
        .store
        .progress(
            claimed.claim,
            &crate::store::ProgressUpdate::default(),
            &[],
            at(9),
        )
        .await;
    assert!(matches!(late.unwrap_err(), StoreError::Fenced));
}

#[tokio::test]
async fn nothing_runs_by_hand_without_a_lease() {
    let bench = Bench::new().await;
    let job = bench.job("a").await;
    let mut shell = bench.shell().await;
    let error = shell
        .execute(
            "UPDATE jobs SET state = 'running', lease_token = 99, attempt = 1, started_at_ms = 1",
        )
        .await
        .unwrap_err();
    assert!(matches!(StoreError::from(error), StoreError::Fenced));
    let token = bench.token().await;
    let renamed = shell
        .execute("UPDATE lease SET token = token + 5")
        .await
        .unwrap_err();
    assert!(renamed.to_string().contains("keeps its token"));
    bench.claim(token).await.unwrap();
    let deleted = shell.execute("DELETE FROM jobs").await.unwrap_err();
    assert!(deleted.to_string().contains("the job runs"), "{deleted}");
    assert_eq!(bench.read(&job).await.state, JobState::Running);
}
