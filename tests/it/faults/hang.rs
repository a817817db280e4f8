//! Group D, storage: a disk that does not answer, and little memory before it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use modelhaul::testing::{PracticeHub, RepoSpec};
use rustix::process::Signal;

use super::kit::{Case, Health, Invariants};
use crate::queue::kit::{
    MIB, assert_not_fetched_again, begin, configure, hub, newest, one_big, saved,
};
use crate::support::{LONG, SHORT, Sandbox, Service, holds, wait_for};

const ID: &str = "me/model";
const NO_LOOP: &str = "no ext4 on a loop device here";

/// Settings that notice a stall after 2 s and checkpoint often.
const QUICK: &str =
    "backoff = \"200ms\"\nbackoff_max = \"1s\"\ndisk_floor = \"1M\"\ndownload_timeout = \"2s\"\n";

/// A file system of its own on a file, which can be frozen; thawed and unmounted when dropped.
struct Loop(PathBuf);

impl Loop {
    fn mount(sandbox: &Sandbox) -> Option<Self> {
        let image = sandbox.path("image");
        fs::File::create(&image)
            .unwrap()
            .set_len(128 * MIB)
            .unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output();
            output.is_ok_and(|output| output.status.success())
        };
        let (image, at) = (image.display().to_string(), sandbox.cache());
        fs::create_dir_all(&at).unwrap();
        let to = at.display().to_string();
        (run("mkfs.ext4", &["-q", &image]) && run("mount", &["-o", "loop", &image, &to]))
            .then_some(Self(at))
    }

    fn freeze(&self, freeze: bool) -> bool {
        let word = if freeze { "-f" } else { "-u" };
        let done = Command::new("fsfreeze").arg(word).arg(&self.0).output();
        done.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.freeze(false);
        let lazily = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(lazily.is_ok_and(|status| status.success()));
    }
}

/// The disk's image and its own folder are not the service's.
fn watch(sandbox: &Sandbox) -> Invariants {
    Invariants::watch(sandbox)
        .allow("image")
        .allow("hf/hub/lost+found")
        .allow("modelhaul.toml")
}

#[test]
fn c81_a_disk_that_hangs() {
    const DONE: &str =
        "the disk of the cache is frozen for 8 s in a download; a stall counts after 2 s";
    let case = Case::open("81", DONE);
    let spec = one_big(ID, 24 * MIB);
    let hub = hub(8 * MIB, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    configure(&mut sandbox, QUICK);
    let Some(disk) = Loop::mount(&sandbox) else {
        drop(case);
        return Case::left_out("81", DONE, NO_LOOP);
    };
    let invariants = watch(&sandbox);
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, 4 * MIB);
    assert!(disk.freeze(true));
    let health = Health::watch(&service);
    let asked = hub.requests().len();
    let until = Instant::now() + Duration::from_secs(8);
    wait_for(LONG, "the frost lasts", || {
        let status = service.status(ID);
        assert_ne!(status["state"], "failed", "{status:#}");
        holds(Instant::now() >= until)
    });
    let meanwhile = hub.requests().len() - asked;
    assert!(disk.freeze(false));
    health.check();
    service.wait_completed(ID);
    assert_eq!(sandbox.db().value("SELECT retries FROM jobs"), 0);
    // Only what was decided before the frost showed: a stream that waits for the disk is not relieved.
    assert!(meanwhile <= 2, "{meanwhile} requests in the frost");
    let sent = hub.counters().cdn_bytes;
    // The hub fills the sockets of streams whose ranges were divided before, and nobody reads that rest.
    assert!(sent <= 24 * MIB * 7 / 4, "{sent}");
    assert_whole_but(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!(
        "API answered, no try was used; {meanwhile} requests in the frost, {sent} bytes for {}",
        24 * MIB
    ));
}

/// The snapshot and the ref are right; the cache's own file system may hold more.
#[track_caller]
fn assert_whole_but(sandbox: &Sandbox, hub: &PracticeHub, spec: &RepoSpec) {
    let commit = hub.head(spec.id(), "main").unwrap();
    sandbox.assert_snapshot(spec, &commit);
    assert_eq!(sandbox.cached_ref(spec.id(), "main"), Some(commit));
}

#[test]
fn c81_an_end_is_asked_for_while_the_disk_hangs() {
    const DONE: &str = "SIGTERM while the disk of the cache is frozen in a download";
    let case = Case::open("81b", DONE);
    let spec = one_big(ID, 24 * MIB);
    let hub = hub(8 * MIB, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    configure(&mut sandbox, QUICK);
    let Some(disk) = Loop::mount(&sandbox) else {
        drop(case);
        return Case::left_out("81b", DONE, NO_LOOP);
    };
    let invariants = watch(&sandbox);
    let mut service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, 8 * MIB);
    let before = saved(&sandbox);
    assert!(disk.freeze(true));
    service.signal(Signal::TERM);
    wait_for(LONG, "the log names the file that the disk keeps", || {
        let logs = service.logs();
        let line = logs
            .lines()
            .find(|line| line.contains("checkpoint took too long"));
        line.map(|line| assert!(line.contains("big.bin"), "{line}"))
    });
    assert!(disk.freeze(false));
    let thawed = Instant::now();
    let status = service.wait_exit(SHORT);
    let took = thawed.elapsed();
    assert!(status.success(), "{status}");
    drop(service);
    let since = newest(&hub);
    let service = sandbox.serve();
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    assert_eq!(sandbox.db().value("SELECT retries FROM jobs"), 0);
    assert_whole_but(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!(
        "the log names the file; ended {took:.1?} after the thaw; nothing that was recorded was fetched again"
    ));
}

/// A control group with a limit of memory; it goes with the value.
struct Group(PathBuf);

impl Group {
    fn of_bytes(bytes: u64) -> Option<Self> {
        let path = PathBuf::from("/sys/fs/cgroup/memory")
            .join(format!("modelhaul-it-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        fs::write(group.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        Some(group)
    }

    /// A number of one of its files; of the line that begins with `name`, when there are lines.
    fn number(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(self.0.join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes are gone, but the kernel may need a moment to believe it.
        wait_for(SHORT, "the group goes", || fs::remove_dir(&self.0).ok());
    }
}

#[test]
fn c61_little_memory_and_a_slow_disk() {
    const DONE: &str = "128 MiB of memory (a control group), 8 files over up to 64 connections, the disk frozen for 5 s";
    const CAP: u64 = 128 * MIB;
    let case = Case::open("61", DONE);
    let spec = (0..8).fold(RepoSpec::new(ID), |spec, n| {
        spec.generated(&format!("shard-{n}.bin"), 12 * MIB + n)
    });
    let hub = hub(0, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    configure(&mut sandbox, &format!("{QUICK}max_connections = 64\n"));
    let (Some(disk), Some(group)) = (Loop::mount(&sandbox), Group::of_bytes(CAP)) else {
        drop(case);
        return Case::left_out(
            "61",
            DONE,
            "no control group of memory (version 1), or no loop device here",
        );
    };
    let invariants = watch(&sandbox);
    let mut command = sandbox.command("/bin/sh");
    let script = "echo $$ > \"$1\" && exec \"$0\" serve --listen 127.0.0.1:0";
    let procs = group.0.join("cgroup.procs");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_modelhaul")])
        .arg(procs);
    let service = Service::spawn(command, &sandbox.path(""));
    begin(&service, ID);
    service.wait_bytes(ID, 4 * MIB);
    assert!(disk.freeze(true));
    let (mut most, until) = (0, Instant::now() + Duration::from_secs(5));
    wait_for(LONG, "the frost lasts", || {
        most = most.max(group.number("memory.stat", "rss "));
        holds(Instant::now() >= until)
    });
    assert!(disk.freeze(false));
    let status = service.wait_completed(ID);
    most = most.max(group.number("memory.stat", "rss "));
    assert_eq!(
        group.number("memory.oom_control", "oom_kill "),
        0,
        "it was killed for want of memory"
    );
    assert!(most < CAP, "{most}");
    let sent = hub.total_bytes_sent();
    assert_whole_but(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!(
        "never killed; {} MiB of its own at most, try {}; {sent} bytes for {}",
        most >> 20,
        status["attempt"],
        spec.files()
            .iter()
            .map(|file| file.content.size())
            .sum::<u64>(),
    ));
}
