//! Opening: rights, migrations, several processes at once.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use super::{Bench, at, spec};
use crate::store::{Store, StoreError};

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let bench = Bench::new().await;
    bench.model("a").await;
    let beside = |suffix: &str| bench.folder.path().join(format!("m.db{suffix}"));
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&beside(suffix)), 0o600, "{suffix}");
        fs::set_permissions(beside(suffix), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let second = Store::open(beside("")).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&beside(suffix)), 0o600, "{suffix} again");
    }
    drop(second);
}

#[tokio::test]
async fn a_missing_folder_or_a_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Store::open(folder.path().join("no/m.db"))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }));
    assert!(
        error.to_string().contains("does not exist") && error.to_string().contains("no/m.db"),
        "{error}"
    );
    assert!(matches!(
        Store::open(folder.path()).await.unwrap_err(),
        StoreError::Open { .. }
    ));
}

async fn raw(path: &Path) -> sqlx::SqliteConnection {
    sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn another_programs_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let mut other = raw(&path).await;
    other.execute("CREATE TABLE jobs (x)").await.unwrap();
    let error = Store::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(tables, 1);

    let text = folder.path().join("text.db");
    fs::write(
        &text,
        "this is no database, but it is long enough to be looked at as one".repeat(20),
    )
    .unwrap();
    assert!(matches!(
        Store::open(&text).await.unwrap_err(),
        StoreError::Open { .. }
    ));
    assert!(
        fs::read_to_string(&text)
            .unwrap()
            .starts_with("this is no database")
    );
}

#[tokio::test]
async fn a_newer_or_changed_schema_is_refused() {
    let bench = Bench::new().await;
    let mut shell = bench.shell().await;
    shell
        .execute("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', 1, x'00', 0)")
        .await
        .unwrap();
    let error = Store::open(bench.store.path()).await.unwrap_err();
    assert!(error.to_string().contains("newer modelhaul"), "{error}");
    shell
        .execute("DELETE FROM _sqlx_migrations WHERE version = 9999")
        .await
        .unwrap();
    shell
        .execute("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 2")
        .await
        .unwrap();
    let error = Store::open(bench.store.path()).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Migration { reason, .. } if reason.contains("step 2")),
        "{error}"
    );
}

#[tokio::test]
async fn connections_are_set_as_promised() {
    let bench = Bench::new().await;
    for (question, expected) in [
        ("SELECT synchronous FROM pragma_synchronous", "2"),
        ("SELECT foreign_keys FROM pragma_foreign_keys", "1"),
        ("SELECT trusted_schema FROM pragma_trusted_schema", "0"),
        ("SELECT journal_mode FROM pragma_journal_mode", "wal"),
    ] {
        let text: String = sqlx::query_scalar(super::unchecked(format!(
            "SELECT CAST(({question}) AS TEXT)"
        )))
        .fetch_one(bench.store.writer().pool())
        .await
        .unwrap();
        assert_eq!(text, expected, "{question}");
    }
    for _ in 0..8 {
        let refused = sqlx::query("UPDATE settings SET paused = 1")
            .execute(bench.store.reader().pool())
            .await;
        assert!(refused.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_tasks_open_a_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let path = folder.path().join(format!("{round}.db"));
        let mut openers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let path = path.clone();
            openers.spawn(async move { Store::open(path).await.map(drop) });
        }
        for opened in openers.join_all().await {
            opened.unwrap();
        }
    }
}

/// The other half of `four_processes_open_a_new_file_at_once`: opens and writes in its working folder.
#[tokio::test]
#[ignore = "run by another test in a process of its own"]
async fn child_opens_and_writes() {
    let store = Store::open("race.db").await.unwrap();
    let name = format!("m{}", std::process::id());
    let (model, created) = store.add_model(&spec(&name), at(0)).await.unwrap();
    assert!(created);
    assert!(store.enqueue(model.key, 0, at(0)).await.unwrap().1);
    store.close().await;
}

#[tokio::test]
async fn four_processes_open_a_new_file_at_once() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let children: Vec<_> = (0..4)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args([
                        "--exact",
                        "store::tests::opening::child_opens_and_writes",
                        "--ignored",
                    ])
                    .current_dir(folder.path())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stdout)
            );
        }
        let store = Store::open(folder.path().join("race.db")).await.unwrap();
        assert_eq!(store.active_jobs(None, 10).await.unwrap().len(), 4);
        let mut check = raw(store.path()).await;
        let whole: String = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(&mut check)
            .await
            .unwrap();
        assert_eq!(whole, "ok");
        check.close().await.unwrap();
    }
}
