//! Group C and D: errors of single system calls, injected with `strace`; left out where it cannot trace.

use std::process::{Child, Command, Stdio};

use modelhaul::testing::RepoSpec;
use rustix::process::{Pid, Signal, kill_process};

use super::kit::{Case, Health, Invariants};
use crate::queue::kit::{MIB, assert_whole, begin, configure, hub, one_big, registration};
use crate::support::{LONG, SHORT, Sandbox, Service, holds, wait_for};

const ID: &str = "me/model";

/// A tracer that lets system calls fail; it lets go when dropped.
struct Injection(Child);

impl Injection {
    /// Attaches to the service; `rules` as in `-e inject=`. None when that cannot be done here.
    fn into(service: &Service, calls: &str, rule: &str, path: Option<&str>) -> Option<Self> {
        let mut command = Command::new("strace");
        command.args([
            "-qq",
            "-f",
            "-o",
            "/dev/null",
            "-p",
            &service.pid().to_string(),
        ]);
        command.args([
            "-e",
            &format!("trace={calls}"),
            "-e",
            &format!("inject={calls}:{rule}"),
        ]);
        if let Some(path) = path {
            command.args(["-P", path]);
        }
        let child = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut injection = Self(child);
        let traced = wait_for(SHORT, "the tracer is there, or has given up", || {
            let all_traced = std::fs::read_dir(format!("/proc/{}/task", service.pid()))
                .unwrap()
                .flatten()
                .all(|task| {
                    let status =
                        std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
                    !status.lines().any(|line| line == "TracerPid:\t0")
                });
            let gone = injection.0.try_wait().unwrap().is_some();
            (all_traced || gone).then_some(!gone)
        });
        traced.then_some(injection)
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // Asked kindly it detaches; the traced process goes on.
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::INT).ok();
        }
        drop(self.0.wait());
    }
}

fn world(rate: u64, spec: &RepoSpec) -> (modelhaul::testing::PracticeHub, Sandbox, Invariants) {
    let hub = hub(rate, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    configure(
        &mut sandbox,
        "backoff = \"200ms\"\nbackoff_max = \"1s\"\ncheckpoint_interval = \"200ms\"\n",
    );
    let invariants = Invariants::watch(&sandbox).allow("modelhaul.toml");
    (hub, sandbox, invariants)
}

#[test]
fn c64_a_sync_of_a_part_fails() {
    const DONE: &str = "the second fdatasync of a part fails with EIO";
    let case = Case::open("64", DONE);
    let spec = one_big(ID, 8 * MIB);
    let (hub, sandbox, invariants) = world(8 * MIB, &spec);
    let service = sandbox.serve();
    let Some(injection) = Injection::into(&service, "fdatasync", "error=EIO:when=2", None) else {
        drop(case);
        return Case::left_out("64", DONE, "strace cannot trace here");
    };
    begin(&service, ID);
    service.wait_completed(ID);
    let attempts = sandbox
        .db()
        .value("SELECT attempt FROM jobs")
        .as_u64()
        .unwrap();
    assert!(
        attempts >= 2,
        "the attempt with the failed sync is thrown away"
    );
    let why = sandbox
        .db()
        .value("SELECT error FROM attempts WHERE attempt = 1");
    assert!(
        why.as_str().unwrap().contains("Input/output error"),
        "{why}"
    );
    drop(injection);
    assert_whole(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!(
        "attempt 1 thrown away ({why}), completed in attempt {attempts}"
    ));
}

#[test]
fn c64_syncs_of_the_database_fail() {
    const DONE: &str = "each sync of the database's WAL fails with EIO, then none";
    let case = Case::open("64b", DONE);
    let spec = one_big(ID, 8 * MIB);
    let (hub, sandbox, invariants) = world(4 * MIB, &spec);
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, 2 * MIB);
    let wal = sandbox.path("modelhaul.db-wal").display().to_string();
    let Some(injection) = Injection::into(&service, "fsync,fdatasync", "error=EIO", Some(&wal))
    else {
        drop(case);
        return Case::left_out("64b", DONE, "strace cannot trace here");
    };
    let health = Health::watch(&service);
    wait_for(LONG, "it says that it is not ready", || {
        holds(service.http().get("/readyz").status == 503)
    });
    let refused = service.register(&registration("me/refused"));
    assert!(refused.status >= 500, "{}", refused.text());
    assert!(!refused.json()["code"].as_str().unwrap().is_empty());
    health.check();
    drop(injection);
    wait_for(LONG, "it is ready again", || {
        holds(service.http().get("/readyz").status == 200)
    });
    let known = service.http().get("/api/v1/models/me/refused").status;
    assert_eq!(known, 404, "what was refused is not there");
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!(
        "readyz 503, a registration was refused with {}, the download went on afterwards",
        refused.status
    ));
}

#[test]
fn c65_renames_links_and_folders_fail() {
    const DONE: &str = "the first rename, link or mkdir fails with EIO, EACCES, EXDEV or ENOENT";
    let case = Case::open("65", DONE);
    let mut seen = Vec::new();
    for (calls, error) in [
        ("rename,renameat,renameat2", "EIO"),
        ("rename,renameat,renameat2", "EACCES"),
        ("rename,renameat,renameat2", "EXDEV"),
        ("rename,renameat,renameat2", "ENOENT"),
        ("symlink,symlinkat", "EIO"),
        ("symlink,symlinkat", "EACCES"),
        ("mkdir,mkdirat", "EIO"),
        ("mkdir,mkdirat", "EACCES"),
    ] {
        let spec = one_big(ID, MIB);
        let (hub, sandbox, invariants) = world(0, &spec);
        let service = sandbox.serve();
        let rule = format!("error={error}:when=1");
        let Some(injection) = Injection::into(&service, calls, &rule, None) else {
            drop(case);
            return Case::left_out("65", DONE, "strace cannot trace here");
        };
        begin(&service, ID);
        let ended = service.wait_status(ID, "an end", |status| {
            status["state"] == "failed" || status["status"] == "completed"
        });
        let what = calls.split(',').next().unwrap();
        if ended["state"] == "failed" {
            let message = ended["error"]["message"].as_str().unwrap();
            assert!(
                message.contains("models--me--model") || message.contains("hf/hub"),
                "the path: {message}"
            );
            assert!(
                message.contains("os error") || message.contains('('),
                "the error: {message}"
            );
            seen.push(format!("{what} {error}: failed"));
            drop(injection);
            invariants.check(&sandbox, None);
            assert_eq!(service.start(ID).status, 202);
            service.wait_completed(ID);
        } else {
            seen.push(format!("{what} {error}: completed by itself"));
            drop(injection);
        }
        assert_whole(&sandbox, &hub, &spec);
        invariants.check(&sandbox, Some(&service));
        service.stop();
    }
    case.pass(seen.join(", "));
}
