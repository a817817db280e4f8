//! A person's cancel, the worker's success, an administrator's clear and the end of the lease, in every order and all at
//! once: the job ends once, and stays as it ended.

use tokio::task::JoinSet;

use super::{BACKOFF, Bench, at, commit, ready};
use crate::domain::{Failure, FailureCode, Job, JobState, WaitReason};
use crate::store::{Claimed, Store, StoreError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Cancel,
    Complete,
    Clear,
    LeaseEnds,
    /// What a worker writes that found a cancel.
    Cancelled,
    Fail,
    Retry,
}

const ACTS: [Act; 7] = [
    Act::Cancel,
    Act::Complete,
    Act::Clear,
    Act::LeaseEnds,
    Act::Cancelled,
    Act::Fail,
    Act::Retry,
];

async fn act(store: &Store, claimed: &Claimed, act: Act) {
    let (claim, key) = (claimed.claim, claimed.job.key);
    let failure = Failure::new(FailureCode::Network, "x");
    let done: Result<(), StoreError> = match act {
        Act::Cancel => store.request_cancel(key, at(30)).await.map(drop),
        Act::Complete => {
            store
                .complete(claim, ready(commit('1'), 150, 2), at(31), || Ok(()))
                .await
        }
        Act::Clear => store.clear(claimed.job.model_key, at(32)).await.map(drop),
        Act::LeaseEnds => store.delete_lease(Some(claim.lease_token)).await.map(drop),
        Act::Cancelled => store.cancelled(claim, at(33)).await,
        Act::Fail => store.fail(claim, &failure, at(34)).await,
        Act::Retry => store
            .retry(claim, &failure, WaitReason::RetryBackoff, at(40), 1, at(35))
            .await
            .map(drop),
    };
    // A worker's write that comes too late is refused; nothing else may be.
    assert!(
        matches!(done, Ok(()) | Err(StoreError::Fenced)),
        "{act:?}: {done:?}"
    );
}

/// A running job whose files are all in.
async fn nearly_done(bench: &Bench) -> Claimed {
    let (claimed, files) = bench.planned("a").await;
    let keys = files.iter().map(|file| file.key).collect();
    bench
        .store
        .publish_files(claimed.claim, keys, at(21), || Ok(()))
        .await
        .unwrap();
    claimed
}

/// The ends of the job so far, by its audit trail; each must be the last word.
async fn assert_ended_once(bench: &Bench, job: &Job, acts: &[Act]) -> JobState {
    let job = bench.read(job).await;
    let events = bench.store.job_events(job.key, 0, 1000).await.unwrap();
    let states: Vec<JobState> = events
        .iter()
        .filter_map(|event| event.to_state.as_deref()?.parse().ok())
        .collect();
    let ends = states.iter().filter(|state| state.is_final()).count();
    assert_eq!(states.last(), Some(&job.state), "{acts:?}: {states:?}");
    assert_eq!(
        ends,
        usize::from(job.state.is_final()),
        "{acts:?}: {states:?}"
    );
    assert_eq!(job.finished_at.is_some(), job.state.is_final(), "{acts:?}");
    assert_ne!(job.state, JobState::Running, "{acts:?}");
    let ready = bench
        .store
        .model(&super::id("a"))
        .await
        .unwrap()
        .unwrap()
        .readiness
        .is_some();
    assert_eq!(ready, job.state == JobState::Completed, "{acts:?}");
    job.state
}

/// All orders of all choices of up to three acts, and those of the four that the outside world does.
fn orders() -> Vec<Vec<Act>> {
    let mut all: Vec<Vec<Act>> = vec![Vec::new()];
    let mut from = 0;
    for length in 1..=4 {
        let to = all.len();
        for at in from..to {
            let next = ACTS.iter().filter(|act| !all[at].contains(act));
            let longer: Vec<Vec<Act>> = next.map(|act| [&all[at][..], &[*act]].concat()).collect();
            all.extend(
                longer
                    .into_iter()
                    .filter(|acts| length < 4 || acts.iter().all(|act| ACTS[..4].contains(act))),
            );
        }
        from = to;
    }
    all.remove(0);
    all
}

/// Whether the acts leave nothing that runs: a request to cancel alone does not.
fn settles(acts: &[Act]) -> bool {
    acts.iter().any(|act| *act != Act::Cancel)
}

#[tokio::test]
async fn in_every_order_a_job_ends_once() {
    let orders = orders();
    assert_eq!(orders.len(), 7 + 42 + 210 + 24);
    for acts in orders.iter().filter(|acts| settles(acts)) {
        let bench = Bench::new().await;
        let claimed = nearly_done(&bench).await;
        for step in acts {
            act(&bench.store, &claimed, *step).await;
        }
        let state = assert_ended_once(&bench, &claimed.job, acts).await;
        let first = acts.iter().find(|act| **act != Act::Cancel).unwrap();
        let asked = acts.iter().position(|act| *act == Act::Cancel);
        let before = asked < acts.iter().position(|act| act == first) && asked.is_some();
        // The first one that ends the run decides; a cancel before it wins over everything but success and failure.
        let expected = match first {
            Act::Complete => Some(JobState::Completed),
            Act::Fail => Some(JobState::Failed),
            Act::Clear | Act::Cancelled => Some(JobState::Cancelled),
            _ if before => Some(JobState::Cancelled),
            // It is queued again, so what follows counts.
            _ => None,
        };
        if let Some(expected) = expected {
            assert_eq!(state, expected, "{acts:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_at_once_a_job_ends_once_and_a_new_worker_can_end_it() {
    for round in 0..40 {
        let bench = Bench::new().await;
        let claimed = nearly_done(&bench).await;
        let second = Store::open(bench.store.path()).await.unwrap();
        let mut actors = JoinSet::new();
        for (n, step) in ACTS.into_iter().enumerate() {
            let store = if (n + round) % 2 == 0 {
                bench.store.clone()
            } else {
                second.clone()
            };
            let claimed = Claimed {
                claim: claimed.claim,
                job: claimed.job.clone(),
                model: claimed.model.clone(),
            };
            actors.spawn(async move { act(&store, &claimed, step).await });
        }
        actors.join_all().await;
        let state = assert_ended_once(&bench, &claimed.job, &ACTS).await;
        if state.is_final() {
            continue;
        }
        let token = bench
            .store
            .acquire("next", true, at(50))
            .await
            .unwrap()
            .unwrap();
        let again = bench
            .store
            .claim(token, None, BACKOFF, at(60))
            .await
            .unwrap()
            .unwrap();
        act(&bench.store, &again, Act::Complete).await;
        assert_ended_once(&bench, &claimed.job, &ACTS).await;
    }
}
