//! Group E, concurrency: several clients, a foreign lock, a database that somebody else keeps for himself.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use modelhaul::testing::{Fault, Misdeed};
use rustix::process::{Pid, Signal, kill_process};

use super::kit::{Case, Health, Invariants, Ledger, slowness};
use super::scene::{MIB, hub, one_big, p99, register, timed};
use crate::support::{LONG, SHORT, Sandbox, holds, wait_for};

#[test]
fn e91_a_hundred_starts_at_once_are_one_job() {
    let case = Case::open("91", "100 starts at once, in four spellings of the address");
    let spec = one_big("org/once", 6 * MIB);
    let hub = hub(4 * MIB, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    register(&service, "org/once", "org/once");
    let paths = [
        "/api/model-download/org/once/start",
        "/api/model-download/org%2Fonce/start",
        "/api/v1/models/org/once/start",
        "/api/v1/models/org%2Fonce/start",
    ];
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for n in 0..100 {
            let (answers, http) = (&answers, service.http());
            scope.spawn(move || {
                let reply = http.post(paths[n % paths.len()], None);
                answers.lock().unwrap().push(reply);
            });
        }
    });
    let mut ledger = Ledger::default();
    let (mut jobs, mut made) = (BTreeSet::new(), 0);
    for reply in answers.into_inner().unwrap() {
        assert_eq!(reply.status, 202, "{}", reply.text());
        ledger.note("org/once", &reply);
        let body = reply.json();
        made += u32::from(body["created"] == true);
        jobs.insert(body["job_id"].as_str().unwrap().to_owned());
    }
    assert_eq!((jobs.len(), made), (1, 1), "{jobs:?}");
    service.wait_completed("org/once");
    let sent = hub.bytes_sent("org/once/big.bin");
    // Connections that hand over their tail have read a little ahead.
    assert!(
        sent <= 6 * MIB * 11 / 10,
        "{sent} bytes of {} were sent",
        6 * MIB
    );
    ledger.check(&sandbox);
    sandbox.assert_snapshot(&spec, &hub.head("org/once", "main").unwrap());
    watched.check(&sandbox, Some(&service));
    case.pass(format_args!(
        "one job, 100 equal answers, {sent} of 6291456 bytes were sent"
    ));
}

#[test]
fn e92_a_cancelled_download_leaves_its_bytes_to_its_twin() {
    let case = Case::open(
        "92",
        "two models share a blob; the first is cancelled at 50 %",
    );
    let size = 12 * MIB;
    let spec = one_big("org/shared", size);
    let hub = hub(4 * MIB, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    for id in ["one", "two"] {
        register(&service, id, "org/shared");
        service.start(id).ok();
    }
    service.wait_bytes("one", size / 2);
    service.http().post("/api/v1/models/one/cancel", None).ok();
    service.wait_completed("two");
    assert_eq!(
        service.status("one")["state"],
        "completed",
        "the files serve both"
    );
    let sent = hub.bytes_sent("org/shared/big.bin");
    assert!(sent <= size + size / 10, "{sent} of {size} bytes were sent");
    sandbox.assert_snapshot(&spec, &hub.head("org/shared", "main").unwrap());
    watched.check(&sandbox, Some(&service));
    case.pass(format_args!(
        "the twin went on; {sent} of {size} bytes were sent in all"
    ));
}

#[test]
fn e92_an_old_plan_goes_on_with_a_twins_part() {
    let case = Case::open(
        "92b",
        "two models share a blob; the second was planned before the first one fetched half of it and was cancelled",
    );
    let size = 12 * MIB;
    let spec = one_big("org/shared", size);
    let hub = hub(4 * MIB, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    register(&service, "one", "org/shared");
    register(&service, "two", "org/shared");
    let act = |path: &str| {
        service
            .http()
            .post(&format!("/api/v1/models/{path}"), None)
            .ok()
    };
    let still = Misdeed::Stall {
        after: Some(0),
        for_ms: None,
    };
    let fault = hub.fault(Fault::cdn("*big.bin", still));
    service.start("two").ok();
    wait_for(LONG, "it is planned and asks for the big file", || {
        holds(hub.struck(fault) > 0)
    });
    act("two/pause");
    service.wait_status("two", "paused", |status| status["state"] == "paused");
    hub.lift(fault);
    service.start("one").ok();
    service.wait_bytes("one", size / 2);
    act("one/cancel");
    service.wait_status("one", "cancelled", |status| status["state"] == "cancelled");
    act("two/resume");
    service.wait_completed("two");
    let sent = hub.bytes_sent("org/shared/big.bin");
    // The bound is below one and a half: nobody began anew.
    assert!(sent <= size + size / 10, "{sent} of {size} bytes were sent");
    sandbox.assert_snapshot(&spec, &hub.head("org/shared", "main").unwrap());
    watched.check(&sandbox, Some(&service));
    case.pass(format_args!(
        "the second went on where the first one stopped; {sent} of {size} bytes were sent in all"
    ));
}

#[test]
fn e94_a_foreign_lock_is_waited_for_by_name_and_lets_others_pass() {
    let case = Case::open(
        "94",
        "another process holds a blob's lock while two models are asked for",
    );
    let (held, free) = (one_big("org/held", MIB), one_big("org/free", 2 * MIB));
    let hub = hub(0, [held.clone(), free.clone()]);
    let sandbox = Sandbox::with(&hub);
    let etag = held.files().iter().find(|file| file.lfs).unwrap().etag();
    let folder = sandbox.cache().join(".locks/models--org--held");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join(format!("{etag}.lock"))).unwrap();
    lock.lock().unwrap();
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    for id in ["held", "free"] {
        register(&service, id, &format!("org/{id}"));
        service.start(id).ok();
    }
    let status = service.wait_status("held", "waits for the lock", |status| {
        status["waiting"]["reason"] == "cache_locked"
    });
    let message = status["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("big.bin") && message.contains(&format!("{etag}.lock")),
        "{message}"
    );
    assert!(message.contains("since "), "since when: {message}");
    let since = waiting_since(message);
    // The slot is free for the other one, and waiting costs next to nothing.
    service.wait_completed("free");
    let asked = hub.requests_for("org/held/*").len();
    let before = cpu_ticks(service.pid());
    // Asked of the database, since answers would cost the service time too.
    let attempts = "SELECT max(attempt) FROM jobs JOIN models USING (model_key) WHERE model_id = 'held' AND state = 'queued'";
    let first = sandbox.db().value(attempts).as_i64().unwrap_or(1);
    wait_for(LONG, "later tries", || {
        holds(sandbox.db().value(attempts).as_i64() >= Some(first + 3))
    });
    let ticks = cpu_ticks(service.pid()) - before;
    let again = service.wait_status("held", "still waits", |status| {
        status["waiting"]["reason"] == "cache_locked"
    });
    assert_eq!(
        waiting_since(again["error"]["message"].as_str().unwrap()),
        since,
        "the first sight counts"
    );
    assert!(
        ticks < 150,
        "{ticks} ticks of processor time for a few looks at a lock"
    );
    assert!(
        hub.requests_for("org/held/big.bin").is_empty(),
        "not a byte of it"
    );
    assert!(
        hub.requests_for("org/held/*").len() <= asked + 1,
        "no request per look"
    );
    drop(lock);
    service.wait_completed("held");
    for spec in [&held, &free] {
        sandbox.assert_snapshot(spec, &hub.head(spec.id(), "main").unwrap());
    }
    watched.check(&sandbox, Some(&service));
    case.pass(format_args!(
        "waiting(cache_locked) with path and time, {ticks} ticks, the other model came in between"
    ));
}

/// The time in a message, as it is written there.
fn waiting_since(message: &str) -> String {
    let (_, rest) = message.split_once("since ").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

/// Processor time of a process so far, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// How many commits the worker has made: each of its reports is a beat.
fn beats(sandbox: &Sandbox) -> i64 {
    sandbox
        .db()
        .value("SELECT beat FROM lease")
        .as_i64()
        .unwrap_or(0)
}

/// A download over many connections, watched for `time`: writes per second and the answers' times.
fn busy_download(rate: u64, size: u64, time: Duration) -> (f64, Vec<Duration>) {
    let spec = one_big("org/fast", size);
    let hub = hub(rate, [spec]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    register(&service, "fast", "org/fast");
    service.start("fast").ok();
    service.wait_bytes("fast", 2 * MIB);
    let (first, since) = (beats(&sandbox), Instant::now());
    let mut took = Vec::new();
    while since.elapsed() < time {
        took.extend(timed(20, || {
            service.status("fast");
        }));
        wait_for(SHORT, "a moment later", || holds(true));
    }
    assert_eq!(
        service.status("fast")["state"],
        "running",
        "it was still busy"
    );
    #[expect(clippy::cast_precision_loss, reason = "a few hundred writes")]
    let writes = (beats(&sandbox) - first) as f64 / since.elapsed().as_secs_f64();
    took.sort_unstable();
    service.http().post("/api/v1/models/fast/cancel", None).ok();
    service.wait_status("fast", "cancelled", |status| status["state"] == "cancelled");
    watched.check(&sandbox, Some(&service));
    (writes, took)
}

/// What a job may write per second: a checkpoint every 500 ms, which is the report too. The counting of a few seconds may
/// begin before one write and end behind another.
const WRITES: f64 = 2.3;

#[test]
fn e95_a_busy_download_writes_seldom_and_leaves_the_api_quick() {
    let case = Case::open(
        "95a",
        "a download over many connections while the API is asked without a pause; API p99 < 100 ms",
    );
    let (writes, took) = busy_download(24 * MIB, 400 * MIB, Duration::from_secs(5));
    let (p99, worst) = (p99(&took), took[took.len() - 1]);
    assert!(writes <= WRITES, "{writes:.1} writes per second");
    assert!(
        p99 < Duration::from_millis(100).mul_f64(slowness()),
        "p99 {p99:?}, worst {worst:?} of {}",
        took.len()
    );
    case.pass(format_args!(
        "{writes:.1} writes/s; {} status calls, p99 {p99:?}",
        took.len()
    ));
}

#[test]
#[ignore = "needs a machine without other load"]
fn e95_a_download_at_full_speed_leaves_the_api_quick() {
    let case = Case::open(
        "95b",
        "a download at loopback speed for 20 s; API p99 < 50 ms",
    );
    let (writes, took) = busy_download(200 * MIB, 8192 * MIB, Duration::from_secs(20));
    let p99 = p99(&took);
    assert!(writes <= WRITES, "{writes:.1} writes per second");
    assert!(
        p99 < Duration::from_millis(50).mul_f64(slowness()),
        "p99 {p99:?} of {}",
        took.len()
    );
    case.pass(format_args!(
        "{writes:.1} writes/s; {} status calls, p99 {p99:?}",
        took.len()
    ));
}

/// Another program that has begun to write and does not end.
struct Keeper(Child);

const KEEP: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute(sys.argv[2])
db.execute('SELECT count(*) FROM jobs').fetchall()
print('held', flush=True)
sys.stdin.read()
";

impl Keeper {
    fn begin(sandbox: &Sandbox, statement: &str) -> Self {
        let database = sandbox.path("modelhaul.db").display().to_string();
        let mut command = sandbox.command("python3");
        command.args(["-c", KEEP, &database, statement]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert_eq!(said, "held\n");
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A download whose database somebody else keeps for `time`, stopped in the middle of his transaction.
fn locked_database(time: Duration) -> (u64, Duration) {
    let size = time.as_secs() * 2 * MIB + 8 * MIB;
    let spec = one_big("org/long", size);
    let hub = hub(2 * MIB, [spec.clone(), one_big("org/next", MIB)]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    register(&service, "long", "org/long");
    register(&service, "next", "org/next");
    service.start("long").ok();
    service.wait_bytes("long", MIB);

    let health = Health::watch(&service);
    let keeper = Keeper::begin(&sandbox, "BEGIN EXCLUSIVE");
    keeper.signal(Signal::STOP);
    let since = Instant::now();
    let before = service.status("long")["progress"]["bytes_downloaded"]
        .as_u64()
        .unwrap();
    let refused = service.start("next");
    let told_after = since.elapsed();
    assert_eq!(refused.status, 503, "{}", refused.text());
    let problem = refused.json();
    assert_eq!(problem["code"], "store_unavailable", "{problem:#}");
    assert_eq!(problem["retryable"], true);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("another process holds"),
        "{problem:#}"
    );
    assert!(
        problem["remedy"].as_str().unwrap().contains("log"),
        "{problem:#}"
    );
    assert!(refused.header("retry-after").is_some());
    let named = format!("\"holder.pid\":{},", keeper.0.id());
    let logs = service.logs();
    let line = logs.lines().find(|line| line.contains(&named));
    let line = line.unwrap_or_else(|| panic!("the log does not name {named}:\n{logs}"));
    assert!(
        line.contains("\"holder.stopped\":true") && line.contains("python"),
        "{line}"
    );
    // Longer than the lease's time, so that a holder that counts on renewals alone would have given up.
    wait_for(LONG, "the database stays locked for a while", || {
        let reads = timed(1, || {
            service.status("long");
        });
        assert!(reads[0] < Duration::from_secs(5), "a status took {reads:?}");
        holds(since.elapsed() > time)
    });
    let during = service.status("long")["progress"]["bytes_downloaded"]
        .as_u64()
        .unwrap();
    assert!(
        during >= before + time.as_secs() * MIB,
        "it went on: {before} to {during}"
    );
    health.check();
    drop(keeper);

    service.start("next").ok();
    let status = service.wait_completed("long");
    assert_eq!(
        status["attempt"], 1,
        "nobody had to begin again: {status:#}"
    );
    service.wait_completed("next");
    let sent = hub.bytes_sent("org/long/big.bin");
    assert!(sent <= size + size / 10, "{sent} of {size} bytes were sent");
    sandbox.assert_snapshot(&spec, &hub.head("org/long", "main").unwrap());
    watched.check(&sandbox, Some(&service));
    (during - before, told_after)
}

#[test]
fn e97_a_stopped_writer_of_the_database_costs_a_download_nothing() {
    let case = Case::open(
        "97a",
        "another process is stopped in a write transaction for 17 s while a download runs",
    );
    let (bytes, told) = locked_database(Duration::from_secs(17));
    case.pass(format_args!(
        "503 after {told:.1?}, its process named, {bytes} bytes meanwhile, none twice"
    ));
}

#[test]
#[ignore = "takes a minute"]
fn e97_a_database_that_is_locked_for_long() {
    let case = Case::open(
        "97b",
        "another process is stopped in a write transaction for 60 s while a download runs",
    );
    let (bytes, told) = locked_database(Duration::from_mins(1));
    case.pass(format_args!(
        "503 after {told:.1?}, {bytes} bytes meanwhile, none twice"
    ));
}

/// A reader that keeps his view of the database while a download runs; the largest WAL that was seen.
fn long_reader(time: Duration) -> u64 {
    let spec = one_big("org/read", time.as_secs() * MIB);
    let hub = hub(MIB, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    register(&service, "read", "org/read");
    let reader = Keeper::begin(&sandbox, "BEGIN");
    service.start("read").ok();
    let mut largest = 0;
    let wal = || fs::metadata(sandbox.path("modelhaul.db-wal")).map_or(0, |facts| facts.len());
    wait_for(LONG + 2 * time, "the end", || {
        largest = largest.max(wal());
        let status = service.status("read");
        assert_ne!(status["state"], "failed", "{status:#}");
        holds(status["state"] == "completed")
    });
    assert!(largest < 64 * MIB, "the WAL grew to {largest} bytes");
    drop(reader);
    watched.check(&sandbox, Some(&service));
    largest
}

#[test]
fn e97_a_reader_that_stays_does_not_hold_up_a_download() {
    let case = Case::open(
        "97c",
        "another process keeps a read transaction open for a whole download",
    );
    let largest = long_reader(Duration::from_secs(6));
    case.pass(format_args!("completed; the WAL grew to {largest} bytes"));
}

#[test]
#[ignore = "takes ten minutes"]
fn e97_a_reader_that_stays_for_ten_minutes() {
    let case = Case::open(
        "97d",
        "another process keeps a read transaction open for 10 minutes of a download",
    );
    let largest = long_reader(Duration::from_mins(10));
    case.pass(format_args!("completed; the WAL grew to {largest} bytes"));
}
