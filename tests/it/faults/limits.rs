//! Group I, limits and clocks: a very long queue, and times that a wrong clock wrote.

use std::time::{Duration, Instant};

use modelhaul::testing::Place;

use super::kit::{Case, ID, Invariants, Setup, slowness};
use super::scene::{MIB, hub, one_big, register};
use crate::support::{LONG, Sandbox, wait_for};

/// So many models with a job each, as rows.
const ROWS: &str = "
    WITH RECURSIVE n (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 100000)
    INSERT INTO models (model_id, kind, origin, repo_id, revision, created_at_ms, updated_at_ms)
    SELECT 'many-' || k, 'generic', 'hub', 'org/many-' || k, 'main', 0, 0 FROM n";
const JOBS: &str = "
    INSERT INTO jobs (job_id, model_key, run_after_ms, enqueued_at_ms, updated_at_ms)
    SELECT printf('00000000-0000-7000-8000-%012d', model_key), model_key, 0, 0, 0 FROM models WHERE model_id LIKE 'many-%'";

#[test]
#[ignore = "takes half a minute"]
fn i137_a_hundred_thousand_jobs_wait() {
    let case = Case::open(
        "137c",
        "100,000 queued jobs: restart < 3 s, one job of high priority goes before them, answers stay small and quick",
    );
    let spec = one_big("org/first", MIB);
    let hub = hub(0, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let watched = Invariants::watch(&sandbox);
    sandbox.run(&["queue"]).ok();
    let db = sandbox.db();
    assert_eq!(db.execute(ROWS), 100_000);
    assert_eq!(db.execute(JOBS), 100_000);
    db.execute("UPDATE settings SET paused = 1");
    let since = Instant::now();
    let service = sandbox.serve();
    let restart = since.elapsed();
    let bound = Duration::from_secs(3).mul_f64(slowness());
    assert!(restart < bound, "{restart:?}");
    register(&service, "first", "org/first");
    let since = Instant::now();
    service.start("first").ok();
    let accepted = since.elapsed();
    assert!(
        accepted < Duration::from_secs(1).mul_f64(slowness()),
        "{accepted:?}"
    );
    for path in ["/api/v1/queue", "/api/v1/jobs", "/api/v1/models"] {
        let reply = service.http().get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert!(
            reply.body.len() < 1 << 20,
            "{path}: {} bytes",
            reply.body.len()
        );
    }
    assert!(service.rss() < 300 * MIB, "{}", service.rss());
    db.execute("UPDATE jobs SET priority = 100 WHERE model_key = (SELECT model_key FROM models WHERE model_id = 'first')");
    db.execute("UPDATE settings SET paused = 0");
    service.wait_completed("first");
    // One job at a time asks the hub, so a long queue is no herd.
    let most = wait_for(LONG, "others have their turn", || {
        Some(hub.counters().max_in_flight).filter(|_| {
            db.value("SELECT count(*) FROM jobs WHERE state = 'failed'")
                .as_u64()
                > Some(3)
        })
    });
    db.execute("UPDATE settings SET paused = 1");
    watched.check(&sandbox, Some(&service));
    case.pass(format_args!(
        "restart {restart:.1?}, accepted in {accepted:.0?}; at most {most} requests at once"
    ));
}

#[test]
fn i138_a_wait_that_a_wrong_clock_wrote() {
    let mut rig = Setup::new().env("HF_DOWNLOAD_MAX_RETRIES", 50).open_before(
        "138",
        "the wall clock was ten years ahead when a pause was written, and a year behind when the job was made",
        |hub| hub.close(Place::Hub).unwrap(),
    );
    rig.start(ID);
    rig.waits(ID, &["hub_unreachable"]);
    rig.crash(|rig| {
        let db = rig.sandbox.db();
        db.execute("UPDATE jobs SET run_after_ms = run_after_ms + 315360000000, enqueued_at_ms = enqueued_at_ms - 31536000000");
        rig.hub.open(Place::Hub).unwrap();
    });
    let since = Instant::now();
    rig.completes(ID);
    let took = since.elapsed();
    rig.pass(format_args!(
        "a pause beyond the longest one counts as over: completed after {took:.1?}"
    ));
}
