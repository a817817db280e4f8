//! The curve of the throughput and the bounds of the trail.

use sqlx::Executor as _;

use super::Bench;
use crate::store::{Received, STEPS};

fn one(step: i64, at: i64, bytes: u64) -> Received {
    Received { step, at, bytes }
}

#[tokio::test]
async fn steps_add_up_and_the_old_ones_go() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let now = 1_800_000_000;
    for _ in 0..2 {
        let steps = [one(1, now, 5), one(10, now, 5), one(120, now, 5)];
        store.add_received(&steps, now).await.unwrap();
    }
    for (step, kept) in STEPS {
        assert_eq!(
            store.received(step, now).await.unwrap(),
            [one(step, now, 10)]
        );
        assert_eq!(store.received(step, now + step).await.unwrap(), []);
        // Still there at the edge of what is shown, and gone behind it.
        store.add_received(&[], now + kept).await.unwrap();
        assert_eq!(store.received(step, 0).await.unwrap(), [one(step, now, 10)]);
        store
            .add_received(&[], now + kept + 2 * step)
            .await
            .unwrap();
        assert_eq!(store.received(step, 0).await.unwrap(), []);
    }
    // A step that does not begin where steps begin is refused, and nothing of its write is kept.
    let wrong = [one(10, now, 1), one(10, now + 1, 1)];
    assert!(store.add_received(&wrong, now).await.is_err());
    assert_eq!(store.received(10, 0).await.unwrap(), []);
}

#[tokio::test]
async fn the_trail_knows_its_bounds_when_all_of_it_is_gone() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let empty = store.trail_bounds().await.unwrap();
    assert_eq!((empty.before_oldest, empty.newest), (0, 0));
    let mut shell = bench.shell().await;
    for edit in [
        "INSERT INTO events (at_ms, kind) VALUES (0, 'by_hand'), (0, 'by_hand'), (0, 'by_hand')",
        "DELETE FROM events WHERE event_id = 1",
    ] {
        shell.execute(edit).await.unwrap();
    }
    let bounds = store.trail_bounds().await.unwrap();
    assert_eq!((bounds.before_oldest, bounds.newest), (1, 3));
    shell.execute("DELETE FROM events").await.unwrap();
    let bounds = store.trail_bounds().await.unwrap();
    assert_eq!((bounds.before_oldest, bounds.newest), (3, 3));
    let other = Bench::new().await;
    let epoch = other.store.trail_bounds().await.unwrap().epoch;
    assert!(epoch != bounds.epoch && epoch.len() == 8, "{epoch}");
}
