//! Random steps of people, workers, stale workers and a hand at the shell; what must always hold is asked in SQL.

use proptest::prelude::*;
use sqlx::Executor as _;

use super::{BACKOFF, Bench, at, checkpoint, commit, file, planned, ready};
use crate::domain::{Failure, FailureCode, FileRow, JobState, WaitReason};
use crate::store::{Claim, ProgressUpdate, StoreError};

/// Each answers how many rows break its rule.
const RULES: &[(&str, &str)] = &[
    ("one job runs at most", "SELECT max(count(*) - 1, 0) FROM jobs WHERE state = 'running'"),
    (
        "one active job per model",
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state IN ('queued', 'running') GROUP BY model_key HAVING count(*) > 1)",
    ),
    (
        "what runs has a lease",
        "SELECT count(*) FROM jobs WHERE state = 'running' AND lease_token NOT IN (SELECT token FROM lease)",
    ),
    (
        "an open attempt belongs to what runs",
        "SELECT count(*) FROM attempts a JOIN jobs j USING (job_key)
          WHERE (a.ended_at_ms IS NULL) <> (j.state = 'running' AND j.attempt = a.attempt)",
    ),
    (
        "every claim left an attempt",
        "SELECT count(*) FROM jobs j WHERE j.attempt <> (SELECT count(*) FROM attempts a WHERE a.job_key = j.job_key)",
    ),
    (
        "every state was an event",
        "SELECT count(*) FROM jobs j WHERE j.state IS NOT (SELECT e.to_state FROM events e
          WHERE e.job_key = j.job_key AND e.to_state IS NOT NULL ORDER BY e.event_id DESC LIMIT 1)",
    ),
    (
        "every recorded step is a legal one",
        "SELECT count(*) FROM events WHERE from_state IS NOT NULL AND to_state IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM job_transition t WHERE t.from_state = events.from_state AND t.to_state = events.to_state)",
    ),
    (
        "a completed job made its model ready",
        "SELECT count(*) FROM jobs j JOIN models m USING (model_key) WHERE j.state = 'completed' AND m.ready_at_ms IS NULL",
    ),
    ("no reference is broken", "SELECT count(*) FROM pragma_foreign_key_check"),
];

#[derive(Debug, Clone, Copy)]
enum Step {
    Enqueue(usize),
    Claim,
    Cancel(usize),
    Pause(usize, bool),
    Clear(usize),
    RunNow(usize),
    Requeue(usize),
    DeleteLease,
    DeleteLeaseByHand,
    Acquire,
    /// A write under one of the claims ever given, the newest being 0.
    Write(usize, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize).prop_map(Step::Enqueue),
        6 => Just(Step::Claim),
        1 => (0..3usize).prop_map(Step::Cancel),
        1 => (0..3usize, any::<bool>()).prop_map(|(model, on)| Step::Pause(model, on)),
        1 => (0..3usize).prop_map(Step::Clear),
        2 => (0..3usize).prop_map(Step::RunNow),
        1 => (0..3usize).prop_map(Step::Requeue),
        1 => Just(Step::DeleteLease),
        1 => Just(Step::DeleteLeaseByHand),
        3 => Just(Step::Acquire),
        10 => (prop_oneof![4 => Just(0usize), 1 => 1..4usize], 0..8u8).prop_map(|(age, way)| Step::Write(age, way)),
    ]
}

async fn write(
    bench: &Bench,
    claim: Claim,
    rows: &mut Vec<FileRow>,
    way: u8,
) -> Result<(), StoreError> {
    let (store, failure) = (&bench.store, Failure::new(FailureCode::Network, "x"));
    match way {
        0 => {
            let plan = [file("a", 100, 'a'), file("b", 0, 'b')];
            *rows = store
                .set_plan(claim, planned(&commit('1'), &plan), at(5))
                .await?;
        }
        1 => {
            let points: Vec<_> = rows
                .iter()
                .take(1)
                .map(|row| checkpoint(row, "0-7", claim.lease_token))
                .collect();
            store
                .progress(
                    claim,
                    &ProgressUpdate {
                        bytes_done: 7,
                        ..ProgressUpdate::default()
                    },
                    &points,
                    at(6),
                )
                .await?;
        }
        2 | 3 => {
            store
                .publish_files(
                    claim,
                    rows.iter().map(|row| row.key).collect(),
                    at(7),
                    || Ok(()),
                )
                .await?;
        }
        4 => {
            store
                .complete(claim, ready(commit('1'), 100, 2), at(8), || Ok(()))
                .await?;
        }
        5 => store.fail(claim, &failure, at(8)).await?,
        6 => {
            store
                .retry(claim, &failure, WaitReason::RetryBackoff, at(30), 1, at(8))
                .await?;
        }
        _ => {
            store.release(claim, at(8)).await?;
        }
    }
    Ok(())
}

async fn play(steps: Vec<Step>) {
    let bench = Bench::new().await;
    let mut models = Vec::new();
    for name in ["a", "b", "c"] {
        models.push(bench.model(name).await.key);
    }
    let mut shell = bench.shell().await;
    let (mut token, mut claims): (Option<i64>, Vec<Claim>) = (None, Vec::new());
    let mut rows = Vec::new();
    for step in &steps {
        match *step {
            Step::Enqueue(model) => {
                bench.store.enqueue(models[model], 0, at(1)).await.unwrap();
            }
            Step::Acquire => {
                token = bench
                    .store
                    .acquire("x", true, at(1))
                    .await
                    .unwrap()
                    .or(token);
            }
            Step::Claim => {
                let Some(token) = token else { continue };
                match bench.store.claim(token, None, BACKOFF, at(20)).await {
                    Ok(found) => claims.extend(found.map(|found| found.claim)),
                    Err(StoreError::Fenced) => assert!(
                        bench
                            .store
                            .lease()
                            .await
                            .unwrap()
                            .is_none_or(|l| l.token != token)
                    ),
                    Err(other) => panic!("{other}"),
                }
            }
            Step::DeleteLease => {
                bench.store.delete_lease(token).await.unwrap();
            }
            Step::DeleteLeaseByHand => {
                shell.execute("DELETE FROM lease").await.unwrap();
            }
            Step::Clear(model) => {
                bench.store.clear(models[model], at(4)).await.unwrap();
            }
            Step::Cancel(model)
            | Step::Pause(model, _)
            | Step::RunNow(model)
            | Step::Requeue(model) => {
                let jobs = bench
                    .store
                    .jobs(None, Some(models[model]), None, 1)
                    .await
                    .unwrap();
                let Some(job) = jobs.first() else { continue };
                match *step {
                    Step::Cancel(_) => {
                        assert!(
                            bench
                                .store
                                .request_cancel(job.key, at(4))
                                .await
                                .unwrap()
                                .is_some()
                                != job.state.is_final()
                        );
                    }
                    Step::Pause(_, on) => assert!(
                        bench.store.set_paused(job.key, on, at(4)).await.unwrap()
                            != job.state.is_final()
                    ),
                    Step::RunNow(_) => {
                        let waits = job.state == JobState::Queued;
                        assert_eq!(bench.store.run_now(job.key, at(4)).await.unwrap(), waits);
                    }
                    _ => {
                        let failed = job.state == JobState::Failed;
                        assert_eq!(
                            bench.store.requeue_failed(job.key, at(4)).await.unwrap(),
                            failed
                        );
                    }
                }
            }
            Step::Write(age, way) => {
                let Some(claim) = claims.iter().rev().nth(age).copied() else {
                    continue;
                };
                let running = bench.store.active_jobs(None, 1).await.unwrap();
                let holds = running.first().is_some_and(|job| {
                    (job.key, job.lease_token, job.attempt)
                        == (claim.job_key, Some(claim.lease_token), claim.attempt)
                });
                match write(&bench, claim, &mut rows, way).await {
                    Ok(()) => assert!(holds, "{step:?}: a stale worker wrote"),
                    Err(StoreError::Fenced) => {
                        assert!(!holds, "{step:?}: a good worker was fenced off");
                    }
                    Err(StoreError::Conflict(_)) => assert!(holds),
                    Err(other) => panic!("{step:?}: {other}"),
                }
            }
        }
        for (rule, question) in RULES {
            let broken: i64 = sqlx::query_scalar(*question)
                .fetch_one(&mut shell)
                .await
                .unwrap();
            assert_eq!(broken, 0, "{rule}, after {step:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_whatever_is_done(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}
