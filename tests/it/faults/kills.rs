//! Group C, crash and kill: death, freezing and orderly ends at any moment.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use modelhaul::testing::{Fault, Misdeed, Recorded, RepoSpec};
use rustix::process::Signal;

use super::kit::{Case, Health, Invariants, Ledger, range_start, slowness};
use crate::queue::kit::{
    Dice, MIB, assert_not_fetched_again, assert_whole, begin, hub, newest, one_big, registration,
    saved, saved_bytes,
};
use crate::queue::takeover::{freeze, short_lease, wait_holder};
use crate::support::{Client, LONG, SHORT, Sandbox, holds, wait_for};

const ID: &str = "me/model";
const RATE: u64 = 8 * MIB;

/// Lets real time pass: a moment of death is no fact that could be waited for.
fn pass_time(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// How often, how long a life, and how much there is to fetch.
struct Slaughter {
    kills: u32,
    longest_life: u64,
    models: u64,
    size: u64,
    rate: u64,
}

/// Tells the clients to stop when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Which bytes of which file the hub has sent so far.
#[derive(Default)]
struct Sent(BTreeMap<String, Vec<Range<u64>>>);

impl Sent {
    /// Adds what one life was sent; answers how many of these bytes an earlier life had been sent already: the work that
    /// the kills between them have cost.
    fn add(&mut self, life: &[Recorded]) -> u64 {
        let mut again = 0;
        let mut fresh = Vec::new();
        for record in life.iter().filter(|record| record.range().is_some()) {
            let Some(object) = record.object.clone() else {
                continue;
            };
            let start = range_start(record);
            let range = start..start + record.bytes_sent;
            let known = self.0.get(&object).into_iter().flatten();
            again += known.map(|known| overlap(known, &range)).sum::<u64>();
            fresh.push((object, range));
        }
        for (object, range) in fresh {
            merge(self.0.entry(object).or_default(), range);
        }
        again
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> u64 {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

/// Adds a range to ranges that do not overlap.
fn merge(ranges: &mut Vec<Range<u64>>, mut range: Range<u64>) {
    ranges.retain(|known| {
        let apart = known.end < range.start || range.end < known.start;
        if !apart {
            range = known.start.min(range.start)..known.end.max(range.end);
        }
        apart
    });
    ranges.push(range);
}

#[test]
fn bytes_that_were_sent_again_are_counted_once() {
    let mut ranges = Vec::new();
    for range in [0..10, 20..30, 5..22] {
        merge(&mut ranges, range);
    }
    assert_eq!((ranges.len(), ranges[0].clone()), (1, 0..30));
    assert_eq!(overlap(&(0..30), &(25..40)), 5);
    assert_eq!(overlap(&(0..30), &(30..40)), 0);
}

/// Clients register and start models while the service is killed again and again; then everything must be there.
fn killed_at_random(case: Case, plan: &Slaughter) {
    const CLIENTS: u64 = 3;
    let specs: Vec<RepoSpec> = (0..plan.models)
        .map(|n| one_big(&format!("me/model-{n:03}"), plan.size + n))
        .collect();
    let hub = hub(plan.rate, specs.clone());
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let ledger = Mutex::new(Ledger::default());
    let address: Mutex<Option<Client>> = Mutex::new(None);
    let (over, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let ask = || {
        while !over.load(Ordering::Relaxed) {
            let Some(http) = address.lock().unwrap().clone() else {
                std::thread::park_timeout(Duration::from_millis(5));
                continue;
            };
            // A new wish first, then the same ones again and again: an accepted one must not come twice.
            let id = format!(
                "me/model-{:03}",
                next.fetch_add(1, Ordering::Relaxed) % plan.models
            );
            let body = registration(&id);
            if http
                .try_request("POST", "/api/v1/models", &[], Some(&body))
                .is_err()
            {
                continue;
            }
            let path = format!("/api/model-download/{id}/start");
            if let Ok(reply) = http.try_request("POST", &path, &[], None) {
                ledger.lock().unwrap().note(&id, &reply);
            }
            std::thread::park_timeout(Duration::from_millis(40));
        }
    };
    let mut dice = Dice::new();
    let (mut worst, mut lost, mut sent) = (0, 0, Sent::default());
    let (mut busiest, mut unsaved) = (1.0_f64, 0);
    sandbox.run(&["queue"]).ok();
    std::thread::scope(|scope| {
        // Also when a check fails: the clients must not be waited for then.
        let _over = Over(&over);
        for _ in 0..CLIENTS {
            scope.spawn(ask);
        }
        for _ in 0..plan.kills {
            let (before, since) = (saved_bytes(&saved(&sandbox)), newest(&hub));
            let service = sandbox.serve();
            *address.lock().unwrap() = Some(service.http().clone());
            pass_time(Duration::from_millis(dice.below(plan.longest_life)));
            service.kill9();
            *address.lock().unwrap() = None;
            wait_for(LONG, "the hub notices", || {
                holds(hub.counters().in_flight == 0)
            });
            let kept = saved_bytes(&saved(&sandbox));
            assert!(kept >= before, "what is on disk never gets less");
            let life = hub.requests().into_iter();
            let life: Vec<Recorded> = life.filter(|record| record.number > since).collect();
            let again = sent.add(&life);
            let gained = kept - before;
            unsaved += life
                .iter()
                .map(|record| record.bytes_sent)
                .sum::<u64>()
                .saturating_sub(gained);
            busiest = busiest.max(slowness());
            (worst, lost) = (worst.max(again), lost + again);
        }
    });
    // One checkpoint of all streams: half a second, and as much for its sync; longer on a busy machine.
    let bound = in_mib(plan.rate) * busiest;
    assert!(
        in_mib(worst) <= bound,
        "{worst} bytes were sent again after one kill, more than {bound} MiB"
    );
    let ledger = ledger.into_inner().unwrap();
    ledger.check(&sandbox);
    hub.tune(|settings| settings.rate_total = 0);
    let service = sandbox.serve();
    let db = sandbox.db();
    let open = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')";
    wait_for(Duration::from_mins(15), "all jobs end", || {
        holds(db.value(open) == 0)
    });
    let bad = db.rows("SELECT state, error FROM jobs WHERE state <> 'completed' OR retries > 0");
    assert!(bad.is_empty(), "{bad:#?}");
    // A start whose look at the cache came just before the completion makes a job of its own, which finds everything here:
    // what was sent shows that nothing was fetched again.
    let size = plan.models * (plan.size + plan.models);
    let sent = hub.counters().cdn_bytes;
    assert!(
        sent <= size + size / 20 + unsaved,
        "{sent} for {size}, {unsaved} of them in no checkpoint when a kill came"
    );
    ledger.check(&sandbox);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!(
        "{} kills, {} jobs accepted, none lost or doubled, all completed; at most {:.2} MiB sent again after a kill, {:.2} on average, at {} MiB/s (a checkpoint each 0.5 s)",
        plan.kills,
        ledger.len(),
        in_mib(worst),
        in_mib(lost) / f64::from(plan.kills),
        plan.rate / MIB,
    ));
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn in_mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

#[test]
fn c54_kills_at_random_moments() {
    let case = Case::open("54", "25 SIGKILLs at random moments while 3 clients post");
    let plan = Slaughter {
        kills: 25,
        longest_life: 1000,
        models: 20,
        size: 5 * MIB,
        rate: RATE,
    };
    killed_at_random(case, &plan);
}

#[test]
#[ignore = "takes about twenty minutes: 500 kills, each after 0 to 3 seconds"]
fn c54_five_hundred_kills_at_random_moments() {
    let case = Case::open(
        "54b",
        "500 SIGKILLs, each after 0 to 3 s, while 3 clients post",
    );
    let plan = Slaughter {
        kills: 500,
        longest_life: 3000,
        models: 60,
        size: 24 * MIB,
        rate: 2 * MIB,
    };
    killed_at_random(case, &plan);
}

#[test]
fn c56_what_was_answered_is_a_row() {
    const ROUNDS: u32 = 8;
    let case = Case::open(
        "56",
        "SIGKILL in the moment in which the client sees the 202",
    );
    let spec = one_big(ID, MIB);
    let hub = hub(0, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let mut jobs = BTreeMap::new();
    for round in 0..ROUNDS {
        let service = sandbox.serve();
        let id = format!("model-{round}");
        let mut body = registration(ID);
        body["model_id"] = id.clone().into();
        service.register(&body).ok();
        let started = service.start(&id);
        service.kill9();
        jobs.insert(started.ok()["job_id"].as_str().unwrap().to_owned(), id);
    }
    let rows = sandbox.db().rows("SELECT job_id FROM jobs");
    let rows: Vec<&str> = rows
        .iter()
        .map(|row| row["job_id"].as_str().unwrap())
        .collect();
    for (job, id) in &jobs {
        assert!(
            rows.contains(&job.as_str()),
            "{job} of {id} was accepted and is gone"
        );
    }
    let service = sandbox.serve();
    for id in jobs.values() {
        service.wait_completed(id);
    }
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!(
        "{ROUNDS} of {ROUNDS} accepted jobs were there and completed"
    ));
}

#[test]
fn c57_an_orderly_stop_and_an_impatient_one() {
    let case = Case::open(
        "57",
        "SIGTERM in the middle of a download, then SIGTERM twice",
    );
    let spec = one_big(ID, 32 * MIB);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let mut service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, 8 * MIB);
    let asked = Instant::now();
    service.signal(Signal::TERM);
    let refused = service
        .http()
        .try_request("POST", "/api/model-download/x/start", &[], None);
    // Either nobody listens any more, or the answer says when to come back.
    if let Ok(reply) = &refused
        && reply.status == 503
    {
        assert!(reply.header("retry-after").is_some());
    }
    let status = service.wait_exit(SHORT);
    let first = asked.elapsed();
    assert!(
        status.success() && first < Duration::from_secs(5),
        "{status} {first:?}"
    );
    let sent = hub.counters().cdn_bytes;
    let kept = saved_bytes(&saved(&sandbox));
    assert!(
        kept + RATE / 2 + MIB >= sent,
        "{kept} of {sent} bytes were kept"
    );
    invariants.check(&sandbox, None);

    let mut service = sandbox.serve();
    let (before, since) = (saved(&sandbox), newest(&hub));
    service.wait_bytes(ID, kept + 4 * MIB);
    let asked = Instant::now();
    service.signal(Signal::TERM);
    service.signal(Signal::TERM);
    service.wait_exit(SHORT);
    let second = asked.elapsed();
    assert!(second < Duration::from_secs(3), "{second:?}");
    invariants.check(&sandbox, None);
    assert_not_fetched_again(&hub, since, &before);

    let (before, since) = (saved(&sandbox), newest(&hub));
    let service = sandbox.serve();
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    assert_whole(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!(
        "ended in {first:.1?} with exit code 0, and in {second:.1?}; nothing fetched twice"
    ));
}

#[test]
fn c58_finished_files_are_kept_over_restarts() {
    let case = Case::open(
        "58",
        "30 files, 29 of them in, the service is killed and started 5 times",
    );
    let spec = (0..30).fold(RepoSpec::new(ID), |spec, n| {
        spec.generated(&format!("shard-{n:02}.bin"), 300_000 + n)
    });
    let hub = hub(0, [spec.clone()]);
    let last = Fault::cdn(
        "*shard-29.bin",
        Misdeed::Stall {
            after: Some(0),
            for_ms: None,
        },
    );
    let fault = hub.fault(last);
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let service = sandbox.serve();
    begin(&service, ID);
    let done = "SELECT count(*) FROM files WHERE state = 'done'";
    wait_for(LONG, "29 files are in", || {
        let status = service.status(ID);
        assert_ne!(status["state"], "failed", "{status:#}");
        holds(sandbox.db().value(done) == 29)
    });
    service.kill9();
    let since = newest(&hub);
    for _ in 0..5 {
        let service = sandbox.serve();
        let asked = newest(&hub);
        wait_for(LONG, "the last file is asked for again", || {
            holds(newest(&hub) > asked)
        });
        service.kill9();
    }
    hub.lift(fault);
    let service = sandbox.serve();
    service.wait_completed(ID);
    for record in hub
        .requests()
        .iter()
        .filter(|record| record.number > since && record.range().is_some())
    {
        let object = record.object.as_deref().unwrap_or_default();
        assert!(object.ends_with("shard-29.bin"), "{record:?}");
    }
    assert_whole(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass("no finished file was asked for again");
}

#[test]
fn c66_a_frozen_worker_comes_back() {
    let case = Case::open(
        "66",
        "SIGSTOP beyond the lease, another process takes over, SIGCONT",
    );
    let spec = one_big(ID, 16 * MIB);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let db = short_lease(&sandbox);
    let first = sandbox.serve();
    begin(&first, ID);
    first.wait_bytes(ID, 5 * MIB);
    let second = sandbox.serve();
    let health = Health::watch(&second);
    freeze(&db, &first);
    wait_holder(&db, &second, SHORT);
    second.wait_completed(ID);
    let sent = hub.total_bytes_sent();
    let rows = db.rows("SELECT job_id, state, attempt, finished_at_ms FROM jobs");
    first.sigcont();
    wait_for(SHORT, "the first one notices", || {
        holds(first.logs().contains("Lost the lease"))
    });
    assert_eq!(
        db.rows("SELECT job_id, state, attempt, finished_at_ms FROM jobs"),
        rows
    );
    assert!(hub.total_bytes_sent() < sent + MIB);
    assert_eq!(db.value("SELECT retries FROM jobs"), 0);
    health.check();
    assert_whole(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&second));
    second.stop();
    first.stop();
    case.pass("the stale worker changed nothing and logged the lost lease; one final file");
}

#[test]
fn c67_a_laptop_that_sleeps() {
    let case = Case::open(
        "67",
        "the only process is frozen beyond its lease, in a download, and goes on",
    );
    let spec = one_big(ID, 24 * MIB);
    let hub = hub(RATE, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let db = short_lease(&sandbox);
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, 6 * MIB);
    let (before, since) = (saved(&sandbox), newest(&hub));
    service.sigstop();
    pass_time(Duration::from_secs(4));
    service.sigcont();
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    assert_eq!(
        db.value("SELECT retries FROM jobs"),
        0,
        "sleep uses up no try"
    );
    assert_whole(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass("twice the lease's time asleep: went on, no try used, nothing fetched twice");
}
