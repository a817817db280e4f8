//! Plans, checkpoints and publications.

use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{Bench, at, checkpoint, commit, file, id, planned, ready};
use crate::domain::{FileRow, FileState, JobState, PlannedFile};
use crate::store::{ProgressUpdate, Store, StoreError};

async fn report(bench: &Bench, claim: crate::store::Claim, points: &[super::FileCheckpoint]) {
    bench
        .store
        .progress(claim, &ProgressUpdate::default(), points, at(5))
        .await
        .unwrap();
}

fn by_path<'a>(rows: &'a [FileRow], path: &str) -> &'a FileRow {
    rows.iter()
        .find(|row| row.file.path.as_str() == path)
        .unwrap()
}

#[tokio::test]
async fn a_plan_keeps_what_is_here_and_begins_anew_what_changed() {
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    let claim = claimed.claim;
    assert_eq!(
        rows.iter().map(|r| r.state).collect::<Vec<_>>(),
        [FileState::Pending; 2]
    );
    let token = claim.lease_token;
    report(
        &bench,
        claim,
        &[
            checkpoint(&rows[0], "0-40", token),
            checkpoint(&rows[1], "0-20", token),
        ],
    )
    .await;

    let changed = [
        file("a.bin", 100, 'a'),
        file("b.bin", 50, 'c'),
        file("new", 5, 'd'),
    ];
    let rows = bench
        .store
        .set_plan(claim, planned(&commit('1'), &changed), at(6))
        .await
        .unwrap();
    let kept = by_path(&rows, "a.bin");
    assert_eq!(
        (kept.state, kept.ranges.to_string(), kept.part_token),
        (FileState::Partial, "0-40".to_owned(), Some(token))
    );
    assert_eq!(by_path(&rows, "b.bin").state, FileState::Pending);
    assert_eq!(by_path(&rows, "b.bin").part_name, None);
    let job = bench.read(&claimed.job).await;
    assert_eq!(
        (job.bytes_done, job.bytes_total, job.files_total),
        (40, Some(155), Some(3))
    );
    assert_eq!(job.commit, Some(commit('1')));
    assert_eq!(
        bench.store.files_of_job(claimed.job.key).await.unwrap(),
        rows
    );
    assert_eq!(
        bench
            .store
            .files_of(claimed.model.key, &commit('1'))
            .await
            .unwrap(),
        rows
    );
}

#[tokio::test]
async fn the_next_job_and_the_next_commit_take_over_the_parts() {
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    report(
        &bench,
        claimed.claim,
        &[checkpoint(&rows[0], "0-40", claimed.claim.lease_token)],
    )
    .await;
    bench.store.cancelled(claimed.claim, at(6)).await.unwrap();
    bench
        .store
        .enqueue(claimed.model.key, 0, at(7))
        .await
        .unwrap();
    let next = bench.claim(claimed.claim.lease_token).await.unwrap();
    let plan = [file("moved/a.bin", 100, 'a'), file("copy.bin", 100, 'a')];
    let rows = bench
        .store
        .set_plan(next.claim, planned(&commit('2'), &plan), at(8))
        .await
        .unwrap();
    assert!(
        rows.iter()
            .all(|row| row.ranges.to_string() == "0-40" && row.state == FileState::Partial)
    );
    let job = bench.read(&next.job).await;
    assert_eq!(
        (job.bytes_total, job.bytes_done, job.files_total),
        (Some(100), 40, Some(2))
    );

    // One of the two paths is published: nothing may speak of the part any more.
    let key = by_path(&rows, "copy.bin").key;
    bench
        .store
        .publish_files(next.claim, vec![key], at(9), || Ok(()))
        .await
        .unwrap();
    assert_eq!(bench.store.parts_of(claimed.model.key).await.unwrap(), []);
    let rows = bench.store.files_of_job(next.job.key).await.unwrap();
    assert_eq!(
        (
            by_path(&rows, "copy.bin").state,
            by_path(&rows, "copy.bin").verified
        ),
        (FileState::Done, true)
    );
    assert_eq!(by_path(&rows, "moved/a.bin").state, FileState::Pending);
}

#[tokio::test]
async fn an_old_plan_takes_over_what_a_twin_has_left_since() {
    let bench = Bench::new().await;
    // Two models of one repository; the second is planned first, and put off.
    let (late, rows) = bench.planned("late").await;
    let token = late.claim.lease_token;
    assert_eq!(
        bench.store.take_over(late.claim, at(3)).await.unwrap(),
        None
    );
    bench
        .store
        .set_paused(late.job.key, true, at(3))
        .await
        .unwrap();
    bench.store.release(late.claim, at(4)).await.unwrap();
    bench.job("twin").await;
    let twin = bench.claim(token).await.unwrap();
    let plan = [file("a.bin", 100, 'a')];
    let twins = bench
        .store
        .set_plan(twin.claim, planned(&commit('1'), &plan), at(5))
        .await
        .unwrap();
    report(&bench, twin.claim, &[checkpoint(&twins[0], "0-40", token)]).await;
    bench.store.cancelled(twin.claim, at(6)).await.unwrap();

    bench
        .store
        .set_paused(late.job.key, false, at(7))
        .await
        .unwrap();
    let again = bench.claim(token).await.unwrap();
    assert_eq!(again.job.id, late.job.id);
    let taken = bench.store.take_over(again.claim, at(8)).await.unwrap();
    let taken = taken.unwrap();
    let row = by_path(&taken, "a.bin");
    assert_eq!(
        (row.key, row.state, row.ranges.to_string()),
        (rows[0].key, FileState::Partial, "0-40".to_owned())
    );
    assert_eq!(by_path(&taken, "b.bin").state, FileState::Pending);
    // It serves one of them at a time.
    let left = bench.store.files_of_job(twin.job.key).await.unwrap();
    assert!(left.iter().all(|row| row.part_name.is_none()));
    assert_eq!(
        bench.store.take_over(again.claim, at(9)).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn present_and_missing_files_are_counted() {
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    let keys: Vec<i64> = rows.iter().map(|row| row.key).collect();
    bench
        .store
        .mark_present(claimed.claim, &keys, at(3))
        .await
        .unwrap();
    assert_eq!(bench.read(&claimed.job).await.files_done, 2);
    let rows = bench.store.files_of_job(claimed.job.key).await.unwrap();
    assert!(
        rows.iter()
            .all(|row| row.state == FileState::Done && !row.verified)
    );
    assert_eq!(
        bench
            .store
            .set_verified(&keys[..1], true, at(4))
            .await
            .unwrap(),
        1
    );
    bench
        .store
        .mark_present(claimed.claim, &keys, at(3))
        .await
        .unwrap();
    assert!(bench.store.files_of_job(claimed.job.key).await.unwrap()[0].verified);

    bench
        .store
        .mark_missing(claimed.claim, &keys[..1], at(4))
        .await
        .unwrap();
    assert_eq!(bench.read(&claimed.job).await.files_done, 1);
    let foreign = bench
        .store
        .mark_present(claimed.claim, &[keys[0], 999], at(5))
        .await
        .unwrap_err();
    assert!(matches!(foreign, StoreError::Conflict(_)), "{foreign}");
    assert_eq!(bench.read(&claimed.job).await.files_done, 1);
}

#[tokio::test]
async fn a_late_checkpoint_does_not_undo_a_publication() {
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    bench
        .store
        .publish_files(claimed.claim, vec![rows[0].key], at(3), || Ok(()))
        .await
        .unwrap();
    report(&bench, claimed.claim, &[checkpoint(&rows[0], "0-40", 1)]).await;
    let after = bench.store.files_of_job(claimed.job.key).await.unwrap();
    assert_eq!(
        (after[0].state, after[0].part_name.as_ref()),
        (FileState::Done, None)
    );
}

#[tokio::test]
async fn more_bytes_than_the_file_has_are_refused_whole() {
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    let update = ProgressUpdate {
        bytes_done: 77,
        ..ProgressUpdate::default()
    };
    let lie = checkpoint(&rows[0], "0-101", 1);
    assert!(
        bench
            .store
            .progress(claimed.claim, &update, &[lie], at(4))
            .await
            .is_err()
    );
    assert_eq!(bench.read(&claimed.job).await.bytes_done, 0);
}

#[tokio::test]
async fn a_failed_publication_records_nothing() {
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    let full = || Err(io::Error::from(io::ErrorKind::StorageFull));
    let error = bench
        .store
        .publish_files(claimed.claim, vec![rows[0].key], at(3), full)
        .await
        .unwrap_err();
    let StoreError::Publish(cause) = error else {
        panic!("{error}")
    };
    assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
    let broken = || -> io::Result<()> { panic!("a defect") };
    let error = bench
        .store
        .publish_files(claimed.claim, vec![rows[0].key], at(3), broken)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Publish(_)));
    assert_eq!(
        bench.store.files_of_job(claimed.job.key).await.unwrap(),
        rows
    );
    bench
        .store
        .progress(claimed.claim, &ProgressUpdate::default(), &[], at(4))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_job_completes_only_with_all_its_files_and_makes_the_model_ready() {
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    let whole = ready(commit('1'), 150, 2);
    bench
        .store
        .publish_files(claimed.claim, vec![rows[0].key], at(3), || Ok(()))
        .await
        .unwrap();
    let early = bench
        .store
        .complete(claimed.claim, whole.clone(), at(4), || panic!("too early"))
        .await
        .unwrap_err();
    assert!(matches!(early, StoreError::Conflict(_)), "{early}");
    bench
        .store
        .publish_files(claimed.claim, vec![rows[1].key], at(5), || Ok(()))
        .await
        .unwrap();
    let refused = bench
        .store
        .complete(claimed.claim, whole.clone(), at(6), || {
            Err(io::Error::other("no link"))
        })
        .await;
    assert!(matches!(refused.unwrap_err(), StoreError::Publish(_)));
    assert_eq!(
        bench
            .store
            .model(&id("a"))
            .await
            .unwrap()
            .unwrap()
            .readiness,
        None
    );

    bench
        .store
        .complete(claimed.claim, whole.clone(), at(7), || Ok(()))
        .await
        .unwrap();
    let job = bench.read(&claimed.job).await;
    assert_eq!(
        (job.state, job.bytes_done, job.files_done),
        (JobState::Completed, 150, 2)
    );
    assert_eq!(
        bench
            .store
            .model(&id("a"))
            .await
            .unwrap()
            .unwrap()
            .readiness,
        Some(whole)
    );
    assert_eq!(
        bench.store.active_job(claimed.model.key).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_job_without_a_plan_completes_with_the_numbers_of_its_handler() {
    let bench = Bench::new().await;
    let claimed = bench.running("a").await;
    bench
        .store
        .complete(claimed.claim, ready(commit('1'), 9, 3), at(7), || Ok(()))
        .await
        .unwrap();
    let job = bench.read(&claimed.job).await;
    assert_eq!(
        (job.bytes_total, job.bytes_done, job.files_total),
        (Some(9), 9, Some(3))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_cannot_be_taken_during_a_publication_and_none_is_possible_after() {
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    let other = Store::open(bench.store.path()).await.unwrap();
    let (inside, is_inside) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let (store, claim, key) = (bench.store.clone(), claimed.claim, rows[0].key);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let act = move || {
            inside.send(()).unwrap();
            may_go.recv().map_err(io::Error::other)
        };
        store.publish_files(claim, vec![key], at(3), act).await
    });
    tokio::task::spawn_blocking(move || is_inside.recv().unwrap())
        .await
        .unwrap();
    let mut taking = tokio::task::JoinSet::new();
    taking.spawn(async move { other.delete_lease(None).await.unwrap() });
    assert!(
        tokio::time::timeout(Duration::from_millis(300), taking.join_next())
            .await
            .is_err()
    );
    go.send(()).unwrap();
    tasks.join_next().await.unwrap().unwrap().unwrap();
    assert!(taking.join_next().await.unwrap().unwrap());
    let late = bench
        .store
        .publish_files(claim, vec![rows[1].key], at(4), || panic!("published"))
        .await
        .unwrap_err();
    assert!(matches!(late, StoreError::Fenced));
    assert_eq!(
        bench.store.files_of_job(claimed.job.key).await.unwrap()[0].state,
        FileState::Done
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_ends_although_its_caller_is_gone() {
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    let (inside, is_inside) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let (store, claim, key) = (bench.store.clone(), claimed.claim, rows[0].key);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let act = move || {
            inside.send(()).unwrap();
            may_go.recv().map_err(io::Error::other)
        };
        store.publish_files(claim, vec![key], at(3), act).await
    });
    tokio::task::spawn_blocking(move || is_inside.recv().unwrap())
        .await
        .unwrap();
    tasks.shutdown().await;
    go.send(()).unwrap();
    let path = bench.store.path().to_owned();
    bench.store.close().await;
    let again = Store::open(path).await.unwrap();
    assert_eq!(
        again.files_of_job(claimed.job.key).await.unwrap()[0].state,
        FileState::Done
    );
}

#[tokio::test]
async fn parts_are_forgotten_only_while_no_job_runs() {
    let bench = Bench::new().await;
    let (claimed, rows) = bench.planned("a").await;
    report(&bench, claimed.claim, &[checkpoint(&rows[0], "0-40", 7)]).await;
    let parts = bench.store.all_parts().await.unwrap();
    assert_eq!(
        (parts.len(), parts[0].bytes_done, parts[0].part_token),
        (1, 40, 7)
    );
    assert_eq!(parts[0].repo_id.as_deref(), Some("org/name"));
    assert_eq!(
        bench
            .store
            .forget_parts(&[rows[0].key], at(6))
            .await
            .unwrap(),
        Vec::<i64>::new()
    );
    bench.store.release(claimed.claim, at(7)).await.unwrap();
    assert_eq!(
        bench
            .store
            .forget_parts(&[rows[0].key, rows[1].key], at(8))
            .await
            .unwrap(),
        [rows[0].key]
    );
    assert_eq!(bench.store.parts_of(claimed.model.key).await.unwrap(), []);
}

#[tokio::test]
async fn a_repository_of_ten_thousand_files_is_planned_within_a_second() {
    let bench = Bench::new().await;
    let claimed = bench.running("a").await;
    let plan: Vec<PlannedFile> = (0..10_000u64)
        .map(|n| PlannedFile {
            digest: crate::domain::Digest::parse(&format!("f{n:063x}")).unwrap(),
            ..file(&format!("folder/{n:05}.bin"), n, 'a')
        })
        .collect();
    for round in 0..2 {
        let start = Instant::now();
        let rows = bench
            .store
            .set_plan(claimed.claim, planned(&commit('1'), &plan), at(2))
            .await
            .unwrap();
        let took = start.elapsed();
        assert_eq!(rows.len(), 10_000);
        // The machine that runs this may be shared: the target is one second on an idle one.
        assert!(took < Duration::from_secs(5), "round {round} took {took:?}");
        eprintln!("round {round}: {took:?}");
    }
}
