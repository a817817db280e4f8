//! Enqueue, cancel, pause, retry, clear.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{BACKOFF, Bench, at, id};
use crate::domain::{Failure, FailureCode, JobState, WaitReason};
use crate::store::queue::{ClearedJobs, QueueCounts};
use crate::store::{Store, StoreError};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_starts_from_two_stores_make_one_job() {
    let bench = Bench::new().await;
    let model = bench.model("a").await;
    let second = Store::open(bench.store.path()).await.unwrap();
    let mut starts = JoinSet::new();
    for n in 0..100 {
        let store = if n % 2 == 0 {
            bench.store.clone()
        } else {
            second.clone()
        };
        let key = model.key;
        starts.spawn(async move { store.enqueue(key, 0, at(n)).await.unwrap() });
    }
    let answers = starts.join_all().await;
    assert_eq!(answers.iter().filter(|(_, created)| *created).count(), 1);
    assert!(answers.iter().all(|(job, _)| job.id == answers[0].0.id));
    assert_eq!(
        bench.store.jobs(None, None, None, 10).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn an_unknown_model_cannot_be_enqueued() {
    let bench = Bench::new().await;
    assert!(matches!(
        bench.store.enqueue(7, 0, at(0)).await.unwrap_err(),
        StoreError::Conflict(_)
    ));
}

#[tokio::test]
async fn jobs_run_by_priority_then_age() {
    let bench = Bench::new().await;
    let mut jobs = Vec::new();
    for (name, priority) in [("a", 0), ("b", 5), ("c", 5), ("d", -1)] {
        let model = bench.model(name).await;
        jobs.push(
            bench
                .store
                .enqueue(model.key, priority, at(0))
                .await
                .unwrap()
                .0,
        );
    }
    let names = |jobs: Vec<crate::domain::Job>| {
        jobs.into_iter()
            .map(|j| j.model_id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(bench.store.active_jobs(None, 10).await.unwrap()),
        ["b", "c", "a", "d"]
    );
    assert_eq!(
        bench.store.queue_position(jobs[0].key).await.unwrap(),
        Some(3)
    );
    let token = bench.token().await;
    let claimed = bench.claim(token).await.unwrap();
    assert_eq!(claimed.job.model_id, id("b"));
    assert_eq!(
        names(bench.store.active_jobs(None, 3).await.unwrap()),
        ["b", "c", "a"]
    );
    assert_eq!(
        bench.store.queue_position(jobs[0].key).await.unwrap(),
        Some(2)
    );
    assert_eq!(bench.store.queue_position(jobs[1].key).await.unwrap(), None);
    let counts = QueueCounts {
        queued: 3,
        running: Some(id("b")),
    };
    assert_eq!(bench.store.queue_counts().await.unwrap(), counts);
    let newest = bench.store.jobs(None, None, None, 2).await.unwrap();
    assert_eq!(
        names(
            bench
                .store
                .jobs(None, None, Some(newest[1].id), 9)
                .await
                .unwrap()
        ),
        ["b", "a"]
    );
    assert_eq!(
        names(
            bench
                .store
                .jobs(Some(JobState::Running), None, None, 9)
                .await
                .unwrap()
        ),
        ["b"]
    );
    assert_eq!(
        names(
            bench
                .store
                .jobs(None, Some(jobs[3].model_key), None, 9)
                .await
                .unwrap()
        ),
        ["d"]
    );
}

#[tokio::test]
async fn cancel_ends_a_queued_job_at_once_and_flags_a_running_one() {
    let bench = Bench::new().await;
    let queued = bench.job("a").await;
    assert_eq!(
        bench.store.request_cancel(queued.key, at(1)).await.unwrap(),
        Some(JobState::Cancelled)
    );
    assert_eq!(
        bench.store.request_cancel(queued.key, at(2)).await.unwrap(),
        None
    );
    assert_eq!(bench.read(&queued).await.finished_at, Some(at(1)));

    let claimed = bench.running("b").await;
    assert_eq!(
        bench
            .store
            .request_cancel(claimed.job.key, at(3))
            .await
            .unwrap(),
        Some(JobState::Running)
    );
    let signal = bench
        .store
        .progress(
            claimed.claim,
            &crate::store::ProgressUpdate::default(),
            &[],
            at(4),
        )
        .await
        .unwrap();
    assert!(signal.cancel && !signal.pause);
    bench.store.cancelled(claimed.claim, at(5)).await.unwrap();
    assert_eq!(bench.read(&claimed.job).await.state, JobState::Cancelled);
    let (again, created) = bench
        .store
        .enqueue(claimed.model.key, 0, at(6))
        .await
        .unwrap();
    assert!(created && again.id != claimed.job.id);
}

#[tokio::test]
async fn a_paused_job_or_queue_is_not_claimed_and_a_running_one_is_told() {
    let bench = Bench::new().await;
    let job = bench.job("a").await;
    let token = bench.token().await;
    assert!(bench.store.set_paused(job.key, true, at(1)).await.unwrap());
    assert!(bench.claim(token).await.is_none());
    assert_eq!(bench.store.next_due().await.unwrap(), None);
    assert!(bench.store.set_paused(job.key, false, at(1)).await.unwrap());
    assert!(bench.store.set_queue_paused(true).await.unwrap());
    assert!(!bench.store.set_queue_paused(true).await.unwrap());
    assert!(bench.claim(token).await.is_none());
    bench.store.set_queue_paused(false).await.unwrap();

    let claimed = bench.claim(token).await.unwrap();
    let report = crate::store::ProgressUpdate::default();
    bench.store.set_paused(job.key, true, at(2)).await.unwrap();
    assert!(
        bench
            .store
            .progress(claimed.claim, &report, &[], at(3))
            .await
            .unwrap()
            .pause
    );
    bench.store.set_paused(job.key, false, at(2)).await.unwrap();
    assert!(
        !bench
            .store
            .progress(claimed.claim, &report, &[], at(3))
            .await
            .unwrap()
            .pause
    );
    bench.store.set_queue_paused(true).await.unwrap();
    assert!(
        bench
            .store
            .progress(claimed.claim, &report, &[], at(3))
            .await
            .unwrap()
            .pause
    );
    assert_eq!(
        bench.store.release(claimed.claim, at(4)).await.unwrap(),
        JobState::Queued
    );
    assert!(bench.claim(token).await.is_none());
    bench.store.request_cancel(job.key, at(5)).await.unwrap();
    assert!(!bench.store.set_paused(job.key, true, at(6)).await.unwrap());
}

#[tokio::test]
async fn a_waiting_job_is_claimed_when_due_woken_or_when_the_clock_fell_back() {
    let bench = Bench::new().await;
    let claimed = bench.running("a").await;
    let failure = Failure::new(FailureCode::DiskFull, "12 bytes are missing");
    let mut claim = claimed.claim;
    let token = claim.lease_token;
    let due = at(100);
    for round in 0..4 {
        let state = bench
            .store
            .retry(claim, &failure, WaitReason::DiskFull, due, round, at(2))
            .await
            .unwrap();
        assert_eq!(state, JobState::Queued);
        let waiting = bench.read(&claimed.job).await;
        assert_eq!(
            (waiting.wait_reason, waiting.run_after, waiting.retries),
            (Some(WaitReason::DiskFull), due, round)
        );
        assert_eq!(waiting.failure.as_ref(), Some(&failure));
        assert_eq!(bench.store.next_due().await.unwrap(), Some(due));
        assert!(
            bench
                .store
                .claim(token, None, BACKOFF, at(99))
                .await
                .unwrap()
                .is_none()
        );
        let now = match round {
            0 => at(100),
            1 => {
                assert!(bench.store.run_now(claimed.job.key, at(3)).await.unwrap());
                at(3)
            }
            2 => {
                assert_eq!(
                    bench
                        .store
                        .wake(WaitReason::RateLimited, at(3))
                        .await
                        .unwrap(),
                    0
                );
                assert_eq!(
                    bench.store.wake(WaitReason::DiskFull, at(3)).await.unwrap(),
                    1
                );
                at(3)
            }
            _ => at(100) - BACKOFF - Duration::from_secs(1),
        };
        let again = bench
            .store
            .claim(token, Some(claimed.job.id), BACKOFF, now)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((again.job.wait_reason, again.job.failure), (None, None));
        claim = again.claim;
    }
}

#[tokio::test]
async fn only_the_newest_failed_job_goes_back_to_the_queue() {
    let bench = Bench::new().await;
    let claimed = bench.running("a").await;
    assert!(
        !bench
            .store
            .requeue_failed(claimed.job.key, at(2))
            .await
            .unwrap()
    );
    let failure = Failure::new(FailureCode::Gated, "no").with_remedy("accept the licence");
    bench
        .store
        .fail(claimed.claim, &failure, at(3))
        .await
        .unwrap();
    let failed = bench
        .store
        .last_job(claimed.model.key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (failed.state, failed.failure, failed.finished_at),
        (JobState::Failed, Some(failure), Some(at(3)))
    );

    let (newer, created) = bench
        .store
        .enqueue(claimed.model.key, 0, at(4))
        .await
        .unwrap();
    assert!(created);
    assert!(
        !bench
            .store
            .requeue_failed(claimed.job.key, at(5))
            .await
            .unwrap()
    );
    let token = claimed.claim.lease_token;
    let next = bench.claim(token).await.unwrap();
    assert_eq!(next.job.id, newer.id);
    bench
        .store
        .fail(next.claim, &Failure::new(FailureCode::Gated, "no"), at(6))
        .await
        .unwrap();
    assert!(bench.store.requeue_failed(newer.key, at(7)).await.unwrap());
    let again = bench.read(&newer).await;
    assert_eq!(
        (again.state, again.failure, again.retries, again.run_after),
        (JobState::Queued, None, 0, at(7))
    );
}

#[tokio::test]
async fn clear_ends_what_is_active_and_forgets_what_failed() {
    let bench = Bench::new().await;
    let claimed = bench.running("a").await;
    let key = claimed.model.key;
    let expected = ClearedJobs {
        ended: Some(claimed.job.id),
        was_running: true,
        forgotten: None,
    };
    assert_eq!(bench.store.clear(key, at(5)).await.unwrap(), expected);
    assert_eq!(bench.store.last_job(key).await.unwrap(), None);
    let ended = bench.read(&claimed.job).await;
    assert_eq!(
        (ended.state, ended.failure.unwrap().code),
        (JobState::Cancelled, FailureCode::Cleared)
    );
    let late = bench
        .store
        .set_phase(claimed.claim, crate::domain::Phase::Downloading, at(6))
        .await;
    assert!(matches!(late.unwrap_err(), StoreError::Fenced));
    assert_eq!(
        bench.store.clear(key, at(7)).await.unwrap(),
        ClearedJobs::default()
    );

    let (second, created) = bench.store.enqueue(key, 0, at(8)).await.unwrap();
    assert!(created);
    let next = bench.claim(claimed.claim.lease_token).await.unwrap();
    bench
        .store
        .fail(next.claim, &Failure::new(FailureCode::Storage, "no"), at(9))
        .await
        .unwrap();
    assert_eq!(
        bench.store.clear(key, at(10)).await.unwrap().forgotten,
        Some(second.id)
    );
    assert_eq!(bench.store.last_job(key).await.unwrap(), None);

    let (third, _) = bench.store.enqueue(key, 0, at(11)).await.unwrap();
    let expected = ClearedJobs {
        ended: Some(third.id),
        was_running: false,
        forgotten: None,
    };
    assert_eq!(bench.store.clear(key, at(12)).await.unwrap(), expected);
    assert_eq!(bench.store.queue_counts().await.unwrap().queued, 0);
}
