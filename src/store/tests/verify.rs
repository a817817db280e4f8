//! Verify jobs: one per model with downloads, findings that survive, and repairs that nobody overtakes.

use std::io;

use super::{Bench, at, commit, file, ready};
use crate::domain::{Failure, FailureCode, FileState, JobKind, JobState, PlannedFile};
use crate::store::{Checked, Claimed, StoreError};

/// A running verify job of two files that are there.
async fn verifying(bench: &Bench, repair: bool) -> (Claimed, Vec<i64>) {
    let model = bench.model("a").await;
    bench
        .store
        .set_readiness(model.key, Some(&ready(commit('1'), 150, 2)), at(1))
        .await
        .unwrap();
    let (job, created) = bench
        .store
        .enqueue_verify(model.key, repair, 0, at(1))
        .await
        .unwrap();
    assert!(created && job.kind == JobKind::Verify && job.repair == repair);
    let token = bench.token().await;
    let claimed = bench.claim(token).await.unwrap();
    let keys = plan(bench, &claimed).await;
    (claimed, keys)
}

async fn plan(bench: &Bench, claimed: &Claimed) -> Vec<i64> {
    let files: [PlannedFile; 2] = [file("a.bin", 100, 'a'), file("b.bin", 50, 'b')];
    let rows = bench
        .store
        .plan_verify(claimed.claim, &commit('1'), &files, None, at(2))
        .await
        .unwrap();
    rows.into_iter().map(|row| row.key).collect()
}

fn checked(good: &[i64], bad: &[i64]) -> Checked {
    Checked {
        good: good.to_vec(),
        bad: bad.to_vec(),
        ..Checked::default()
    }
}

fn mismatch() -> Failure {
    Failure::new(FailureCode::ChecksumMismatch, "b.bin is wrong")
}

#[tokio::test]
async fn findings_are_kept_and_the_next_attempt_counts_what_is_done() {
    let bench = Bench::new().await;
    let (claimed, keys) = verifying(&bench, false).await;
    let job = bench.read(&claimed.job).await;
    assert_eq!(
        (job.bytes_total, job.bytes_done, job.files_total),
        (Some(150), 0, Some(2))
    );
    let found = checked(&keys[..1], &keys[1..]);
    bench
        .store
        .record_checked(claimed.claim, &found, at(3))
        .await
        .unwrap();
    let model = bench
        .store
        .model(claimed.model.id())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        model.readiness, None,
        "a model with a wrong file is not ready"
    );

    bench.store.release(claimed.claim, at(4)).await.unwrap();
    let again = bench.claim(claimed.claim.lease_token).await.unwrap();
    plan(&bench, &again).await;
    let job = bench.read(&again.job).await;
    assert_eq!((job.bytes_done, job.files_done), (100, 1));
    let rows = bench.store.files_of_job(job.key).await.unwrap();
    assert!(rows[0].verified && rows[0].checked_job == Some(job.key) && !rows[0].corrupt);
    assert!(rows[1].corrupt && !rows[1].verified && rows[1].state == FileState::Done);
    let fenced = bench
        .store
        .record_checked(claimed.claim, &found, at(5))
        .await;
    assert!(
        matches!(fenced, Err(StoreError::Fenced)),
        "the first attempt is over"
    );
}

#[tokio::test]
async fn a_failed_verification_compares_everything_again_when_it_is_queued_again() {
    let bench = Bench::new().await;
    let (claimed, keys) = verifying(&bench, false).await;
    let found = checked(&keys[..1], &keys[1..]);
    bench
        .store
        .record_checked(claimed.claim, &found, at(3))
        .await
        .unwrap();
    assert!(
        bench
            .store
            .fail_verify(claimed.claim, &mismatch(), at(4))
            .await
            .unwrap()
    );
    assert_eq!(bench.read(&claimed.job).await.failure, Some(mismatch()));
    assert!(
        bench
            .store
            .requeue_failed(claimed.job.key, at(5))
            .await
            .unwrap()
    );
    let again = bench.claim(claimed.claim.lease_token).await.unwrap();
    plan(&bench, &again).await;
    assert_eq!(bench.read(&again.job).await.files_done, 0);
}

#[tokio::test]
async fn a_start_during_a_verification_is_kept_as_a_repair() {
    let bench = Bench::new().await;
    let (claimed, keys) = verifying(&bench, false).await;
    let (job, created) = bench
        .store
        .enqueue(claimed.model.key, 0, at(3))
        .await
        .unwrap();
    assert!(!created && job.id == claimed.job.id && job.repair);
    let found = checked(&keys[..1], &keys[1..]);
    bench
        .store
        .record_checked(claimed.claim, &found, at(3))
        .await
        .unwrap();
    // The worker did not know of it when it found something wrong.
    assert!(
        !bench
            .store
            .fail_verify(claimed.claim, &mismatch(), at(4))
            .await
            .unwrap()
    );
    let job = bench.read(&claimed.job).await;
    assert_eq!((job.state, job.failure), (JobState::Queued, None));
    let again = bench.claim(claimed.claim.lease_token).await.unwrap();
    assert!(again.job.repair);
    plan(&bench, &again).await;
    assert_eq!(
        bench.read(&again.job).await.files_done,
        1,
        "what was compared counts"
    );
}

#[tokio::test]
async fn a_cancel_wins_over_a_repair() {
    let bench = Bench::new().await;
    let (claimed, _) = verifying(&bench, true).await;
    bench
        .store
        .request_cancel(claimed.job.key, at(3))
        .await
        .unwrap();
    assert!(
        bench
            .store
            .fail_verify(claimed.claim, &mismatch(), at(4))
            .await
            .unwrap()
    );
    assert_eq!(bench.read(&claimed.job).await.state, JobState::Failed);
}

#[tokio::test]
async fn wrong_files_are_forgotten_only_together_with_their_removal() {
    let bench = Bench::new().await;
    let (claimed, keys) = verifying(&bench, true).await;
    let found = checked(&keys[..1], &keys[1..]);
    bench
        .store
        .record_checked(claimed.claim, &found, at(3))
        .await
        .unwrap();
    let refused = bench
        .store
        .discard_files(claimed.claim, keys[1..].to_vec(), at(4), || {
            Err(io::Error::other("no"))
        })
        .await;
    assert!(matches!(refused, Err(StoreError::Publish(_))));
    let rows = bench.store.files_of_job(claimed.job.key).await.unwrap();
    assert!(rows[1].corrupt, "a refused removal forgets nothing");
    bench
        .store
        .discard_files(claimed.claim, keys[1..].to_vec(), at(4), || Ok(()))
        .await
        .unwrap();
    let rows = bench.store.files_of_job(claimed.job.key).await.unwrap();
    assert_eq!(
        (rows[1].state, rows[1].corrupt),
        (FileState::Pending, false)
    );
    bench
        .store
        .set_bytes_total(claimed.claim, 200, at(5))
        .await
        .unwrap();
    assert_eq!(bench.read(&claimed.job).await.bytes_total, Some(200));
    bench
        .store
        .publish_files(claimed.claim, keys[1..].to_vec(), at(6), || Ok(()))
        .await
        .unwrap();
    bench
        .store
        .complete(claimed.claim, ready(commit('1'), 150, 2), at(7), || Ok(()))
        .await
        .unwrap();
    assert_eq!(bench.read(&claimed.job).await.state, JobState::Completed);
}

#[tokio::test]
async fn revisions_go_from_rows_only_when_no_job_is_active() {
    use crate::store::GoneRevisions;
    let bench = Bench::new().await;
    let (claimed, keys) = verifying(&bench, false).await;
    let found = checked(&keys, &[]);
    bench
        .store
        .record_checked(claimed.claim, &found, at(3))
        .await
        .unwrap();
    let gone = || {
        vec![GoneRevisions {
            repo_id: "org/name".parse().unwrap(),
            commits: vec![commit('1').to_string()],
            whole: false,
        }]
    };
    let busy = bench
        .store
        .forget_revisions(gone(), at(4), || panic!("a job is active"))
        .await
        .unwrap();
    assert_eq!(busy.as_ref(), Some(claimed.model.id()));
    bench
        .store
        .complete(claimed.claim, ready(commit('1'), 150, 2), at(5), || Ok(()))
        .await
        .unwrap();
    let refused = bench
        .store
        .forget_revisions(gone(), at(6), || Err(io::Error::other("no")))
        .await;
    assert!(refused.is_err());
    let model = || async {
        bench
            .store
            .model(claimed.model.id())
            .await
            .unwrap()
            .unwrap()
    };
    assert!(
        model().await.readiness.is_some(),
        "nothing went, nothing is forgotten"
    );
    let done = bench.store.forget_revisions(gone(), at(7), || Ok(())).await;
    assert_eq!(done.unwrap(), None);
    assert_eq!(model().await.readiness, None);
    let rows = bench
        .store
        .files_of(claimed.model.key, &commit('1'))
        .await
        .unwrap();
    assert!(
        rows.iter()
            .all(|row| row.state == FileState::Pending && !row.verified)
    );
}
