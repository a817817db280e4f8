//! The writing connection, with only those ways in that report a failed commit.
//!
//! sqlx stops a statement after its first row when asked for one row, SQLite then commits inside the reset, and the
//! reset's error is dropped: on a full disk such a write says "done" and is not. So a write that returns rows is read
//! to its end, and these types offer no other way.

use sqlx::Transaction;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqlitePool};

use super::Result;
use super::reader::Question;

/// The pool of the one writing connection.
#[derive(Debug)]
pub(super) struct Writer {
    pool: SqlitePool,
}

impl Writer {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Runs one statement and commits it; answers how many rows it changed.
    pub(super) async fn exec(&self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<u64> {
        Ok(query.execute(&self.pool).await?.rows_affected())
    }

    /// Runs one statement that returns at most one row, to its end, and commits it.
    pub(super) async fn returning<Q: Question>(&self, question: Q) -> Result<Option<Q::Row>> {
        let mut connection = self.pool.acquire().await?;
        Ok(question.all(&mut connection).await?.pop())
    }

    /// Takes the write lock for a few statements.
    pub(super) async fn begin(&self) -> Result<Tx> {
        Ok(Tx {
            inner: self.pool.begin_with("BEGIN IMMEDIATE").await?,
        })
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

    /// Commits; an error means that nothing was changed.
    pub(super) async fn commit(self) -> Result<()> {
        Ok(self.inner.commit().await?)
    }
}
