//! What the benches measure of modules that are not public: glob matching, planning, claims and checkpoints.
//!
//! Only doors: the work is the product's own. Answers are plain numbers, so that nothing is optimised away.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};

use crate::catalog::{Catalog, Pattern};
use crate::domain::{
    CommitHash, Digest, JobState, Kind, NewModel, Origin, PlannedFile, RangeSet, RemoteFile,
    RepoId, RepoPath, Revision, Selection,
};
use crate::store::{Claimed, FileCheckpoint, NewPlan, ProgressUpdate, Store};

/// Compiles a pattern and counts the names that it matches.
pub fn matching(pattern: &str, names: &[String]) -> usize {
    let pattern = Pattern::new(pattern);
    names.iter().filter(|name| pattern.matches(name)).count()
}

/// A listing and a selection.
#[derive(Debug)]
pub struct Planner {
    catalog: Catalog,
    selection: Selection,
    repo: RepoId,
    files: Vec<RemoteFile>,
}

impl Planner {
    /// A listing of `count` files of one MiB each, and a selection by patterns.
    pub fn new(count: usize, allow: &[&str], ignore: &[&str]) -> Self {
        let owned = |patterns: &[&str]| patterns.iter().map(|&text| text.to_owned()).collect();
        let file = |n: usize| RemoteFile {
            path: path(&format!("folder-{:02}/model-{n:05}.safetensors", n % 40)),
            size: 1 << 20,
            digest: digest(n),
            git_oid: format!("{n:040x}"),
            xet_hash: None,
        };
        Self {
            catalog: Catalog::builtin(),
            selection: Selection {
                allow_patterns: owned(allow),
                ignore_patterns: owned(ignore),
                ..Selection::default()
            },
            repo: "org/name".parse().expect("a legal id"),
            files: (0..count).map(file).collect(),
        }
    }

    /// Makes the plan; answers how many files are in it.
    pub fn plan(&self) -> usize {
        let plan = self
            .catalog
            .plan(&self.selection, Kind::Generic, &self.repo, &self.files);
        plan.expect("the selection fits the listing").files.len()
    }
}

/// A database with queued jobs.
#[derive(Debug)]
pub struct Queue {
    store: Store,
    lease: i64,
    /// The key of the model whose job is in the middle.
    middle: i64,
}

impl Queue {
    /// A new database in `folder` with this many queued jobs.
    pub async fn new(folder: &Path, jobs: usize) -> Self {
        let store = Store::open(folder.join("bench.db")).await;
        let store = store.expect("a new database opens");
        // Many at a time, because they share commits.
        let add = async |n| {
            let model = store.add_model(&model(n), at(0)).await;
            let model = model.expect("a new model").0;
            store.enqueue(model.key, 0, at(0)).await.expect("a new job");
        };
        stream::iter(0..jobs).for_each_concurrent(256, add).await;
        let lease = store.acquire("bench/1/a", true, at(0)).await;
        let lease = lease.expect("it commits").expect("nobody else is there");
        let middle = i64::try_from(jobs / 2 + 1).expect("a small number");
        Self {
            store,
            lease,
            middle,
        }
    }

    async fn claim(&self) -> Claimed {
        let claimed = self
            .store
            .claim(self.lease, None, Duration::from_mins(10), at(1))
            .await;
        claimed.expect("it commits").expect("a job is queued")
    }

    /// Claims the next job and puts it back: two commits.
    pub async fn claim_and_release(&self) {
        let claimed = self.claim().await;
        self.store
            .release(claimed.claim, at(1))
            .await
            .expect("it commits");
    }

    /// Reads the first page of the queue, as its status does.
    pub async fn page(&self) -> usize {
        let page = self.store.active_jobs(None, 100).await;
        page.expect("it can be read").len()
    }

    /// Reads the job in the middle of the queue and its place, as a model's status does.
    pub async fn place(&self) -> Option<u64> {
        let job = self.store.last_job(self.middle).await;
        let job = job.expect("it can be read").expect("it has a job");
        let place = self.store.queue_position(job.key).await;
        place.expect("it can be read")
    }

    /// Lists the newest jobs that have failed: there is none.
    pub async fn list(&self) -> usize {
        let failed = Some(JobState::Failed);
        let list = self.store.jobs(failed, None, None, 50).await;
        list.expect("it can be read").len()
    }

    /// Counts the queue, as its status does.
    pub async fn counts(&self) {
        self.store.queue_counts().await.expect("it can be read");
    }

    /// Claims the next job and plans `files` files for it.
    pub async fn begin(&self, files: usize) -> Checkpoints<'_> {
        let claimed = self.claim().await;
        let file = |n: usize| PlannedFile {
            path: path(&format!("model-{n:05}.safetensors")),
            size: 1 << 30,
            digest: digest(n),
        };
        let files: Vec<PlannedFile> = (0..files).map(file).collect();
        let commit: CommitHash = "1".repeat(40).parse().expect("a legal commit");
        let plan = NewPlan {
            commit: &commit,
            selection: "everything",
            files: &files,
        };
        let rows = self.store.set_plan(claimed.claim, plan, at(2)).await;
        let keys = rows.expect("it commits").into_iter().map(|row| row.key);
        Checkpoints {
            queue: self,
            claimed,
            keys: keys.collect(),
        }
    }
}

/// A running job with a plan.
#[derive(Debug)]
pub struct Checkpoints<'a> {
    queue: &'a Queue,
    claimed: Claimed,
    keys: Vec<i64>,
}

impl Checkpoints<'_> {
    /// Records 16 ranges of each file in one commit.
    pub async fn record(&self) {
        let piece = |n: u64| n << 26..(n << 26) + (20 << 20);
        let ranges: RangeSet = (0..16).map(piece).collect();
        let checkpoint = |key: &i64| FileCheckpoint {
            file_key: *key,
            ranges: ranges.clone(),
            part_name: format!("{key:064x}.bench.part"),
            part_token: self.queue.lease,
            hash_mark: None,
        };
        let checkpoints: Vec<_> = self.keys.iter().map(checkpoint).collect();
        let update = ProgressUpdate::default();
        self.queue
            .store
            .progress(self.claimed.claim, &update, &checkpoints, at(3))
            .await
            .expect("it commits");
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + seconds, 0).expect("a legal time")
}

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).expect("a legal path")
}

fn digest(n: usize) -> Digest {
    Digest::parse(&format!("f{n:063x}")).expect("64 hex digits")
}

fn model(n: usize) -> NewModel {
    NewModel {
        model_id: format!("model-{n}").parse().expect("a legal id"),
        kind: Kind::Generic,
        origin: Origin::Hub {
            repo_id: "org/name".parse().expect("a legal id"),
            revision: Revision::main(),
            selection: Selection::default(),
        },
        description: None,
        total_size_estimate: None,
        file_count_estimate: None,
    }
}
