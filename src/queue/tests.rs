//! The lease step by step: real rows and real locks, with a clock that moves by hand.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use tempfile::TempDir;

use super::lease::{Lease, OsLock, Standby};
use crate::clock::ManualClock;
use crate::store::Store;

const TTL: Duration = Duration::from_secs(15);

/// A database, and processes that want its lease; each has a clock that all share.
struct Bench {
    folder: TempDir,
    store: Store,
    clock: ManualClock,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("m.db")).await.unwrap();
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        Self {
            folder,
            store,
            clock,
        }
    }

    fn process(&self, name: &str) -> Standby {
        let database = self.folder.path().join("m.db");
        let clock = Arc::new(self.clock.clone());
        Standby::new(self.store.clone(), clock, &database, name.to_owned(), TTL)
    }

    /// Lets the holder's row stand still for as long as a standby must have seen it.
    async fn silence(&self, standby: &mut Standby) -> Option<Lease> {
        assert!(standby.try_acquire().await.unwrap().is_none());
        self.clock
            .advance(TTL.saturating_sub(Duration::from_millis(1)));
        assert!(standby.try_acquire().await.unwrap().is_none(), "too early");
        self.clock.advance(Duration::from_millis(1));
        standby.try_acquire().await.unwrap()
    }

    async fn row(&self) -> (String, bool) {
        let row = self.store.lease().await.unwrap().unwrap();
        (row.holder, row.locked)
    }
}

#[tokio::test]
async fn a_dead_holder_is_replaced_at_once_and_its_files_are_used_further() {
    let bench = Bench::new().await;
    let first = bench.process("a").try_acquire().await.unwrap().unwrap();
    assert!(first.is_clean());
    let mut second = bench.process("b");
    assert!(second.try_acquire().await.unwrap().is_none());
    let token = first.token;
    // As a death does it: the lock is free, the row stays.
    drop(first);
    let second = second.try_acquire().await.unwrap().unwrap();
    assert!(second.is_clean() && second.token > token);
    assert_eq!(bench.row().await, ("b".to_owned(), true));
}

#[tokio::test]
async fn a_hung_holder_is_replaced_after_the_lease_and_its_files_are_used_only_once_it_has_let_go()
{
    let bench = Bench::new().await;
    let first = bench.process("a").try_acquire().await.unwrap().unwrap();
    let second = bench.silence(&mut bench.process("b")).await.unwrap();
    assert!(!first.trust.holds(), "it stopped trusting before");
    assert!(!second.is_clean() && second.trust.holds());
    assert_eq!(bench.row().await, ("b".to_owned(), false));
    second.take_lock(&bench.store).await.unwrap();
    assert!(!second.is_clean(), "the hung one still has the lock");

    // It wakes and finds out.
    assert!(!first.renew(&bench.store, &bench.clock).await.unwrap());
    drop(first);
    assert!(second.renew(&bench.store, &bench.clock).await.unwrap());
    assert!(second.is_clean());
    assert_eq!(bench.row().await, ("b".to_owned(), true));
    let lock = bench.folder.path().join("m.db.lock");
    assert!(OsLock::try_acquire(&lock).unwrap().is_none());
}

#[tokio::test]
async fn a_free_lock_proves_nothing_about_a_holder_that_never_had_it() {
    let bench = Bench::new().await;
    let first = bench.process("a").try_acquire().await.unwrap().unwrap();
    let second = bench.silence(&mut bench.process("b")).await.unwrap();
    // The first one dies, and the second one hangs before it could take the lock.
    drop(first);
    let third = bench.silence(&mut bench.process("c")).await.unwrap();
    assert!(!third.is_clean(), "the second one may still write");
    assert_eq!(bench.row().await, ("c".to_owned(), true));
    assert!(third.renew(&bench.store, &bench.clock).await.unwrap());
    assert!(!third.is_clean());
    drop(second);
}

#[tokio::test]
async fn a_lease_that_is_deleted_by_hand_is_lost_and_can_be_won_again() {
    let bench = Bench::new().await;
    let mut process = bench.process("a");
    let lease = process.try_acquire().await.unwrap().unwrap();
    assert!(bench.store.delete_lease(None).await.unwrap());
    assert!(!lease.renew(&bench.store, &bench.clock).await.unwrap());
    assert!(!lease.trust.holds());
    let token = lease.token;
    drop(lease);
    let again = process.try_acquire().await.unwrap().unwrap();
    assert!(again.token > token && again.is_clean());
}

#[tokio::test]
async fn a_short_lease_beats_often_enough_to_be_kept() {
    let bench = Bench::new().await;
    let lease = bench.process("a").try_acquire().await.unwrap().unwrap();
    let usual = Duration::from_secs(2);
    assert_eq!(lease.trust.beat_every(usual), usual);
    let short = Duration::from_secs(2);
    let database = bench.folder.path().join("other.db");
    let store = Store::open(&database).await.unwrap();
    let clock = Arc::new(bench.clock.clone());
    let mut process = Standby::new(store, clock, &database, "a".to_owned(), short);
    let lease = process.try_acquire().await.unwrap().unwrap();
    let every = lease.trust.beat_every(usual);
    bench.clock.advance(every * 3);
    assert!(lease.trust.holds(), "two late beats cost nothing");
    bench.clock.advance(Duration::from_millis(700));
    assert!(!lease.trust.holds(), "and it ends before the lease does");
}
