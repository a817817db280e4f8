//! What is acknowledged is kept: after a kill, and on a full disk.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{BACKOFF, Bench, at, commit, file, planned, spec};
use crate::domain::{JobId, JobState};
use crate::store::{ProgressUpdate, Store, StoreError};

/// The other half of `what_was_acknowledged_survives_kill_9`: enqueues and tells each job, until it is killed.
#[tokio::test]
#[ignore = "run by another test in a process of its own"]
async fn child_enqueues_until_killed() {
    let store = Store::open("kill.db").await.unwrap();
    let token = store.acquire("child", true, at(0)).await.unwrap().unwrap();
    for n in 0..100_000 {
        let (model, _) = store
            .add_model(&spec(&format!("m{n}")), at(n))
            .await
            .unwrap();
        let (job, _) = store.enqueue(model.key, 0, at(n)).await.unwrap();
        println!("accepted {}", job.id);
        if n == 0 {
            let claimed = store
                .claim(token, None, BACKOFF, at(1))
                .await
                .unwrap()
                .unwrap();
            store
                .set_plan(
                    claimed.claim,
                    planned(&commit('1'), &[file("a", 9, 'a')]),
                    at(1),
                )
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::tests::crash::child_enqueues_until_killed",
            "--ignored",
            "--nocapture",
        ])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut accepted: Vec<JobId> = Vec::new();
    for line in lines {
        let line = line.unwrap_or_default();
        let Some((_, id)) = line.split_once("accepted ") else {
            continue;
        };
        accepted.extend(id.parse::<JobId>().ok());
        if accepted.len() == 40 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(accepted.len() >= 40);

    let store = Store::open(folder.path().join("kill.db")).await.unwrap();
    for id in &accepted {
        assert!(
            store.job(*id).await.unwrap().is_some(),
            "{id} was accepted and is gone"
        );
    }
    // The next holder finds the job of the dead one, and puts it back without using up a try.
    let lease = store.lease().await.unwrap().unwrap();
    assert!(store.delete_lease(Some(lease.token)).await.unwrap());
    let job = store.job(accepted[0]).await.unwrap().unwrap();
    assert_eq!((job.state, job.retries), (JobState::Queued, 0));
}

#[tokio::test]
async fn on_a_full_disk_each_acknowledged_row_is_there_and_no_other() {
    let bench = Bench::new().await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(bench.store.writer().pool())
        .await
        .unwrap();
    let limit = format!("PRAGMA max_page_count = {}", pages + 8);
    sqlx::query(super::unchecked(limit))
        .execute(bench.store.writer().pool())
        .await
        .unwrap();
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for n in 0..300 {
        match bench.store.add_model(&spec(&format!("m{n}")), at(n)).await {
            Ok((model, true)) => accepted.push(model.spec.model_id),
            Ok((_, false)) => panic!("m{n} is there already"),
            Err(StoreError::DiskFull) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(!accepted.is_empty() && refused > 0);
    let mut stored: Vec<_> = bench
        .store
        .models(None, 1000)
        .await
        .unwrap()
        .into_iter()
        .map(|m| m.spec.model_id)
        .collect();
    accepted.sort();
    stored.sort();
    assert_eq!(stored, accepted);

    sqlx::query("PRAGMA max_page_count = 1000000")
        .execute(bench.store.writer().pool())
        .await
        .unwrap();
    bench.model("room-again").await;
}

#[tokio::test]
async fn a_dropped_caller_leaves_no_lock_behind() {
    let bench = Bench::new().await;
    let model = bench.model("a").await;
    for n in 0..200u64 {
        let (job, _) = bench.store.enqueue(model.key, 0, at(1)).await.unwrap();
        let cancel = async {
            bench.store.request_cancel(job.key, at(2)).await.unwrap();
            bench.store.enqueue(model.key, 0, at(3)).await.unwrap();
            bench.store.clear(model.key, at(4)).await.unwrap();
        };
        tokio::time::timeout(Duration::from_micros(n * 20), cancel)
            .await
            .ok();
    }
    let other = Store::open(bench.store.path()).await.unwrap();
    let (job, _) = other.enqueue(model.key, 0, at(9)).await.unwrap();
    assert_eq!(bench.store.active_jobs(None, 9).await.unwrap().len(), 1);
    let token = bench.token().await;
    let claimed = bench.claim(token).await.unwrap();
    assert_eq!(claimed.job.id, job.id);
    bench
        .store
        .progress(claimed.claim, &ProgressUpdate::default(), &[], at(10))
        .await
        .unwrap();
}
