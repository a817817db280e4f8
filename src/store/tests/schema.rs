//! The words and rules of the schema are those of the domain.

use std::collections::BTreeSet;

use sqlx::{Executor as _, Row as _};

use super::{BACKOFF, Bench, at, checkpoint};
use crate::domain::{Failure, FailureCode, FileState, JobKind, JobState, Kind, Phase, WaitReason};
use crate::store::StoreError;
use crate::store::open::MIGRATIONS;

/// The words of the CHECK that lists them for a column of a table.
fn check_words(table: &str, column: &str) -> BTreeSet<String> {
    let schema = MIGRATIONS.iter().next().unwrap().sql.as_str().to_owned();
    let body = schema
        .split(&format!("CREATE TABLE {table} ("))
        .nth(1)
        .unwrap();
    let body = body.split(") STRICT").next().unwrap();
    let list = body.split(&format!("CHECK ({column} IN (")).nth(1).unwrap();
    let list = list.split("))").next().unwrap();
    list.split(',')
        .map(|word| word.trim().trim_matches('\'').to_owned())
        .collect()
}

fn words<T: Copy>(all: &[T], word: impl Fn(T) -> &'static str) -> BTreeSet<String> {
    all.iter().map(|value| word(*value).to_owned()).collect()
}

#[test]
fn the_words_of_the_checks_are_those_of_the_domain() {
    assert_eq!(
        check_words("jobs", "state"),
        words(JobState::ALL, JobState::as_str)
    );
    assert_eq!(
        check_words("jobs", "phase"),
        words(Phase::ALL, Phase::as_str)
    );
    assert_eq!(
        check_words("jobs", "wait_reason"),
        words(WaitReason::ALL, WaitReason::as_str)
    );
    assert_eq!(
        check_words("files", "state"),
        words(FileState::ALL, FileState::as_str)
    );
    assert_eq!(
        check_words("jobs", "kind"),
        words(JobKind::ALL, JobKind::as_str)
    );
    assert_eq!(
        check_words("models", "kind"),
        words(Kind::ALL, Kind::as_str)
    );
}

#[tokio::test]
async fn the_transition_table_is_the_domains() {
    let bench = Bench::new().await;
    let rows = sqlx::query("SELECT from_state, to_state FROM job_transition")
        .fetch_all(bench.store.reader().pool())
        .await
        .unwrap();
    let stored: BTreeSet<(String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected: BTreeSet<(String, String)> = JobState::ALL
        .iter()
        .flat_map(|from| JobState::ALL.iter().map(move |to| (*from, *to)))
        .filter(|(from, to)| from.may_become(*to))
        .map(|(from, to)| (from.to_string(), to.to_string()))
        .collect();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn a_forbidden_step_is_refused_for_everyone() {
    let bench = Bench::new().await;
    let job = bench.job("a").await;
    let mut shell = bench.shell().await;
    bench.store.request_cancel(job.key, at(1)).await.unwrap();
    for (step, rule) in [
        ("UPDATE jobs SET state = 'queued', finished_at_ms = NULL", "step between job states"),
        ("UPDATE jobs SET state = 'completed', bytes_total = 0, files_total = 0", "step between job states"),
        ("UPDATE jobs SET job_id = 'x'", "keeps its id"),
        ("UPDATE events SET kind = 'x'", "never changed"),
        (
            "INSERT INTO jobs (job_id, model_key, state, run_after_ms, enqueued_at_ms, updated_at_ms, finished_at_ms)
             VALUES ('000000000000000000000000000000000000', 1, 'cancelled', 1, 1, 1, 1)",
            "begins queued",
        ),
    ] {
        let error = shell.execute(step).await.unwrap_err().to_string();
        assert!(error.contains(rule), "{step}: {error}");
    }
}

#[tokio::test]
async fn the_constraints_hold() {
    let bench = Bench::new().await;
    let (claimed, _) = bench.planned("a").await;
    let mut shell = bench.shell().await;
    for lie in [
        "UPDATE jobs SET bytes_done = bytes_total + 1",
        "UPDATE jobs SET files_done = files_total + 1",
        "UPDATE jobs SET lease_token = NULL",
        "UPDATE jobs SET state = 'completed', lease_token = NULL, phase = NULL, finished_at_ms = 1",
        "UPDATE jobs SET wait_reason = 'disk_full'",
        "UPDATE jobs SET priority = 101",
        "UPDATE files SET state = 'done'",
        "UPDATE files SET digest = '../../etc'",
        "UPDATE files SET part_name = '../x', part_token = 1, state = 'partial'",
        "UPDATE files SET bytes_done = size + 1, state = 'partial', part_name = 'x', part_token = 1",
        "UPDATE models SET kind = 'x'",
        "UPDATE models SET repo_id = NULL",
        "UPDATE models SET ready_bytes = 1",
        "UPDATE settings SET paused = 'yes'",
        "INSERT INTO settings (id) VALUES (2)",
        "INSERT INTO lease (slot, holder, acquired_at_ms, renewed_at_ms, expires_at_ms) VALUES (2, 'x', 1, 1, 1)",
    ] {
        assert!(shell.execute(lie).await.is_err(), "{lie}");
    }
    assert_eq!(bench.read(&claimed.job).await.state, JobState::Running);
}

#[tokio::test]
async fn a_hand_that_deletes_a_model_leaves_no_orphans() {
    let bench = Bench::new().await;
    let (claimed, _) = bench.planned("a").await;
    let mut shell = bench.shell().await;
    assert!(shell.execute("DELETE FROM models").await.is_err());
    bench.store.cancelled(claimed.claim, at(4)).await.unwrap();
    shell.execute("DELETE FROM models").await.unwrap();
    for table in ["jobs", "files", "attempts"] {
        let text: &'static str = match table {
            "jobs" => "SELECT count(*) FROM jobs",
            "files" => "SELECT count(*) FROM files",
            _ => "SELECT count(*) FROM attempts",
        };
        let left: i64 = sqlx::query_scalar(text)
            .fetch_one(&mut shell)
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

/// The statements of the program, as the build recorded them.
fn statements() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        found.push(record["query"].as_str().unwrap().to_owned());
    }
    found
}

#[tokio::test]
async fn claim_and_status_use_their_indexes() {
    let bench = Bench::new().await;
    let statements = statements();
    for (part, index, sorts) in [
        ("attempt = attempt + 1", "jobs_runnable", false),
        ("min(run_after_ms)", "jobs_due", false),
        (
            "WHERE j.state = ?1 AND j.finished_at_ms IS NOT NULL",
            "jobs_ended",
            false,
        ),
        (
            "WHERE j.job_key = (SELECT max(job_key)",
            "jobs_by_model",
            false,
        ),
        (
            "WHERE j.model_key = ?1 AND j.state IN",
            "jobs_one_active",
            false,
        ),
        ("WHERE j.job_id = ?1", "sqlite_autoindex_jobs_1", false),
        ("AS \"open!: i64\" FROM files", "files_by_job", false),
        ("SET job_key = NULL WHERE job_key", "files_by_path", false),
        (
            "WHERE f.job_key = ?1 ORDER BY f.path",
            "files_by_path",
            false,
        ),
        (
            "WHERE f.job_key = ?1 AND f.path > ?2",
            "files_by_path",
            false,
        ),
        (
            "WHERE job_key = ?1 AND event_id > ?2",
            "events_by_job",
            false,
        ),
        ("WHERE event_id > ?1", "INTEGER PRIMARY KEY", false),
        ("ORDER BY e.at_ms LIMIT 500", "events_by_age", false),
        ("max(bytes_done) AS bytes_done", "files_by_digest", true),
    ] {
        let of_part: Vec<_> = statements
            .iter()
            .filter(|text| text.contains(part))
            .collect();
        assert!(!of_part.is_empty(), "no statement has `{part}`");
        for statement in of_part {
            let question = super::unchecked(format!("EXPLAIN QUERY PLAN {statement}"));
            let rows = sqlx::query(question)
                .fetch_all(bench.store.reader().pool())
                .await
                .unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let plan = plan.join("; ");
            assert!(
                plan.contains(index) && (sorts || !plan.contains("TEMP B-TREE")),
                "{statement}: {plan}"
            );
        }
    }
}

#[tokio::test]
async fn the_views_speak_for_themselves() {
    let bench = Bench::new().await;
    let (claimed, files) = bench.planned("a").await;
    let token = claimed.claim.lease_token;
    let update = crate::store::ProgressUpdate {
        bytes_done: 75,
        rate: 25,
        current_file: Some("a.bin".to_owned()),
        ..crate::store::ProgressUpdate::default()
    };
    bench
        .store
        .progress(
            claimed.claim,
            &update,
            &[checkpoint(&files[0], "0-75", token)],
            at(3),
        )
        .await
        .unwrap();
    let mut shell = bench.shell().await;
    let row = shell
        .fetch_one("SELECT model, files, done, time_left FROM v_progress")
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>(0), "a");
    assert_eq!(row.get::<String, _>(1), "0/2");
    assert_eq!(
        (row.get::<String, _>(2), row.get::<String, _>(3)),
        ("50.0%".to_owned(), "3s".to_owned())
    );
    let row = shell
        .fetch_one("SELECT works_on, holds_file_lock FROM v_lease")
        .await
        .unwrap();
    assert_eq!(
        (row.get::<String, _>(0), row.get::<String, _>(1)),
        ("a".to_owned(), "yes".to_owned())
    );

    let state = "SELECT state FROM v_queue";
    let full = Failure::new(FailureCode::DiskFull, "12 bytes are missing");
    let late: chrono::DateTime<chrono::Utc> = "2999-01-01T00:00:00Z".parse().unwrap();
    bench
        .store
        .retry(claimed.claim, &full, WaitReason::DiskFull, late, 0, at(4))
        .await
        .unwrap();
    let shown: String = shell.fetch_one(state).await.unwrap().get(0);
    assert!(
        shown.starts_with("waiting (disk_full, ") && shown.ends_with("s)"),
        "{shown}"
    );
    bench
        .store
        .set_paused(claimed.job.key, true, at(4))
        .await
        .unwrap();
    assert_eq!(
        shell.fetch_one(state).await.unwrap().get::<String, _>(0),
        "paused"
    );
    shell
        .execute("UPDATE settings SET paused = 1; UPDATE jobs SET paused = 0")
        .await
        .unwrap();
    assert_eq!(
        shell.fetch_one(state).await.unwrap().get::<String, _>(0),
        "paused (whole queue)"
    );
    shell
        .execute("UPDATE settings SET paused = 0")
        .await
        .unwrap();

    bench.store.run_now(claimed.job.key, at(5)).await.unwrap();
    assert_eq!(
        shell.fetch_one(state).await.unwrap().get::<String, _>(0),
        "queued"
    );
    let again = bench
        .store
        .claim(token, None, BACKOFF, at(5))
        .await
        .unwrap()
        .unwrap();
    bench
        .store
        .fail(again.claim, &full.with_remedy("make room"), at(6))
        .await
        .unwrap();
    let row = shell
        .fetch_one("SELECT code, what_to_do FROM v_failures")
        .await
        .unwrap();
    assert_eq!(
        (row.get::<String, _>(0), row.get::<String, _>(1)),
        ("disk_full".to_owned(), "make room".to_owned())
    );
    let row = shell
        .fetch_one("SELECT change, detail FROM v_events WHERE kind = 'state'")
        .await
        .unwrap();
    assert_eq!(
        (row.get::<String, _>(0), row.get::<String, _>(1)),
        ("running -> failed".to_owned(), "disk_full".to_owned())
    );
}

#[tokio::test]
async fn a_hand_written_error_code_does_not_hide_the_job() {
    let bench = Bench::new().await;
    let job = bench.job("a").await;
    let mut shell = bench.shell().await;
    shell
        .execute("UPDATE jobs SET error_code = 'by_hand', error = 'x'")
        .await
        .unwrap();
    let failure = bench.read(&job).await.failure.unwrap();
    assert_eq!(
        (failure.code, failure.message.as_str()),
        (FailureCode::Internal, "by_hand: x")
    );
    shell
        .execute("UPDATE models SET revision = 'a b'")
        .await
        .unwrap();
    let broken = bench.store.model_by_key(job.model_key).await.unwrap_err();
    assert!(
        matches!(
            broken,
            StoreError::Corrupt {
                table: "models",
                column: "revision",
                ..
            }
        ),
        "{broken}"
    );
}
