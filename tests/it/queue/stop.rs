//! An orderly stop: what was received is kept, the lease is given back, and a second signal insists.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::kit::{
    MIB, assert_not_fetched_again, assert_whole, begin, hub, newest, one_big, saved, saved_bytes,
};
use crate::support::{LONG, SHORT, Sandbox, holds, wait_for};

const RATE: u64 = 8 * MIB;
/// The promise for an orderly stop.
const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn a_stop_keeps_what_was_received_and_gives_the_lease_back() {
    let spec = one_big("me/model", 32 * MIB);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let mut service = sandbox.serve();
    begin(&service, "me/model");
    service.wait_bytes("me/model", 12 * MIB);
    let asked = Instant::now();
    service.signal(Signal::TERM);
    let status = service.wait_exit(SHORT);
    assert!(asked.elapsed() < LIMIT, "{:?}", asked.elapsed());
    assert!(status.success(), "{status}\n{}", service.logs());
    for end in ["-wal", "-shm"] {
        let left = sandbox.path(&format!("modelhaul.db{end}"));
        assert!(!left.exists(), "the one file is all of the database: {end}");
    }
    wait_for(LONG, "the hub notices", || {
        holds(hub.counters().in_flight == 0)
    });
    let db = sandbox.db();
    assert_eq!(db.value("SELECT count(*) FROM lease"), 0);
    let job = &db.rows("SELECT state, retries, error_code, wait_reason FROM jobs")[0];
    let expected = serde_json::json!({
        "state": "queued", "retries": 0, "error_code": null, "wait_reason": null
    });
    assert_eq!(*job, expected);
    assert_eq!(db.value("SELECT outcome FROM attempts"), "released");
    let (before, since) = (saved(&sandbox), newest(&hub));
    let sent = hub.total_bytes_sent();
    // An orderly stop loses only what was on the way.
    assert!(
        saved_bytes(&before) + RATE / 2 + MIB >= sent,
        "{} of {sent} bytes were kept",
        saved_bytes(&before)
    );

    let service = sandbox.serve();
    service.wait_completed("me/model");
    assert_not_fetched_again(&hub, since, &before);
    assert_whole(&sandbox, &hub, &spec);
    assert_eq!(db.value("SELECT attempt FROM jobs"), 2);
    service.stop();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let spec = one_big("me/model", 32 * MIB);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let mut service = sandbox.serve();
    begin(&service, "me/model");
    service.wait_bytes("me/model", 6 * MIB);
    let db = sandbox.db();
    // Someone forgot a transaction: the outcome cannot be written, so the first signal alone would take seconds.
    db.while_locked(|| {
        service.signal(Signal::TERM);
        wait_for(SHORT, "it is stopping", || {
            holds(service.logs().contains("stopping"))
        });
        let asked = Instant::now();
        service.signal(Signal::TERM);
        service.wait_exit(SHORT);
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
    });
    let (before, since) = (saved(&sandbox), newest(&hub));
    let service = sandbox.serve();
    service.wait_completed("me/model");
    assert_not_fetched_again(&hub, since, &before);
    assert_whole(&sandbox, &hub, &spec);
    assert_eq!(db.value("SELECT retries FROM jobs"), 0);
}

#[test]
fn a_stop_ends_in_time_even_when_the_database_cannot_be_written() {
    let spec = one_big("me/model", 16 * MIB);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let mut service = sandbox.serve();
    begin(&service, "me/model");
    service.wait_bytes("me/model", 6 * MIB);
    sandbox.db().while_locked(|| {
        let asked = Instant::now();
        service.signal(Signal::TERM);
        service.wait_exit(SHORT);
        assert!(
            asked.elapsed() < LIMIT + Duration::from_secs(1),
            "{:?}",
            asked.elapsed()
        );
    });
    let service = sandbox.serve();
    service.wait_completed("me/model");
    assert_whole(&sandbox, &hub, &spec);
}
