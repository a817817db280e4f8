//! Opens the file: rights, version of SQLite, migrations, then the pools.
//!
//! Four processes may do this at once on a file that does not exist yet. The migrator of sqlx takes no lock for
//! SQLite, so migrations run inside one `BEGIN IMMEDIATE` of a connection of their own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio_util::task::TaskTracker;

use super::reader::Reader;
use super::reserve::Reserve;
use super::version::Watch;
use super::writer::Writer;
use super::{Inner, Result, Store, StoreError};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!();

/// The first release of its line whose WAL cannot be corrupted by two connections that checkpoint.
const NEEDED: &str = "3.51.3";

/// `PRAGMA application_id` of our files.
const APPLICATION_ID: i64 = 1_835_562_348;

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
const READERS: u32 = 4;

impl Store {
    /// Opens the file, makes it when it is missing (its folder must exist), and brings its tables up to date.
    pub(crate) async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        prepare_file(&path).await?;
        let wrap = |error: StoreError| match error {
            StoreError::Database(source) => StoreError::Open {
                path: path.clone(),
                source: source.into(),
            },
            other => other,
        };
        migrate(&path).await.map_err(wrap)?;

        let writer = pool(1, 1, write_options(&path)).await.map_err(wrap)?;
        let read = write_options(&path)
            .read_only(true)
            .create_if_missing(false)
            .pragma("query_only", "ON");
        let reader = pool(READERS, 1, read.clone()).await.map_err(wrap)?;
        let watch = pool(1, 1, read).await.map_err(wrap)?;
        let store = Self {
            inner: Arc::new(Inner {
                reserve: Reserve::beside(&path),
                writer: Writer::new(writer, &path),
                reader: Reader::new(reader),
                group: Arc::default(),
                watch: Watch::new(Reader::new(watch)),
                tasks: TaskTracker::new(),
                path,
            }),
        };
        store.refill_reserve().await;
        Ok(store)
    }
}

fn write_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .pragma("temp_store", "MEMORY")
        .pragma("mmap_size", "0")
        .pragma("journal_size_limit", "4194304")
        .statement_cache_capacity(200)
        .thread_name(|id| format!("sqlx-sqlite-worker-{id}"))
}

/// A connection that never waits for a lock.
pub(super) async fn impatient(path: &Path) -> Result<SqliteConnection> {
    Ok(write_options(path)
        .busy_timeout(Duration::ZERO)
        .connect()
        .await?)
}

async fn pool(max: u32, min: u32, options: SqliteConnectOptions) -> Result<SqlitePool> {
    Ok(SqlitePoolOptions::new()
        .max_connections(max)
        .min_connections(min)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // A full disk makes SQLite roll back by itself; sqlx then counts one transaction too many for ever, and
        // refuses to begin the next one. Such a connection is exchanged. The ping lets a rollback be over first.
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(options)
        .await?)
}

/// Makes the file with mode 0600 before SQLite does; `-wal` and `-shm` inherit it.
async fn prepare_file(path: &Path) -> Result<()> {
    let owned = path.to_owned();
    let made = tokio::task::spawn_blocking(move || make_private(&owned)).await;
    let refused = |source: io::Error| StoreError::Open {
        path: path.to_owned(),
        source: source.into(),
    };
    made.map_err(io::Error::from)
        .and_then(|done| done)
        .map_err(refused)
}

fn make_private(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if let Some(kind) = network_file_system(folder) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "`{}` is on a network file system ({kind}); use a folder on a local disk",
                folder.display()
            ),
        ));
    }
    if !folder.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the folder `{}` does not exist", folder.display()),
        ));
    }
    refuse_emptied(path)?;
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let private = fs::Permissions::from_mode(0o600);
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(private.clone())?;
        }
        for suffix in ["-wal", "-shm"] {
            let mut beside = path.as_os_str().to_owned();
            beside.push(suffix);
            match fs::set_permissions(&beside, private.clone()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Refuses a file that was cut to nothing, or is gone while its WAL is not: SQLite would throw the WAL away and begin anew.
fn refuse_emptied(path: &Path) -> io::Result<()> {
    let length = |suffix: &str| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        fs::metadata(beside).ok().map(|facts| facts.len())
    };
    let file = length("");
    // The lock is made by the first worker, long after the tables.
    let was_used = length("-wal").is_some_and(|length| length > 0)
        || file.is_some() && length(".lock").is_some();
    if file.unwrap_or(0) == 0 && was_used {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "it is empty or gone, but it was in use: put it back from a copy, or move `{0}-wal` and `{0}.lock` away to begin anew",
                path.display()
            ),
        ));
    }
    Ok(())
}

/// The WAL is shared memory: on a file system that several hosts share it corrupts the database.
#[cfg(target_os = "linux")]
fn network_file_system(folder: &Path) -> Option<&'static str> {
    let facts = rustix::fs::statfs(folder).ok()?;
    // `f_type` differs in width and sign between targets; the numbers have 32 bits.
    let kind = u32::try_from(i128::from(facts.f_type) & 0xffff_ffff).ok()?;
    network_kind(kind)
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_folder: &Path) -> Option<&'static str> {
    None
}

#[cfg(target_os = "linux")]
const fn network_kind(kind: u32) -> Option<&'static str> {
    match kind {
        0x6969 => Some("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("SMB"),
        0x00c3_6400 => Some("Ceph"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x4750_4653 => Some("GPFS"),
        _ => None,
    }
}

/// Brings the tables up to date under the write lock.
async fn migrate(path: &Path) -> Result<()> {
    let witness = witness(path).await?;
    let options = write_options(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A later migration may rebuild a table that others refer to; the references are checked before the commit.
        .foreign_keys(false);
    let mut connection = connect(options).await?;
    let done = migrate_on(&mut connection, path).await;
    connection.close().await?;
    if let Some(witness) = witness {
        witness.close().await?;
    }
    done
}

/// A reader that outlives the connection of the migrations. The last connection that closes folds the WAL into the file,
/// also over a damaged one; a reader does not, so a file that is refused keeps its bytes and its WAL.
async fn witness(path: &Path) -> Result<Option<SqliteConnection>> {
    if fs::metadata(path).is_ok_and(|facts| facts.len() == 0) {
        return Ok(None);
    }
    let mut connection = connect(write_options(path).read_only(true)).await?;
    // The first read opens the WAL.
    sqlx::query("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut connection)
        .await?;
    Ok(Some(connection))
}

/// Connects, and tries again while another process switches the new file to WAL: SQLite does not wait for that lock.
async fn connect(options: SqliteConnectOptions) -> Result<SqliteConnection> {
    let mut pause = Duration::from_millis(5);
    loop {
        match options.connect().await.map_err(StoreError::from) {
            Err(StoreError::Busy) if pause < Duration::from_secs(2) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            done => return done,
        }
    }
}

async fn migrate_on(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    assert_library(connection).await?;
    let refuse = |reason: String| StoreError::Migration {
        path: path.to_owned(),
        reason,
    };
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *tx)
        .await?;
    let application: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *tx)
        .await?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(refuse("it is a database of another program".to_owned()));
    }
    // `run` would do the same, but its bounds keep the future from being `Send`.
    MIGRATIONS
        .run_direct(None, &mut *tx, false)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(version) => refuse(format!(
                "a newer modelhaul has changed it (step {version}); use that version or a newer one"
            )),
            MigrateError::VersionMismatch(version) => refuse(format!(
                "its tables come from another build (step {version} differs)"
            )),
            MigrateError::Dirty(version) => {
                refuse(format!("step {version} of its tables was not finished"))
            }
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                source.into()
            }
            other => refuse(other.to_string()),
        })?;
    let broken = sqlx::query("PRAGMA foreign_key_check")
        .fetch_all(&mut *tx)
        .await?;
    if let Some(row) = broken.first() {
        let table: String = row.try_get(0)?;
        return Err(refuse(format!(
            "a row of table `{table}` refers to one that is gone"
        )));
    }
    failpoint!("migrated-before-commit");
    tx.commit().await?;
    failpoint!("migrated");
    assert_durable(connection, path).await
}

async fn assert_library(connection: &mut SqliteConnection) -> Result<()> {
    let given: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut *connection)
        .await?;
    if is_good(&given) {
        Ok(())
    } else {
        Err(StoreError::TooOld {
            given,
            needed: NEEDED,
        })
    }
}

fn is_good(version: &str) -> bool {
    let parts = |text: &str| -> Vec<u32> {
        text.split('.')
            .map_while(|part| part.parse().ok())
            .collect()
    };
    parts(version) >= parts(NEEDED)
}

/// WAL is refused without an error where the file system cannot share memory; then nothing here would hold.
async fn assert_durable(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&mut *connection)
        .await?;
    if mode == "wal" && synchronous == 2 {
        Ok(())
    } else {
        Err(StoreError::Migration {
            path: path.to_owned(),
            reason: format!(
                "its file system does not offer what a durable database needs \
                 (journal_mode {mode}, synchronous {synchronous}); use a local disk"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn network_file_systems_are_known_by_number() {
        assert_eq!(network_kind(0x6969), Some("NFS"));
        assert_eq!(network_kind(0xef53), None, "ext4");
        assert_eq!(network_kind(0x0102_1994), None, "tmpfs");
        assert_eq!(network_file_system(&std::env::temp_dir()), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(is_good("3.51.3") && is_good("3.52.0") && is_good("4.0.0") && is_good("3.100.0"));
        assert!(!is_good("3.51.2") && !is_good("3.9.9") && !is_good("") && !is_good("3.51"));
    }
}
