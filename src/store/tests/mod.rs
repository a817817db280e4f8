//! The store's contract, on a real file.

mod claims;
mod crash;
mod ends;
mod files;
mod full;
mod group;
mod lease;
mod models;
mod opening;
mod places;
mod queue;
mod random;
mod schema;
mod throughput;
mod upkeep;
mod verify;

use std::time::Duration;

use chrono::{DateTime, Utc};
use tempfile::TempDir;

use super::{Claimed, FileCheckpoint, NewPlan, Store};
use crate::domain::{
    CommitHash, Digest, FileRow, Job, Kind, Model, ModelId, NewModel, Origin, PlannedFile,
    Readiness, RepoPath, Revision, Selection,
};

pub(super) const BACKOFF: Duration = Duration::from_mins(10);

/// A store in a folder that goes away with it.
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) folder: TempDir,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("m.db")).await.unwrap();
        Self { store, folder }
    }

    pub(super) async fn model(&self, id: &str) -> Model {
        self.store.add_model(&spec(id), at(0)).await.unwrap().0
    }

    /// A model with a queued job.
    pub(super) async fn job(&self, id: &str) -> Job {
        let model = self.model(id).await;
        self.store.enqueue(model.key, 0, at(0)).await.unwrap().0
    }

    pub(super) async fn token(&self) -> i64 {
        self.store
            .acquire("host/1/a", true, at(0))
            .await
            .unwrap()
            .unwrap()
    }

    /// A model with a running job.
    pub(super) async fn running(&self, id: &str) -> Claimed {
        self.job(id).await;
        let token = self.token().await;
        self.claim(token).await.unwrap()
    }

    pub(super) async fn claim(&self, token: i64) -> Option<Claimed> {
        self.store
            .claim(token, None, BACKOFF, at(20))
            .await
            .unwrap()
    }

    /// A running job with a plan of two files.
    pub(super) async fn planned(&self, id: &str) -> (Claimed, Vec<FileRow>) {
        let claimed = self.running(id).await;
        let plan = [file("a.bin", 100, 'a'), file("b.bin", 50, 'b')];
        let rows = self
            .store
            .set_plan(claimed.claim, planned(&commit('1'), &plan), at(2))
            .await
            .unwrap();
        (claimed, rows)
    }

    /// The state of the job as it is stored.
    pub(super) async fn read(&self, job: &Job) -> Job {
        self.store.job(job.id).await.unwrap().unwrap()
    }

    /// A connection like the one of the sqlite3 shell: foreign keys off.
    pub(super) async fn shell(&self) -> sqlx::SqliteConnection {
        use sqlx::ConnectOptions as _;
        sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.store.path())
            .foreign_keys(false)
            .connect()
            .await
            .unwrap()
    }
}

/// SQL that a test puts together.
#[expect(
    clippy::disallowed_methods,
    reason = "no input from outside reaches a test"
)]
pub(super) fn unchecked(sql: String) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(sql)
}

/// `seconds` after the tests' beginning of time.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
}

pub(super) fn id(text: &str) -> ModelId {
    text.parse().unwrap()
}

pub(super) fn spec(id: &str) -> NewModel {
    NewModel {
        model_id: id.parse().unwrap(),
        kind: Kind::Caption,
        origin: Origin::Hub {
            repo_id: "org/name".parse().unwrap(),
            revision: Revision::main(),
            selection: Selection {
                template: Some("wd-tagger".to_owned()),
                variant: None,
                allow_patterns: vec!["*.onnx".to_owned(), "a\"b".to_owned()],
                ignore_patterns: Vec::new(),
            },
        },
        description: Some("a tagger".to_owned()),
        total_size_estimate: Some(1 << 40),
        file_count_estimate: None,
    }
}

/// A plan of one and the same selection.
pub(super) fn planned<'a>(commit: &'a CommitHash, files: &'a [PlannedFile]) -> NewPlan<'a> {
    NewPlan {
        commit,
        selection: "one",
        files,
    }
}

pub(super) fn commit(digit: char) -> CommitHash {
    digit.to_string().repeat(40).parse().unwrap()
}

pub(super) fn file(path: &str, size: u64, digit: char) -> PlannedFile {
    PlannedFile {
        path: RepoPath::parse(path).unwrap(),
        size,
        digest: Digest::parse(&digit.to_string().repeat(64)).unwrap(),
    }
}

pub(super) fn ready(commit: CommitHash, bytes: u64, files: u64) -> Readiness {
    Readiness {
        commit: Some(commit),
        bytes,
        files,
        verified: true,
        since: at(9),
    }
}

pub(super) fn checkpoint(file: &FileRow, ranges: &str, token: i64) -> FileCheckpoint {
    FileCheckpoint {
        file_key: file.key,
        ranges: ranges.parse().unwrap(),
        part_name: format!("{}.x.part", file.file.digest),
        part_token: token,
        hash_mark: None,
    }
}
