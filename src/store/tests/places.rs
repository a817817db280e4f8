//! Places in the queue and the number of those who wait, whatever happened to the jobs, by hand too.

use sqlx::Executor as _;

use super::{Bench, at};
use crate::domain::JobState;

/// What is kept agrees with what is counted, and every page with the whole.
async fn assert_agrees(bench: &Bench) {
    let store = &bench.store;
    let all = store.active_jobs(None, 1000).await.unwrap();
    let queued: Vec<_> = all
        .iter()
        .filter(|job| job.state == JobState::Queued)
        .collect();
    assert_eq!(
        store.queue_counts().await.unwrap().queued,
        queued.len() as u64
    );
    for (index, job) in queued.iter().enumerate() {
        let place = index as u64 + 1;
        assert_eq!(store.queue_position(job.key).await.unwrap(), Some(place));
        assert_eq!(store.places_before(job.id).await.unwrap(), place);
        let behind = store.active_jobs(Some(job.id), 3).await.unwrap();
        let expected: Vec<_> = queued[index + 1..]
            .iter()
            .take(3)
            .map(|job| job.id)
            .collect();
        assert_eq!(
            behind.iter().map(|job| job.id).collect::<Vec<_>>(),
            expected
        );
    }
}

#[tokio::test]
async fn places_and_numbers_agree_whatever_was_done() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let mut jobs = Vec::new();
    for n in 0..40 {
        let model = bench.model(&format!("m{n}")).await;
        jobs.push(store.enqueue(model.key, n % 3 - 1, at(0)).await.unwrap().0);
    }
    assert_agrees(&bench).await;
    for job in jobs.iter().step_by(5) {
        store.request_cancel(job.key, at(1)).await.unwrap();
    }
    for job in jobs.iter().skip(1).step_by(7) {
        store.set_paused(job.key, true, at(1)).await.unwrap();
    }
    assert_agrees(&bench).await;
    let token = bench.token().await;
    let claimed = bench.claim(token).await.unwrap();
    assert_eq!(store.queue_position(claimed.job.key).await.unwrap(), None);
    assert_agrees(&bench).await;
    let mut shell = bench.shell().await;
    for edit in [
        "UPDATE jobs SET priority = 50 WHERE job_key % 6 = 0",
        "UPDATE jobs SET priority = -50 WHERE job_key % 11 = 0 AND state = 'queued'",
        "DELETE FROM jobs WHERE job_key % 13 = 0 AND state <> 'running'",
        "DELETE FROM lease",
        "UPDATE jobs SET state = 'failed', error_code = 'x', finished_at_ms = 1 WHERE job_key = 22",
        "UPDATE jobs SET state = 'queued', finished_at_ms = NULL WHERE job_key = 22",
    ] {
        shell.execute(edit).await.unwrap();
        assert_agrees(&bench).await;
    }
    // A job that has ended stays a place to go on from.
    let ended = jobs[5].id;
    assert!(
        !store
            .active_jobs(Some(ended), 100)
            .await
            .unwrap()
            .is_empty()
    );
    let unknown = crate::domain::JobId::generate(at(3));
    assert!(
        store
            .active_jobs(Some(unknown), 9)
            .await
            .unwrap()
            .is_empty()
    );
}
