//! The writing connection, with only those ways in that report a failed commit.
//!
//! sqlx stops a statement after its first row when asked for one row, SQLite then commits inside the reset, and the
//! reset's error is dropped: on a full disk such a write says "done" and is not. So a write that returns rows is read
//! to its end, and these types offer no other way. Each write is counted before its caller hears of it, so that
//! nobody in this process takes an older answer for a new one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::Transaction;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqlitePool};

use super::reader::Question;
use super::{Result, StoreError, holder};

/// The pool of the one writing connection.
#[derive(Debug)]
pub(super) struct Writer {
    pool: SqlitePool,
    path: PathBuf,
    writes: Arc<AtomicU64>,
}

/// Counts a write when it goes: also one whose caller has gone away, and whose commit may still happen.
#[derive(Debug)]
struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Writer {
    pub(super) fn new(pool: SqlitePool, path: &Path) -> Self {
        Self {
            pool,
            path: path.to_owned(),
            writes: Arc::default(),
        }
    }

    /// How many writes of this process are over; it may grow without a change, never the other way round.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Acquire)
    }

    fn counted(&self) -> Counted {
        Counted(Arc::clone(&self.writes))
    }

    /// Runs one statement and commits it; answers how many rows it changed.
    pub(super) async fn exec(&self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<u64> {
        let _counted = self.counted();
        let done = query.execute(&self.pool).await;
        self.told(done.map(|done| done.rows_affected()))
    }

    /// Runs one statement that returns at most one row, to its end, and commits it.
    pub(super) async fn returning<Q: Question>(&self, question: Q) -> Result<Option<Q::Row>> {
        let rows = async {
            let mut connection = self.pool.acquire().await?;
            let _counted = self.counted();
            question.all(&mut connection).await
        };
        Ok(self.told(rows.await)?.pop())
    }

    /// Takes the write lock for a few statements.
    pub(super) async fn begin(&self) -> Result<Tx> {
        let inner = self.told(self.pool.begin_with("BEGIN IMMEDIATE").await)?;
        let counted = self.counted();
        Ok(Tx { inner, counted })
    }

    /// Names in the log who keeps the write lock when that was the reason.
    fn told<T>(&self, outcome: std::result::Result<T, sqlx::Error>) -> Result<T> {
        let outcome = outcome.map_err(StoreError::from);
        if matches!(outcome, Err(StoreError::Busy)) {
            if let Some(holder) = holder::of_write_lock(&self.path) {
                tracing::warn!(
                    holder.pid,
                    holder.name,
                    holder.stopped,
                    "Another process keeps the database's write lock."
                );
            } else {
                tracing::warn!("The database's write lock is kept for too long.");
            }
        }
        outcome
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    #[cfg(test)]
    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

/// A write transaction; dropped without [`Tx::commit`] it leaves no trace.
#[derive(Debug)]
pub(super) struct Tx {
    inner: Transaction<'static, Sqlite>,
    counted: Counted,
}

impl Tx {
    /// Runs one statement; answers how many rows it changed.
    pub(super) async fn exec(&mut self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<u64> {
        Ok(query.execute(&mut *self.inner).await?.rows_affected())
    }

    /// All rows of a statement.
    pub(super) async fn rows<Q: Question>(&mut self, question: Q) -> Result<Vec<Q::Row>> {
        Ok(question.all(&mut self.inner).await?)
    }

    /// The row of a statement that has at most one.
    pub(super) async fn row<Q: Question>(&mut self, question: Q) -> Result<Option<Q::Row>> {
        Ok(self.rows(question).await?.pop())
    }

    /// Begins a part that can be taken back alone.
    pub(super) async fn save(&mut self) -> Result<()> {
        self.exec(sqlx::query("SAVEPOINT part")).await.map(drop)
    }

    /// Keeps what was done since [`Tx::save`], or takes it back.
    pub(super) async fn end_part(&mut self, keep: bool) -> Result<()> {
        if !keep {
            self.exec(sqlx::query("ROLLBACK TO part")).await?;
        }
        self.exec(sqlx::query("RELEASE part")).await.map(drop)
    }

    /// Commits; an error means that nothing was changed.
    pub(super) async fn commit(self) -> Result<()> {
        let Self { inner, counted } = self;
        let done = inner.commit().await;
        drop(counted);
        Ok(done?)
    }
}
