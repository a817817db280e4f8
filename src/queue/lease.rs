//! The right to work: the lock of the operating system, the lease row, and the trust in both.
//!
//! The lock dies with its process, so a standby takes over at once after `kill -9`. The row tells people who works,
//! and its token fences every write. A holder that hangs keeps its lock; a standby then waits until the row's beat
//! has stood still for the lease's time on its *own* monotonic clock, and takes over without the lock.
//! A holder trusts its lease on its monotonic clock only, counted from the start of the last good renewal.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::LeaseInfo;
use crate::store::{Store, StoreError};

/// A holder stops trusting its lease this long before a standby may take it; a short lease has a shorter margin.
const TRUST_MARGIN: Duration = Duration::from_secs(1);
/// How long the sight of the row is trusted while it cannot be written.
const SIGHT: Duration = Duration::from_secs(2);
/// Beats that fit into the lease's time, so that one late beat does not cost the lease.
const BEATS: u32 = 5;

/// The `flock` on `<database>.lock`; released when dropped or when the process dies.
#[derive(Debug)]
pub(crate) struct OsLock {
    _file: File,
}

impl OsLock {
    /// Takes the lock if it is free.
    pub(crate) fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Someone may have removed the file between open and lock: a lock on a nameless file excludes nobody.
        let named = std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
        let held = file.metadata().map(|m| (m.dev(), m.ino()))?;
        Ok((named == Some(held)).then_some(Self { _file: file }))
    }
}

/// Whether the holder may still believe in its lease; shared with everything that writes.
#[derive(Debug)]
pub(crate) struct Trust {
    clock: Arc<dyn Clock>,
    ttl: Duration,
    until_ms: AtomicU64,
    revoked: AtomicBool,
}

impl Trust {
    fn new(clock: Arc<dyn Clock>, ttl: Duration, renewal_started: Duration) -> Self {
        let trust = Self {
            clock,
            ttl,
            until_ms: AtomicU64::new(0),
            revoked: AtomicBool::new(false),
        };
        trust.renewed(renewal_started);
        trust
    }

    /// Notes a good renewal that was begun at `started` on the monotonic clock.
    pub(crate) fn renewed(&self, started: Duration) {
        self.extend(started + self.ttl.saturating_sub(TRUST_MARGIN.min(self.ttl / 4)));
    }

    /// Notes that the row was read, and names this holder, at `started`. That proves less than a renewal, as a standby
    /// that waits for the same write lock may be quicker, so it lasts for a short time only.
    pub(crate) fn seen(&self, started: Duration) {
        self.extend(started + SIGHT.min(self.ttl / 4));
    }

    fn extend(&self, until: Duration) {
        self.until_ms.fetch_max(
            u64::try_from(until.as_millis()).unwrap_or(u64::MAX),
            Ordering::AcqRel,
        );
    }

    /// How often to beat: as usual, or more often when the lease is short.
    pub(crate) fn beat_every(&self, usual: Duration) -> Duration {
        usual.min(self.ttl / BEATS)
    }

    /// Ends the trust for good.
    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// Whether a write may still be made.
    pub(crate) fn holds(&self) -> bool {
        !self.revoked.load(Ordering::Acquire)
            && self.clock.monotonic().as_millis()
                < u128::from(self.until_ms.load(Ordering::Acquire))
    }
}

/// A lease that this process holds.
#[derive(Debug)]
pub(crate) struct Lease {
    /// The fence.
    pub(crate) token: i64,
    /// The trust in it.
    pub(crate) trust: Arc<Trust>,
    clean: AtomicBool,
    /// Whether the former holder had the lock, so that a free lock proves its end.
    lock_proves: bool,
    lock: Mutex<Option<OsLock>>,
    /// Whether the row says that the lock is held.
    recorded: AtomicBool,
    lock_path: PathBuf,
}

impl Lease {
    /// Whether the former holder certainly writes no more: only then may its open files be used further.
    pub(crate) fn is_clean(&self) -> bool {
        self.clean.load(Ordering::Acquire)
    }

    /// Beats once; `false` when the lease is lost. Takes the lock too, if the lease was won without it.
    pub(crate) async fn renew(&self, store: &Store, clock: &dyn Clock) -> Result<bool, StoreError> {
        let started = clock.monotonic();
        if !store.renew(self.token, clock.now()).await? {
            self.trust.revoke();
            return Ok(false);
        }
        self.trust.renewed(started);
        self.take_lock(store).await?;
        Ok(true)
    }

    /// Takes the lock when the lease was won without it and the former holder has let it go since.
    pub(crate) async fn take_lock(&self, store: &Store) -> Result<(), StoreError> {
        if self.recorded.load(Ordering::Acquire) {
            return Ok(());
        }
        if self.slot().is_none() {
            let lock = OsLock::try_acquire(&self.lock_path).ok().flatten();
            *self.slot() = lock;
        }
        if self.slot().is_none() {
            return Ok(());
        }
        // The row must not promise a lock that is not held: first the lock, then the row.
        store.set_locked(self.token, true).await?;
        self.recorded.store(true, Ordering::Release);
        if self.lock_proves {
            // A holder lets its lock go when it is dead, or when its worker has stopped.
            self.clean.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn slot(&self) -> MutexGuard<'_, Option<OsLock>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lease back: first the row, then the lock.
    pub(crate) async fn release(self, store: &Store) -> Result<(), StoreError> {
        self.trust.revoke();
        store.delete_lease(Some(self.token)).await?;
        Ok(())
    }
}

/// A process that wants the lease.
#[derive(Debug)]
pub(crate) struct Standby {
    store: Store,
    clock: Arc<dyn Clock>,
    lock_path: PathBuf,
    holder: String,
    ttl: Duration,
    seen: Observer,
}

impl Standby {
    /// A candidate that calls itself `holder`, for the database at `database`.
    pub(crate) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        database: &Path,
        holder: String,
        ttl: Duration,
    ) -> Self {
        let mut lock_path = database.as_os_str().to_owned();
        lock_path.push(".lock");
        Self {
            store,
            clock,
            lock_path: lock_path.into(),
            holder,
            ttl,
            seen: Observer::default(),
        }
    }

    /// Takes the lease if nobody has it, if its holder is dead, or if its holder has been silent for too long.
    pub(crate) async fn try_acquire(&mut self) -> Result<Option<Lease>, StoreError> {
        let lock = OsLock::try_acquire(&self.lock_path).map_err(|e| StoreError::Open {
            path: self.lock_path.clone(),
            source: e.into(),
        })?;
        let row = self.store.lease().await?;
        let silent = self.seen.silence(row.as_ref(), self.clock.monotonic()) >= self.ttl;
        let lock_proves = row.as_ref().is_none_or(|row| row.locked);
        let dead = lock.is_some() && lock_proves;
        if !dead && !silent {
            return Ok(None);
        }
        if let Some(row) = &row {
            tracing::info!(lease.token = row.token, holder = %row.holder, "Took over from a holder that is gone.");
            self.store.delete_lease(Some(row.token)).await?;
        }
        let started = self.clock.monotonic();
        let token = self
            .store
            .acquire(&self.holder, lock.is_some(), self.clock.now())
            .await?;
        Ok(token.map(|token| Lease {
            token,
            trust: Arc::new(Trust::new(Arc::clone(&self.clock), self.ttl, started)),
            clean: AtomicBool::new(dead),
            lock_proves,
            recorded: AtomicBool::new(lock.is_some()),
            lock: Mutex::new(lock),
            lock_path: self.lock_path.clone(),
        }))
    }
}

/// Times on this process's own clock how long a lease row has not changed.
#[derive(Debug, Default)]
struct Observer {
    last: Option<(Option<(i64, i64)>, Duration)>,
}

impl Observer {
    fn silence(&mut self, row: Option<&LeaseInfo>, now: Duration) -> Duration {
        let beat = row.map(|row| (row.token, row.beat));
        match self.last {
            Some((seen, since)) if seen == beat => now.saturating_sub(since),
            _ => {
                self.last = Some((beat, now));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn trust_ends_before_a_standby_may_take_over() {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let trust = Trust::new(
            Arc::new(clock.clone()),
            Duration::from_secs(15),
            clock.monotonic(),
        );
        clock.advance(Duration::from_millis(13_999));
        assert!(trust.holds());
        trust.renewed(Duration::from_secs(10));
        clock.advance(Duration::from_millis(10_001));
        assert!(!trust.holds(), "counted from the start of the renewal");
        trust.renewed(clock.monotonic());
        assert!(trust.holds());
        trust.revoke();
        assert!(!trust.holds());
    }

    #[test]
    fn silence_is_timed_from_the_last_change() {
        let row = |token, beat| LeaseInfo {
            token,
            holder: "h".into(),
            beat,
            locked: true,
            acquired_at: DateTime::UNIX_EPOCH,
            renewed_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::UNIX_EPOCH,
        };
        let mut observer = Observer::default();
        let second = Duration::from_secs;
        assert_eq!(observer.silence(Some(&row(1, 1)), second(5)), second(0));
        assert_eq!(observer.silence(Some(&row(1, 1)), second(9)), second(4));
        assert_eq!(observer.silence(Some(&row(1, 2)), second(10)), second(0));
        assert_eq!(observer.silence(None, second(30)), second(0));
        assert_eq!(observer.silence(None, second(50)), second(20));
    }

    #[test]
    fn the_lock_excludes_and_survives_a_removed_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.lock");
        let first = OsLock::try_acquire(&path).unwrap();
        assert!(first.is_some());
        assert!(OsLock::try_acquire(&path).unwrap().is_none());
        drop(first);
        assert!(OsLock::try_acquire(&path).unwrap().is_some());
    }
}
