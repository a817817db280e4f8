//! Group C, crash and kill: the process dies, hangs or breaks exactly at a step.
//!
//! The steps are the failpoints of the testing build. Death at any moment is in [`super::kills`].

use std::collections::BTreeSet;
use std::time::Duration;

use modelhaul::testing::{PracticeHub, RepoSpec};
use rustix::process::Signal;
use serde_json::Value;

use super::kit::{Case, Invariants};
use crate::queue::kit::{
    MIB, assert_not_fetched_again, assert_whole, begin, configure, hub, is_part, newest,
    registration, saved,
};
use crate::support::{LONG, Sandbox, Service, holds, wait_for};

const ID: &str = "me/model";
const POINTS: &str = "MODELHAUL_FAILPOINTS";

/// A model with what matters here: a big file, small ones, a folder, and two names for the same bytes.
fn spec(id: &str) -> RepoSpec {
    RepoSpec::new(id)
        .file("config.json", "{}\n")
        .file("sub/copy.json", "{}\n")
        .generated("sub/small.bin", 40_001)
        .generated("big.bin", 6 * MIB + 17)
}

/// How a life ended: by which signal.
#[track_caller]
fn wait_death(service: &mut Service) {
    use std::os::unix::process::ExitStatusExt as _;
    let status = service.wait_exit(LONG);
    let killed = Some(Signal::KILL.as_raw());
    assert_eq!(status.signal(), killed, "{status}\n{}", service.logs());
}

/// Blobs under their final names.
fn finished(sandbox: &Sandbox) -> BTreeSet<String> {
    let names = sandbox.blobs(ID).into_iter();
    names.filter(|name| !name.contains('.')).collect()
}

/// No request after `since` asked for bytes of a file whose blob was there.
#[track_caller]
fn assert_kept(hub: &PracticeHub, spec: &RepoSpec, since: u64, there: &BTreeSet<String>) {
    let done = spec
        .files()
        .iter()
        .filter(|file| there.contains(file.etag()));
    let done: BTreeSet<String> = done.map(|file| format!("{ID}/{}", file.path)).collect();
    for record in hub.requests() {
        let object = record.object.clone().unwrap_or_default();
        let again = record.number > since && record.range().is_some() && done.contains(&object);
        assert!(!again, "{object} was finished: {record:?}");
    }
}

/// Lets the service die at a step, and checks that the next start needs nobody and loses nothing.
fn dies_at(number: &'static str, point: &'static str, nth: u64) {
    let done = format!("SIGKILL at `{point}`, pass {nth}");
    let case = Case::open(number, done.leak());
    let spec = spec(ID);
    // Slow enough for a checkpoint before the big file is in.
    let hub = hub(8 * MIB, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    configure(&mut sandbox, "checkpoint_interval = \"100ms\"\n");
    if point == "link-temporary" {
        // A taken name is exchanged, which needs a temporary one.
        let commit = hub.head(ID, "main").unwrap();
        let folder = sandbox.repo_folder(ID).join("snapshots").join(commit);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("big.bin"), "not what it should be").unwrap();
    }
    let invariants = Invariants::watch(&sandbox).allow("modelhaul.toml");
    sandbox.set_env(POINTS, &format!("{point}=kill@{nth}"));
    let mut service = sandbox.serve();
    service.register(&registration(ID)).ok();
    let path = format!("/api/model-download/{ID}/start");
    let started = service.http().try_request("POST", &path, &[], None);
    let accepted = started.is_ok_and(|reply| reply.whole && reply.status == 202);
    wait_death(&mut service);
    drop(service);

    let (before, since, there) = (saved(&sandbox), newest(&hub), finished(&sandbox));
    let db = sandbox.db();
    db.assert_sound();
    let jobs = db.value("SELECT count(*) FROM jobs").as_u64().unwrap();
    assert!(
        jobs == 1 || !accepted && jobs == 0,
        "{jobs} jobs, accepted: {accepted}"
    );
    sandbox.set_env(POINTS, "");
    let service = sandbox.serve();
    if jobs == 0 {
        assert_eq!(service.start(ID).status, 202);
    }
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    assert_kept(&hub, &spec, since, &there);
    whole(&sandbox, &hub, &spec);
    assert_eq!(db.value("SELECT count(*) FROM jobs"), 1);
    assert_eq!(db.value("SELECT retries FROM jobs"), 0);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!(
        "accepted: {accepted}; {} blobs kept; completed by itself",
        there.len()
    ));
}

/// Like the kit's check, for a repository in which two files share a blob.
#[track_caller]
fn whole(sandbox: &Sandbox, hub: &PracticeHub, spec: &RepoSpec) {
    let commit = hub.head(spec.id(), "main").unwrap();
    sandbox.assert_snapshot(spec, &commit);
    assert_eq!(sandbox.cached_ref(spec.id(), "main"), Some(commit));
    let names: BTreeSet<String> = spec
        .files()
        .iter()
        .map(|file| file.etag().to_owned())
        .collect();
    let blobs: BTreeSet<String> = sandbox.blobs(spec.id()).into_iter().collect();
    assert_eq!(blobs, names, "no orphan, nothing missing");
    let open = "SELECT count(*) FROM files WHERE state <> 'done' OR part_name IS NOT NULL";
    assert_eq!(sandbox.db().value(open), 0);
}

/// Starts without a step to die at: what was asked for completes, whole and with nothing left over.
#[track_caller]
fn goes_on_by_itself(
    sandbox: &mut Sandbox,
    hub: &PracticeHub,
    spec: &RepoSpec,
    invariants: &Invariants,
) {
    sandbox.set_env(POINTS, "");
    let service = sandbox.serve();
    service.wait_completed(ID);
    whole(sandbox, hub, spec);
    invariants.check(sandbox, Some(&service));
    service.stop();
}

macro_rules! dies_at {
    ($($test:ident, $number:literal, $point:literal, $nth:literal;)*) => {
        $(#[test]
        fn $test() {
            dies_at($number, $point, $nth);
        })*
    };
}

dies_at! {
    c55a_before_the_job_is_committed, "55a", "start-before-commit", 2;
    c55b_after_the_job_is_committed, "55b", "start-committed", 2;
    c55c_before_the_claim_is_committed, "55c", "claim-before-commit", 1;
    c55d_after_the_claim, "55d", "claim-committed", 1;
    c55e_after_the_plan, "55e", "plan-committed", 1;
    c55f_when_a_part_is_created, "55f", "part-created", 1;
    c55g_when_a_part_has_its_name, "55g", "part-named", 1;
    c55h_in_the_middle_of_the_writes, "55h", "part-written", 20;
    c55i_after_the_data_is_synced, "55i", "part-synced", 3;
    c55j_before_a_checkpoint_is_committed, "55j", "checkpoint-before-commit", 2;
    c55k_after_a_checkpoint, "55k", "checkpoint-committed", 2;
    c55l_when_a_finished_part_is_synced, "55l", "blob-synced", 1;
    c55m_after_the_rename, "55m", "blob-renamed", 1;
    c55n_after_the_sync_of_the_folder, "55n", "blobs-synced", 1;
    c55o_before_the_files_are_committed, "55o", "files-before-commit", 1;
    c55p_after_the_files_are_committed, "55p", "files-committed", 1;
    c55q_when_every_file_is_in, "55q", "job-fetched", 1;
    c55r_before_a_link_gets_its_name, "55r", "link-temporary", 1;
    c55s_between_the_links, "55s", "link-made", 2;
    c55t_after_the_links, "55t", "links-synced", 1;
    c55u_before_a_ref_gets_its_name, "55u", "ref-written", 1;
    c55v_after_the_ref_got_its_name, "55v", "ref-renamed", 1;
    c55w_after_the_sync_of_the_ref, "55w", "ref-synced", 1;
    c55x_before_the_job_is_done, "55x", "done-before-commit", 1;
    c55y_after_the_job_is_done, "55y", "done-committed", 1;
}

/// A part without a row is left by the first death, and the second comes before anyone looks for such.
#[test]
fn c55z_a_part_of_a_life_before_goes_when_nothing_is_missing_any_more() {
    let case = Case::open("55z", "SIGKILL at `part-created`, then at `job-fetched`");
    let spec = spec(ID);
    let hub = hub(0, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    sandbox.set_env(POINTS, "part-created=kill@1");
    let mut service = sandbox.serve();
    begin(&service, ID);
    wait_death(&mut service);
    drop(service);
    sandbox.set_env(POINTS, "job-fetched=kill@1");
    wait_death(&mut sandbox.serve());
    let left: Vec<String> = sandbox
        .blobs(ID)
        .into_iter()
        .filter(|name| is_part(name))
        .collect();
    assert!(
        !left.is_empty(),
        "the first life made a part that the second did not know"
    );
    goes_on_by_itself(&mut sandbox, &hub, &spec, &invariants);
    case.pass(format_args!(
        "{} parts without a row were there, and are gone",
        left.len()
    ));
}

#[test]
fn c59_a_kill_while_the_tables_are_made() {
    let case = Case::open(
        "59",
        "SIGKILL before and after the commit that makes or changes the tables",
    );
    for point in ["migrated-before-commit", "migrated"] {
        let sandbox = Sandbox::new().env(POINTS, &format!("{point}=kill"));
        let ran = sandbox.run(&["queue"]);
        assert_eq!(ran.code, None, "{ran:#?}");
        let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'jobs'";
        let there = sandbox.db().value(tables);
        assert_eq!(
            there,
            u64::from(point == "migrated"),
            "old or new, never between"
        );
        let mut sandbox = sandbox;
        sandbox.set_env(POINTS, "");
        sandbox.run(&["queue"]).ok();
        sandbox.db().assert_sound();
    }
    case.pass("old or new tables, never between");
}

/// A job that breaks fails alone, and what others hold is not poisoned by it.
#[test]
fn c60_a_job_that_panics_fails_alone() {
    let case = Case::open(
        "60",
        "a panic in a step, a write, a checkpoint, a publication; another job behind it",
    );
    for point in [
        "job-fetched",
        "part-written",
        "checkpoint-before-commit",
        "blob-synced",
        "files-before-commit",
        "done-before-commit",
    ] {
        let (broken, other) = (
            spec(ID),
            RepoSpec::new("me/other").generated("x.bin", 3 * MIB),
        );
        let hub = hub(8 * MIB, [broken.clone(), other.clone()]);
        let mut sandbox = Sandbox::with(&hub);
        configure(&mut sandbox, "checkpoint_interval = \"50ms\"\n");
        let invariants = Invariants::watch(&sandbox).allow("modelhaul.toml");
        sandbox.set_env(POINTS, &format!("{point}=panic@1"));
        let service = sandbox.serve();
        begin(&service, ID);
        begin(&service, other.id());
        service.wait_completed(other.id());
        // The status may say completed: after a late panic everything is in the cache.
        let failed = "SELECT error_code FROM jobs WHERE state = 'failed'";
        let code = wait_for(LONG, "the broken job fails", || {
            Some(sandbox.db().value(failed)).filter(|code| !code.is_null())
        });
        assert_eq!(code, "internal", "{point}");
        assert_eq!(service.http().get("/healthz").status, 200);
        service.start(ID).ok();
        service.wait_completed(ID);
        whole(&sandbox, &hub, &broken);
        invariants.check(&sandbox, Some(&service));
        service.stop();
    }
    case.pass("failed alone with its code each time; the other job and a second try completed");
}

#[test]
fn c69_a_crash_loop_uses_up_no_try() {
    const LIVES: u64 = 20;
    let case = Case::open(
        "69",
        "the service dies right after each claim, 20 times in a row",
    );
    let spec = spec(ID);
    let hub = hub(0, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let service = sandbox.serve();
    sandbox.run(&["pause", "--queue"]).ok();
    begin(&service, ID);
    service.kill9();
    sandbox.db().execute("UPDATE settings SET paused = 0");
    sandbox.set_env(POINTS, "claim-committed=kill");
    for _ in 0..LIVES {
        // It may die before it can say where it listens.
        let mut child = sandbox.modelhaul(&["serve", "--listen", "127.0.0.1:0"]);
        let child = child
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let mut child = child.spawn().unwrap();
        let ended = wait_for(LONG, "it dies", || child.try_wait().unwrap());
        assert_eq!(ended.code(), None, "{ended}");
    }
    let db = sandbox.db();
    let job = &db.rows("SELECT state, attempt, retries, error_code FROM jobs")[0];
    assert_eq!(
        (&job["attempt"], &job["retries"]),
        (&LIVES.into(), &0.into()),
        "{job}"
    );
    assert_eq!(job["error_code"], Value::Null);
    goes_on_by_itself(&mut sandbox, &hub, &spec, &invariants);
    case.pass(format_args!(
        "{LIVES} attempts lost, no retry used, then completed"
    ));
}

#[test]
fn c68_a_peer_that_is_killed_lets_go_of_its_lock() {
    let case = Case::open(
        "68",
        "another program holds the lock of a blob and is killed",
    );
    let spec = RepoSpec::new(ID).generated("big.bin", 2 * MIB);
    let hub = hub(0, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let name = format!("{}.lock", spec.files()[0].etag());
    let folder = sandbox.cache().join(".locks/models--me--model");
    std::fs::create_dir_all(&folder).unwrap();
    let mut peer = sandbox.command("/usr/bin/flock");
    peer.arg(folder.join(name))
        .args(["sh", "-c", "echo held; exec sleep 600"]);
    let Ok(mut peer) = peer.stdout(std::process::Stdio::piped()).spawn() else {
        return Case::left_out("68", "another program holds the lock", "no flock program");
    };
    let mut line = String::new();
    let mut told = std::io::BufReader::new(peer.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut told, &mut line).unwrap();
    assert_eq!(line.trim(), "held");
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_status(ID, "it waits for the lock", |status| {
        status["state"] == "waiting" || status["phase"] == "downloading"
    });
    assert_eq!(
        hub.bytes_sent("me/model/big.bin"),
        0,
        "the lock is honoured"
    );
    // The lock lives in the shell's child, which took the shell's place.
    let asked = std::time::Instant::now();
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", peer.id())).unwrap();
    for child in children.split_whitespace() {
        let pid = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }
    peer.kill().unwrap();
    peer.wait().unwrap();
    wait_for(LONG, "the first byte comes", || {
        holds(hub.bytes_sent("me/model/big.bin") > 0)
    });
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!("went on {took:.1?} after the death"));
}
