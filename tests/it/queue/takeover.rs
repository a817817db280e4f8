//! Two processes on one database: one works, and the other one takes over when it dies or hangs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::kit::{
    MIB, assert_not_fetched_again, assert_whole, begin, hub, is_part, newest, one_big, saved,
    saved_bytes,
};
use crate::support::{Db, LONG, SHORT, Sandbox, Service, holds, wait_for};

/// The promise: a dead holder is replaced within this time.
const TAKEOVER: Duration = Duration::from_secs(2);
const RATE: u64 = 8 * MIB;

fn holder(db: &Db) -> Option<u32> {
    let holder = db.value("SELECT holder FROM lease");
    holder.as_str()?.split('/').nth(1)?.parse().ok()
}

#[track_caller]
pub(crate) fn wait_holder(db: &Db, service: &Service, timeout: Duration) {
    wait_for(timeout, "the process takes over", || {
        holds(holder(db) == Some(service.pid()))
    });
}

/// Freezes the process at a moment when it has no transaction open, since then the whole database would stand still.
pub(crate) fn freeze(db: &Db, service: &Service) {
    wait_for(
        LONG,
        "the process stands still outside of a transaction",
        || {
            service.sigstop();
            let free = db.try_execute_soon("UPDATE settings SET probe = probe + 1");
            if free.is_err() {
                service.sigcont();
            }
            free.ok()
        },
    );
}

/// Makes the database with the shortest lease that it allows.
pub(crate) fn short_lease(sandbox: &Sandbox) -> Db {
    sandbox.run(&["queue"]).ok();
    let db = sandbox.db();
    db.execute("UPDATE settings SET lease_ttl_ms = 2000");
    db
}

/// Everything under a folder: inode, length, time of the last change.
fn facts(folder: &Path) -> BTreeMap<String, (u64, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let facts = fs::symlink_metadata(&path).unwrap();
            if facts.is_dir() {
                folders.push(path);
            } else {
                let fact = (facts.ino(), facts.len(), facts.mtime(), facts.mtime_nsec());
                found.insert(path.display().to_string(), fact);
            }
        }
    }
    found
}

/// The rows that a worker could change.
fn rows(db: &Db) -> Vec<Vec<Value>> {
    vec![
        db.rows("SELECT * FROM jobs"),
        db.rows("SELECT * FROM files"),
        db.rows("SELECT * FROM attempts"),
        db.rows("SELECT * FROM models"),
        db.rows("SELECT token, holder FROM lease"),
    ]
}

#[test]
fn a_killed_holder_is_replaced_within_two_seconds() {
    let spec = one_big("me/model", 32 * MIB);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let (first, second) = (sandbox.serve(), sandbox.serve());
    let db = sandbox.db();
    wait_holder(&db, &first, SHORT);
    begin(&second, "me/model");
    second.wait_bytes("me/model", 10 * MIB);
    assert_eq!(holder(&db), Some(first.pid()), "the second one stands by");
    assert_eq!(db.value("SELECT count(*) FROM lease"), 1);
    first.kill9();
    let (before, since) = (saved(&sandbox), newest(&hub));
    wait_holder(&db, &second, TAKEOVER);
    second.wait_completed("me/model");
    assert_not_fetched_again(&hub, since, &before);
    assert!(saved_bytes(&before) >= MIB, "a checkpoint was there");
    assert_whole(&sandbox, &hub, &spec);
    assert_eq!(db.value("SELECT retries FROM jobs"), 0);
}

#[test]
fn a_holder_that_hangs_is_replaced_and_changes_nothing_when_it_wakes() {
    let spec = one_big("me/model", 24 * MIB);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let db = short_lease(&sandbox);
    let first = sandbox.serve();
    begin(&first, "me/model");
    first.wait_bytes("me/model", 8 * MIB);
    let second = sandbox.serve();
    freeze(&db, &first);
    wait_holder(&db, &second, SHORT);
    second.wait_completed("me/model");
    assert_whole(&sandbox, &hub, &spec);
    let before = (rows(&db), facts(&sandbox.cache()));
    let sent = hub.total_bytes_sent();

    first.sigcont();
    wait_for(SHORT, "the first one notices", || {
        holds(first.logs().contains("Lost the lease"))
    });
    wait_for(SHORT, "the second one has the lock too", || {
        holds(db.value("SELECT locked FROM lease") == 1)
    });
    assert!(
        before == (rows(&db), facts(&sandbox.cache())),
        "{}",
        first.logs()
    );
    assert!(hub.total_bytes_sent() < sent + MIB);
    assert_whole(&sandbox, &hub, &spec);

    // It is of use again.
    second.kill9();
    wait_holder(&db, &first, TAKEOVER);
    let other = one_big("me/other", MIB);
    hub.add_repo(&other);
    begin(&first, "me/other");
    first.wait_completed("me/other");
}

#[test]
fn a_holder_that_wakes_in_the_middle_stands_by_and_takes_over_in_turn() {
    let spec = one_big("me/model", 96 * MIB);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let db = short_lease(&sandbox);
    let first = sandbox.serve();
    begin(&first, "me/model");
    first.wait_bytes("me/model", 8 * MIB);
    let second = sandbox.serve();
    freeze(&db, &first);
    let (before, since) = (saved(&sandbox), newest(&hub));
    wait_holder(&db, &second, SHORT);
    let at = second.wait_bytes("me/model", 16 * MIB);
    assert_not_fetched_again(&hub, since, &before);
    first.sigcont();
    wait_for(
        SHORT,
        "the worker gets the lock in the middle of its job",
        || holds(db.value("SELECT locked FROM lease") == 1),
    );
    assert_eq!(holder(&db), Some(second.pid()));
    let now = second.status("me/model");
    assert_eq!(now["attempt"], at["attempt"], "the job went on undisturbed");
    let parts = sandbox.blobs("me/model");
    let parts = parts.iter().filter(|name| is_part(name));
    assert_eq!(parts.count(), 1);

    second.kill9();
    let (before, since) = (saved(&sandbox), newest(&hub));
    wait_holder(&db, &first, TAKEOVER);
    first.wait_completed("me/model");
    assert_not_fetched_again(&hub, since, &before);
    assert_whole(&sandbox, &hub, &spec);
    assert_eq!(db.value("SELECT retries FROM jobs"), 0);
}

#[test]
fn an_idle_holder_with_the_shortest_lease_keeps_it() {
    let sandbox = Sandbox::new();
    let db = short_lease(&sandbox);
    let first = sandbox.serve();
    wait_holder(&db, &first, SHORT);
    let _second = sandbox.serve();
    let token = db.value("SELECT token FROM lease");
    wait_for(SHORT, "three times the lease's time in beats", || {
        holds(db.value("SELECT beat FROM lease").as_u64() >= Some(15))
    });
    assert_eq!(db.value("SELECT token FROM lease"), token);
}

#[test]
fn a_lease_that_is_deleted_by_hand_costs_nothing() {
    let spec = one_big("me/model", 32 * MIB);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    begin(&service, "me/model");
    service.wait_bytes("me/model", 12 * MIB);
    let db = sandbox.db();
    let (before, since) = (saved(&sandbox), newest(&hub));
    assert_eq!(db.execute("DELETE FROM lease"), 1);
    service.wait_completed("me/model");
    assert_not_fetched_again(&hub, since, &before);
    assert_whole(&sandbox, &hub, &spec);
    assert_eq!(db.value("SELECT retries FROM jobs"), 0);
    assert_eq!(
        db.value("SELECT outcome FROM attempts WHERE attempt = 1"),
        "lost"
    );
    assert_eq!(db.value("SELECT count(*) FROM attempts"), 2);
    let sent = hub.total_bytes_sent();
    assert!(sent <= 33 * MIB + 2 * RATE, "{sent}");
}
