//! A look into the database from outside, and edits by hand, each on a connection of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{
    Column as _, ConnectOptions as _, Connection as _, Row as _, TypeInfo as _, ValueRef as _,
};

/// A database file.
#[derive(Debug)]
pub(crate) struct Db(PathBuf);

impl Db {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The rows of a query, each as an object of its columns.
    #[track_caller]
    pub(crate) fn rows(&self, sql: &'static str) -> Vec<Value> {
        let rows = block_on(async {
            let mut connection = self.options().read_only(true).connect().await?;
            let rows = sqlx::query(sql).fetch_all(&mut connection).await?;
            connection.close().await?;
            Ok(rows)
        });
        rows.iter().map(object).collect()
    }

    /// The first column of the first row; null when there is no row.
    #[track_caller]
    pub(crate) fn value(&self, sql: &'static str) -> Value {
        let first = self.rows(sql).into_iter().next();
        let object = first.and_then(|row| row.as_object().cloned());
        let column = object.and_then(|object| object.into_iter().next());
        column.map_or(Value::Null, |(_, value)| value)
    }

    /// Changes the database as a person with a shell would; returns the number of changed rows.
    #[track_caller]
    pub(crate) fn execute(&self, sql: &'static str) -> u64 {
        self.try_execute(sql).unwrap()
    }

    /// The same for a change that may be refused.
    pub(crate) fn try_execute(&self, sql: &'static str) -> Result<u64, sqlx::Error> {
        runtime().block_on(async {
            let mut connection = self.options().connect().await?;
            let done = sqlx::query(sql).execute(&mut connection).await?;
            connection.close().await?;
            Ok(done.rows_affected())
        })
    }

    /// The same, given up soon when another process is writing.
    pub(crate) fn try_execute_soon(&self, sql: &'static str) -> Result<u64, sqlx::Error> {
        runtime().block_on(async {
            let options = self.options().busy_timeout(Duration::from_millis(300));
            let mut connection = options.connect().await?;
            let done = sqlx::query(sql).execute(&mut connection).await?;
            connection.close().await?;
            Ok(done.rows_affected())
        })
    }

    /// Runs `work` while nobody else can write, as when a person forgets a transaction in the shell.
    #[track_caller]
    pub(crate) fn while_locked<T>(&self, work: impl FnOnce() -> T) -> T {
        let runtime = runtime();
        let mut connection = runtime.block_on(self.options().connect()).unwrap();
        runtime
            .block_on(sqlx::query("BEGIN IMMEDIATE").execute(&mut connection))
            .unwrap();
        let done = work();
        runtime
            .block_on(sqlx::query("ROLLBACK").execute(&mut connection))
            .unwrap();
        done
    }

    /// Checks that the file is sound and that no row refers to one that is gone.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        assert_eq!(self.value("PRAGMA integrity_check"), "ok");
        assert_eq!(self.rows("PRAGMA foreign_key_check"), Vec::<Value>::new());
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.0)
            .busy_timeout(Duration::from_secs(10))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[track_caller]
fn block_on<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> T {
    runtime().block_on(work).unwrap()
}

fn object(row: &SqliteRow) -> Value {
    let columns = row.columns().iter().map(|column| {
        let at = column.ordinal();
        let kind = row.try_get_raw(at).unwrap();
        let value = match kind.type_info().name() {
            _ if kind.is_null() => Value::Null,
            "INTEGER" | "BOOLEAN" => row.get_unchecked::<i64, _>(at).into(),
            "REAL" => row.get_unchecked::<f64, _>(at).into(),
            "BLOB" => format!("{:02x?}", row.get_unchecked::<Vec<u8>, _>(at)).into(),
            _ => row.get_unchecked::<String, _>(at).into(),
        };
        (column.name().to_owned(), value)
    });
    Value::Object(columns.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_as_objects_and_edits_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        std::fs::File::create(&path).unwrap();
        let db = Db::new(&path);
        db.execute("CREATE TABLE t (a INTEGER, b TEXT, c REAL, d TEXT) STRICT");
        assert_eq!(db.execute("INSERT INTO t VALUES (1, 'x', 0.5, NULL)"), 1);
        let expected = serde_json::json!({"a": 1, "b": "x", "c": 0.5, "d": null});
        assert_eq!(db.rows("SELECT * FROM t"), [expected]);
        assert_eq!(db.value("SELECT count(*) FROM t"), 1);
        assert!(
            db.try_execute("INSERT INTO t VALUES ('no', 'x', 0.5, NULL)")
                .is_err()
        );
        db.assert_sound();
    }
}
