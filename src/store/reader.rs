//! The reading connections: read-only, whole answers, never a stream.
//!
//! A slow reader of an open statement would keep the WAL from being cut, so every answer is collected first.

use sqlx::Row as _;
use sqlx::query::{Map, QueryScalar};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};

use super::Result;

type Answer<T> = std::result::Result<T, sqlx::Error>;

/// A statement that returns rows, as the checked macros make it; it can only be read to its end.
pub(super) trait Question: Send {
    /// What a row becomes.
    type Row: Send;

    /// All rows.
    fn all(
        self,
        connection: &mut SqliteConnection,
    ) -> impl Future<Output = Answer<Vec<Self::Row>>> + Send;
}

impl<F, O> Question for Map<'_, Sqlite, F, SqliteArguments>
where
    F: FnMut(SqliteRow) -> Answer<O> + Send,
    O: Send + Unpin,
{
    type Row = O;

    async fn all(self, connection: &mut SqliteConnection) -> Answer<Vec<O>> {
        self.fetch_all(connection).await
    }
}

impl<O> Question for QueryScalar<'_, Sqlite, O, SqliteArguments>
where
    O: Send + Unpin,
    (O,): for<'r> sqlx::FromRow<'r, SqliteRow>,
{
    type Row = O;

    async fn all(self, connection: &mut SqliteConnection) -> Answer<Vec<O>> {
        self.fetch_all(connection).await
    }
}

/// A pool of read-only connections.
#[derive(Debug)]
pub(super) struct Reader {
    pool: SqlitePool,
}

impl Reader {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// All rows.
    pub(super) async fn rows<Q: Question>(&self, question: Q) -> Result<Vec<Q::Row>> {
        let mut connection = self.pool.acquire().await?;
        Ok(question.all(&mut connection).await?)
    }

    /// The row of a question that has at most one.
    pub(super) async fn row<Q: Question>(&self, question: Q) -> Result<Option<Q::Row>> {
        Ok(self.rows(question).await?.pop())
    }

    /// A number that changes when another connection commits; it counts per connection, so ask a pool of one.
    pub(super) async fn data_version(&self) -> Result<i64> {
        let row = sqlx::query("PRAGMA data_version")
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get(0)?)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    #[cfg(test)]
    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}
