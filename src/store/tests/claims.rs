//! What a worker writes, and that nobody else can.

use tokio::task::JoinSet;

use super::{BACKOFF, Bench, at, checkpoint, commit, planned, ready};
use crate::domain::{Failure, FailureCode, JobState, Phase, WaitReason};
use crate::store::{Claim, ProgressUpdate, Store, StoreError};

/// Every write of a worker answers `Fenced` under this claim and changes nothing.
async fn assert_fenced(bench: &Bench, claim: Claim) {
    let (store, failure) = (&bench.store, Failure::new(FailureCode::Network, "x"));
    let before = store.jobs(None, None, None, 9).await.unwrap();
    let file = super::FileCheckpoint {
        file_key: 1,
        ranges: "0-1".parse().unwrap(),
        part_name: "p".to_owned(),
        part_token: 1,
        hash_mark: None,
    };
    let act = || -> std::io::Result<()> { panic!("a stale worker published") };
    let update = ProgressUpdate {
        bytes_done: 1,
        ..ProgressUpdate::default()
    };
    let answers = [
        (
            "set_phase",
            store.set_phase(claim, Phase::Verifying, at(50)).await.err(),
        ),
        (
            "progress",
            store.progress(claim, &update, &[], at(50)).await.err(),
        ),
        (
            "checkpoint",
            store.progress(claim, &update, &[file], at(50)).await.err(),
        ),
        (
            "set_plan",
            store
                .set_plan(claim, planned(&commit('9'), &[]), at(50))
                .await
                .err(),
        ),
        (
            "mark_present",
            store.mark_present(claim, &[1], at(50)).await.err(),
        ),
        (
            "mark_missing",
            store.mark_missing(claim, &[1], at(50)).await.err(),
        ),
        (
            "publish_files",
            store.publish_files(claim, vec![1], at(50), act).await.err(),
        ),
        (
            "complete",
            store
                .complete(claim, ready(commit('9'), 1, 1), at(50), act)
                .await
                .err(),
        ),
        ("fail", store.fail(claim, &failure, at(50)).await.err()),
        (
            "retry",
            store
                .retry(claim, &failure, WaitReason::RetryBackoff, at(60), 1, at(50))
                .await
                .err(),
        ),
        ("release", store.release(claim, at(50)).await.err()),
        ("cancelled", store.cancelled(claim, at(50)).await.err()),
    ];
    for (operation, error) in answers {
        assert!(
            matches!(error, Some(StoreError::Fenced)),
            "{operation}: {error:?}"
        );
    }
    assert_eq!(store.jobs(None, None, None, 9).await.unwrap(), before);
}

#[tokio::test]
async fn a_claim_holds_for_one_lease_and_one_attempt() {
    let bench = Bench::new().await;
    let (claimed, _) = bench.planned("a").await;
    assert_fenced(
        &bench,
        Claim {
            lease_token: claimed.claim.lease_token + 1,
            ..claimed.claim
        },
    )
    .await;
    assert_fenced(
        &bench,
        Claim {
            attempt: 2,
            ..claimed.claim
        },
    )
    .await;
    assert_fenced(
        &bench,
        Claim {
            job_key: claimed.job.key + 1,
            ..claimed.claim
        },
    )
    .await;

    // The same lease runs the job again: the older attempt is over.
    bench.store.release(claimed.claim, at(3)).await.unwrap();
    let again = bench.claim(claimed.claim.lease_token).await.unwrap();
    assert_eq!((again.claim.attempt, again.job.id), (2, claimed.job.id));
    assert_fenced(&bench, claimed.claim).await;

    // Another lease: so is this one.
    assert!(
        bench
            .store
            .delete_lease(Some(again.claim.lease_token))
            .await
            .unwrap()
    );
    assert_fenced(&bench, again.claim).await;
    let refused = bench
        .store
        .claim(again.claim.lease_token, None, BACKOFF, at(4))
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Fenced));
    let token = bench
        .store
        .acquire("other", true, at(5))
        .await
        .unwrap()
        .unwrap();
    let third = bench.claim(token).await.unwrap();
    assert_eq!(third.claim.attempt, 3);
    assert_fenced(&bench, again.claim).await;

    let attempts = bench
        .store
        .attempts(claimed.job.key, 0, 1000)
        .await
        .unwrap();
    let outcomes: Vec<_> = attempts
        .iter()
        .map(|a| (a.attempt, a.outcome.as_deref()))
        .collect();
    assert_eq!(
        outcomes,
        [(1, Some("released")), (2, Some("lost")), (3, None)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_claimers_one_gets_the_job() {
    let bench = Bench::new().await;
    for name in ["a", "b", "c"] {
        bench.job(name).await;
    }
    let token = bench.token().await;
    let second = Store::open(bench.store.path()).await.unwrap();
    let mut claimers = JoinSet::new();
    for n in 0..20 {
        let store = if n % 2 == 0 {
            bench.store.clone()
        } else {
            second.clone()
        };
        claimers.spawn(async move { store.claim(token, None, BACKOFF, at(1)).await.unwrap() });
    }
    assert_eq!(claimers.join_all().await.into_iter().flatten().count(), 1);
}

#[tokio::test]
async fn progress_is_kept_goes_up_only_and_renews_the_lease() {
    let bench = Bench::new().await;
    let (claimed, files) = bench.planned("a").await;
    bench
        .store
        .set_phase(claimed.claim, Phase::Downloading, at(3))
        .await
        .unwrap();
    let before = bench.store.lease().await.unwrap().unwrap();
    let update = ProgressUpdate {
        bytes_done: 60,
        bytes_reused: 10,
        files_done: 0,
        rate: 30,
        current_file: Some("a.bin".to_owned()),
        last_byte_at: Some(at(9)),
        phase: Some(Phase::Publishing),
    };
    let point = checkpoint(&files[0], "0-40,50-60", claimed.claim.lease_token);
    bench
        .store
        .progress(claimed.claim, &update, &[point], at(10))
        .await
        .unwrap();
    let job = bench.read(&claimed.job).await;
    assert_eq!(
        (job.bytes_done, job.bytes_reused, job.bytes_total, job.rate),
        (60, 10, Some(150), 30)
    );
    assert_eq!(
        (job.current_file.as_deref(), job.last_byte_at, job.phase),
        (Some("a.bin"), Some(at(9)), Some(Phase::Publishing))
    );
    let after = bench.store.lease().await.unwrap().unwrap();
    assert!(after.beat > before.beat);
    assert_eq!((after.renewed_at, after.expires_at), (at(10), at(25)));

    let less = ProgressUpdate {
        bytes_done: 5,
        ..ProgressUpdate::default()
    };
    bench
        .store
        .progress(claimed.claim, &less, &[], at(11))
        .await
        .unwrap();
    let job = bench.read(&claimed.job).await;
    assert_eq!((job.bytes_done, job.last_byte_at), (60, Some(at(9))));
    assert_eq!(job.phase, Some(Phase::Publishing), "none keeps it");
    let more = ProgressUpdate {
        bytes_done: 9999,
        files_done: 99,
        bytes_reused: 9999,
        ..less
    };
    bench
        .store
        .progress(claimed.claim, &more, &[], at(12))
        .await
        .unwrap();
    let job = bench.read(&claimed.job).await;
    assert_eq!(
        (job.bytes_done, job.files_done, job.bytes_reused),
        (150, 2, 150)
    );
}

#[tokio::test]
async fn a_cancel_wins_over_retry_release_and_a_lost_lease() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let failure = Failure::new(FailureCode::Network, "x");
    for (name, way) in [("a", 0), ("b", 1), ("c", 2)] {
        let job = bench.job(name).await;
        let claimed = bench
            .store
            .claim(token, None, BACKOFF, at(1))
            .await
            .unwrap()
            .unwrap();
        bench.store.request_cancel(job.key, at(2)).await.unwrap();
        let claim = claimed.claim;
        let state = match way {
            0 => bench
                .store
                .retry(claim, &failure, WaitReason::RetryBackoff, at(9), 1, at(3))
                .await
                .unwrap(),
            1 => bench.store.release(claim, at(3)).await.unwrap(),
            _ => {
                bench.store.delete_lease(None).await.unwrap();
                JobState::Cancelled
            }
        };
        assert_eq!(state, JobState::Cancelled);
        assert_eq!(bench.read(&job).await.state, JobState::Cancelled, "{name}");
        let attempts = bench.store.attempts(job.key, 0, 1000).await.unwrap();
        assert_eq!(attempts[0].outcome.as_deref(), Some("cancelled"), "{name}");
    }
}

#[tokio::test]
async fn a_release_uses_up_no_try_and_leaves_no_error() {
    let bench = Bench::new().await;
    let claimed = bench.running("a").await;
    let failure = Failure::new(FailureCode::Network, "x");
    bench
        .store
        .retry(
            claimed.claim,
            &failure,
            WaitReason::RetryBackoff,
            at(1),
            3,
            at(1),
        )
        .await
        .unwrap();
    let again = bench.claim(claimed.claim.lease_token).await.unwrap();
    bench.store.release(again.claim, at(2)).await.unwrap();
    let job = bench.read(&claimed.job).await;
    assert_eq!(
        (job.state, job.retries, job.failure, job.wait_reason),
        (JobState::Queued, 3, None, None)
    );
    assert_eq!((job.lease_token, job.phase, job.attempt), (None, None, 2));
    let outcomes: Vec<_> = bench
        .store
        .attempts(job.key, 0, 1000)
        .await
        .unwrap()
        .into_iter()
        .map(|a| (a.outcome.unwrap(), a.error_code))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("retry".to_owned(), Some("network".to_owned())),
            ("released".to_owned(), None)
        ]
    );
}

#[tokio::test]
async fn the_trail_tells_the_whole_story() {
    let bench = Bench::new().await;
    let (claimed, files) = bench.planned("a").await;
    bench
        .store
        .set_phase(claimed.claim, Phase::Downloading, at(3))
        .await
        .unwrap();
    let keys = files.iter().map(|f| f.key).collect();
    bench
        .store
        .publish_files(claimed.claim, keys, at(4), || Ok(()))
        .await
        .unwrap();
    bench
        .store
        .complete(claimed.claim, ready(commit('1'), 150, 2), at(5), || Ok(()))
        .await
        .unwrap();
    let story: Vec<String> = bench
        .store
        .job_events(claimed.job.key, 0, 1000)
        .await
        .unwrap()
        .into_iter()
        .map(|e| {
            format!(
                "{} {} {}",
                e.kind,
                e.to_state.unwrap_or_default(),
                e.detail.unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(
        story,
        [
            "enqueued queued ",
            "state running ",
            "phase  downloading",
            "state completed "
        ]
    );
    let all = bench.store.events(0, 100).await.unwrap();
    assert_eq!(
        all.last().unwrap().id,
        bench.store.trail_bounds().await.unwrap().newest
    );
    assert!(
        all.iter()
            .any(|e| e.kind == "model_ready" && e.model_id == Some(super::id("a")))
    );
    let after = all[1].id;
    assert_eq!(bench.store.events(after, 1).await.unwrap()[0], all[2]);
}
