//! What the database may refuse, told apart by what a caller does about it.
//!
//! No message holds a bound value, so none can hold a secret.

use std::io;
use std::path::PathBuf;

/// Why an operation of the store did not happen. Unless said otherwise nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The file cannot be made or opened.
    #[error("the database `{}` cannot be opened: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The linked SQLite has a bug that corrupts such a database.
    #[error("SQLite {given} is too old: {needed} or newer is needed")]
    TooOld {
        /// The version that is linked.
        given: String,
        /// The first good one.
        needed: &'static str,
    },
    /// The file is no database of modelhaul, or of a newer one.
    #[error("the database `{}` cannot be used: {reason}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// Why, as a sentence with the next step.
        reason: String,
    },
    /// The disk of the database is full.
    #[error("the disk that holds the database is full")]
    DiskFull,
    /// Another connection held the write lock for longer than the timeout.
    #[error("another process holds the database's write lock for too long")]
    Busy,
    /// The claim or lease is over: the worker must stop and discard.
    #[error("the lease under which this job ran is over")]
    Fenced,
    /// A rule of the store refuses it.
    #[error("{0}")]
    Conflict(String),
    /// The step that was to be done together with the commit failed; nothing was committed.
    #[error("a file could not be published: {0}")]
    Publish(#[source] io::Error),
    /// A number does not fit into the database.
    #[error("{what} {given} is too large")]
    TooLarge {
        /// What the number counts.
        what: &'static str,
        /// The number.
        given: u64,
    },
    /// A row holds what the program never writes.
    #[error("the database holds `{given}` in {table}.{column}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The value, cut to 100 characters.
        given: String,
    },
    /// Anything else that the database says.
    #[error("the database refused: {0}")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    pub(super) fn corrupt(table: &'static str, column: &'static str, given: &str) -> Self {
        Self::Corrupt {
            table,
            column,
            given: given.chars().take(100).collect(),
        }
    }

    /// The same for another caller whose write shared the transaction; causes that cannot be copied become text.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::DiskFull => Self::DiskFull,
            Self::Busy => Self::Busy,
            Self::Fenced => Self::Fenced,
            Self::Conflict(reason) => Self::Conflict(reason.clone()),
            other => Self::Database(sqlx::Error::Protocol(other.to_string())),
        }
    }
}

/// The low byte of SQLite's extended result code: its primary code.
fn primary_code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    let extended: i32 = error.code()?.parse().ok()?;
    Some(extended & 0xff)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        const BUSY: i32 = 5;
        const LOCKED: i32 = 6;
        const FULL: i32 = 13;
        match &error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::Database(cause) => match primary_code(cause.as_ref()) {
                Some(FULL) => Self::DiskFull,
                Some(BUSY | LOCKED) => Self::Busy,
                // The trigger `jobs_bu_fence`.
                _ if cause.message().starts_with("fenced:") => Self::Fenced,
                _ => Self::Database(error),
            },
            _ => Self::Database(error),
        }
    }
}
