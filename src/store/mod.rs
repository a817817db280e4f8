//! The one SQLite file: registrations, jobs, files, the lease and the audit trail.
//!
//! Every operation is one autocommit statement or one short `BEGIN IMMEDIATE`, so a crash between any two of
//! them leaves a whole state. Triggers and constraints (`migrations/`) hold what no caller may break: the legal
//! steps of a job, one active job per model, one running job at all, and the fence. Every write of a worker names
//! its [`Claim`] and changes exactly one row, or answers [`StoreError::Fenced`].
//!
//! Times come in as parameters. What to do next, and when, is left to `queue`; nothing outside this module holds SQL.

mod cached;
mod census;
mod claims;
mod convert;
mod error;
mod files;
mod finish;
mod group;
mod guard;
mod holder;
mod jobs;
mod lease;
mod models;
mod open;
mod order;
mod outbox;
mod plan;
mod publish;
mod queue;
mod reader;
mod reserve;
mod rows;
mod settings;
mod tokens;
mod trail;
mod upkeep;
mod verify;
mod version;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use group::Group;
use reader::Reader;
use reserve::Reserve;
use version::Watch;
use writer::Writer;

pub(crate) use cached::GoneRevisions;
pub(crate) use claims::{Claim, Claimed, ProgressUpdate};
pub(crate) use error::StoreError;
pub(crate) use guard::abort_on_worker_panic;
pub(crate) use models::{Estimates, Removal, Replacement};
pub(crate) use outbox::Delivery;
pub(crate) use plan::{FileCheckpoint, NewPlan};
pub(crate) use settings::Settings;
pub(crate) use trail::PartRow;
pub(crate) use verify::Checked;
pub(crate) use version::Version;

type Result<T> = std::result::Result<T, StoreError>;

/// The database. Cheap to clone; all clones share one writing connection and a few reading ones.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    writer: Writer,
    reader: Reader,
    /// Room for the writes that matter on a full disk.
    reserve: Reserve,
    /// Writes that wait for a common commit.
    group: Arc<Group>,
    /// What others have committed.
    watch: Watch,
    /// Publications and group commits, which must end even when nobody waits for them any more.
    tasks: TaskTracker,
}

impl Store {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Makes a write that must not fail for want of space: on a full disk once more, in the room that was set aside.
    pub(crate) async fn with_reserve<T, W>(&self, mut write: impl FnMut() -> W) -> Result<T>
    where
        W: Future<Output = Result<T>>,
    {
        match write().await {
            Err(StoreError::DiskFull) if self.release_reserve().await => write().await,
            done => done,
        }
    }

    async fn release_reserve(&self) -> bool {
        let reserve = self.inner.reserve.clone();
        let released = tokio::task::spawn_blocking(move || reserve.release()).await;
        let released = released.unwrap_or(false);
        if released {
            tracing::warn!("The database's disk is full; the room that was set aside is used now.");
        }
        released
    }

    /// Sets room aside for a full disk, if there is any.
    pub(crate) async fn refill_reserve(&self) {
        let reserve = self.inner.reserve.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || reserve.fill()).await {
            tracing::debug!(%error, "no room was set aside");
        }
    }

    fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// Waits for publications, folds the WAL into the file and closes all connections.
    pub(crate) async fn close(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.watch.close().await;
        self.inner.reader.close().await;
        self.inner.writer.close().await;
    }
}
