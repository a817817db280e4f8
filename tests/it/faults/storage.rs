//! Group D, storage: full, read-only, vanished and damaged places of the cache.

use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::PathBuf;

use modelhaul::testing::{PracticeHub, RepoSpec};
use serde_json::Value;

use super::kit::{Case, Health, Invariants};
use crate::queue::disk::{Small, fill};
use crate::queue::kit::{
    MIB, assert_whole, begin, configure, hub, is_part, newest, one_big, registration, saved_bytes,
};
use crate::support::{LONG, SHORT, Sandbox, Service, holds, wait_for};

const ID: &str = "me/model";
const NO_MOUNT: &str = "no file system can be mounted here";
const QUICK: &str = "backoff = \"200ms\"\nbackoff_max = \"1s\"\n";

/// A hub of this speed with one big file, and a sandbox that tries again soon.
fn world(rate: u64, spec: &RepoSpec) -> (PracticeHub, Sandbox, Invariants) {
    let hub = hub(rate, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    configure(
        &mut sandbox,
        &format!("{QUICK}checkpoint_interval = \"200ms\"\ndisk_floor = \"1M\"\n"),
    );
    let invariants = Invariants::watch(&sandbox)
        .allow("modelhaul.toml")
        .allow("data/");
    (hub, sandbox, invariants)
}

/// Waits until the job waits for this reason, and returns the status; it must not fail meanwhile.
#[track_caller]
fn wait_waiting(service: &Service, id: &str, code: &str) -> Value {
    service.wait_status(id, code, |status| {
        assert_ne!(status["state"], "failed", "{status:#}");
        status["state"] == "waiting" && status["error"]["code"] == code
    })
}

fn part_of(sandbox: &Sandbox, at_least: u64) -> PathBuf {
    wait_for(LONG, "a part is on disk", || {
        let names = sandbox.blobs(ID).into_iter().filter(|name| is_part(name));
        let paths = names.map(|name| sandbox.repo_folder(ID).join("blobs").join(name));
        let mut big =
            paths.filter(|path| fs::metadata(path).is_ok_and(|facts| facts.len() >= at_least));
        big.next()
    })
}

#[test]
fn c70_a_full_cache_waits_with_numbers() {
    let case = Case::open(
        "70",
        "24 MiB for a cache of 40 MiB that is full, then freed",
    );
    let spec = one_big(ID, 24 * MIB);
    let (hub, sandbox, invariants) = world(0, &spec);
    let Some(disk) = Small::mount(sandbox.cache(), 40 * MIB) else {
        drop(case);
        return Case::left_out("70", "a full cache", NO_MOUNT);
    };
    let invariants = invariants.allow("hf/hub/ballast");
    let ballast = disk.ballast(24 * MIB);
    let service = sandbox.serve();
    let health = Health::watch(&service);
    begin(&service, ID);
    let waiting = wait_waiting(&service, ID, "disk_full");
    assert_eq!(waiting["waiting"]["reason"], "disk_full", "{waiting:#}");
    let message = waiting["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("25.2 MB are needed") && message.contains("B are free"),
        "{message}"
    );
    let message = message.to_owned();
    fs::remove_file(ballast).unwrap();
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
    assert_eq!(sandbox.db().value("SELECT retries FROM jobs"), 0);
    health.check();
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!("waited: “{message}”; went on by itself"));
}

#[test]
fn c72_jobs_that_do_not_fit_together() {
    let case = Case::open(
        "72",
        "four models of 12 MiB, of which a disk of 32 MiB holds two, and a small one behind",
    );
    let ids = ["me/a", "me/b", "me/c", "me/d"];
    let mut specs: Vec<RepoSpec> = ids.iter().map(|id| one_big(id, 12 * MIB)).collect();
    specs.push(one_big("me/small", MIB));
    let hub = hub(0, specs.clone());
    let mut sandbox = Sandbox::with(&hub);
    configure(&mut sandbox, "disk_floor = \"1M\"\n");
    let invariants = Invariants::watch(&sandbox).allow("modelhaul.toml");
    let Some(_disk) = Small::mount(sandbox.cache(), 32 * MIB) else {
        drop(case);
        return Case::left_out("72", "jobs that do not fit together", NO_MOUNT);
    };
    let service = sandbox.serve();
    for spec in &specs {
        begin(&service, spec.id());
    }
    for id in ["me/a", "me/b", "me/small"] {
        service.wait_completed(id);
    }
    for id in ["me/c", "me/d"] {
        wait_waiting(&service, id, "disk_full");
        let sent = hub.bytes_sent(&format!("{id}/big.bin"));
        assert_eq!(sent, 0, "nothing is fetched in vain");
    }
    for spec in &specs[..2] {
        sandbox.run(&["cache", "rm", spec.id(), "--yes"]).ok();
    }
    for id in ["me/c", "me/d"] {
        service.wait_completed(id);
    }
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass("two and the small one completed, two waited without a byte and completed when there was room");
}

#[test]
fn c73_out_of_inodes() {
    let case = Case::open(
        "73",
        "100 files for a file system with 64 inodes, then with more",
    );
    let spec = (0..100).fold(RepoSpec::new(ID), |spec, n| {
        spec.generated(&format!("f{n:03}.bin"), 1000 + n)
    });
    let (hub, sandbox, invariants) = world(0, &spec);
    let Some(disk) = Small::mount_with(sandbox.cache(), "size=40m,nr_inodes=64") else {
        drop(case);
        return Case::left_out("73", "out of inodes", NO_MOUNT);
    };
    let service = sandbox.serve();
    begin(&service, ID);
    let waiting = wait_waiting(&service, ID, "disk_full");
    let message = waiting["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("inodes"), "{message}");
    disk.remount("nr_inodes=10000");
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!("waited: “{message}”; went on by itself"));
}

#[test]
fn c74_a_file_beyond_the_limit() {
    let case = Case::open(
        "74",
        "a limit of 8 MiB for a file (ulimit -f), a file of 24 MiB",
    );
    let spec = one_big(ID, 24 * MIB);
    let (_hub, sandbox, invariants) = world(0, &spec);
    let mut command = sandbox.command("/bin/sh");
    // dash counts in blocks of 512 bytes.
    let script = "ulimit -f 16384; exec \"$0\" serve --listen 127.0.0.1:0";
    command.args(["-c", script, env!("CARGO_BIN_EXE_modelhaul")]);
    let service = Service::spawn(command, &sandbox.path(""));
    begin(&service, ID);
    let failed = service.wait_status(ID, "failed", |status| status["state"] == "failed");
    let message = failed["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(failed["error"]["code"], "storage", "{failed:#}");
    assert!(
        message.contains("too large") && message.contains("big.bin"),
        "{message}"
    );
    assert_eq!(service.http().get("/healthz").status, 200);
    invariants.check(&sandbox, None);
    service.stop();
    case.pass(format_args!(
        "failed(storage): “{message}”; the service lives"
    ));
}

#[test]
fn c75_a_disk_that_turns_read_only() {
    let case = Case::open(
        "75",
        "the cache is remounted read-only in the middle of a download, and writable again",
    );
    let spec = (0..12).fold(RepoSpec::new(ID), |spec, n| {
        spec.generated(&format!("shard-{n:02}.bin"), MIB + n)
    });
    let (hub, sandbox, invariants) = world(4 * MIB, &spec);
    let Some(disk) = Small::mount(sandbox.cache(), 64 * MIB) else {
        drop(case);
        return Case::left_out("75", "a disk that turns read-only", NO_MOUNT);
    };
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, 3 * MIB);
    // The system refuses it while a file is open for writing, so the job pauses for the moment.
    service
        .http()
        .post(&format!("/api/v1/models/{ID}/pause"), None)
        .ok();
    service.wait_status(ID, "paused", |status| status["state"] == "paused");
    disk.remount("ro");
    let health = Health::watch(&service);
    service
        .http()
        .post(&format!("/api/v1/models/{ID}/resume"), None)
        .ok();
    let waiting = wait_waiting(&service, ID, "storage_unavailable");
    let message = waiting["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("Read-only file system"), "{message}");
    disk.remount("rw");
    service.wait_completed(ID);
    health.check();
    assert_whole(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!(
        "waited: “{message}”; went on by itself when it was writable"
    ));
}

#[test]
fn c76_a_read_only_cache_from_the_start() {
    let case = Case::open(
        "76",
        "the cache is read-only: a complete model, and one that is not there",
    );
    let spec = one_big(ID, MIB);
    let (hub, sandbox, invariants) = world(0, &spec);
    hub.add_repo(&one_big("me/other", MIB));
    let Some(disk) = Small::mount(sandbox.cache(), 16 * MIB) else {
        drop(case);
        return Case::left_out("76", "a read-only cache", NO_MOUNT);
    };
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_completed(ID);
    service.stop();
    disk.remount("ro");
    let since = newest(&hub);
    let service = sandbox.serve();
    assert_eq!(service.status(ID)["status"], "completed");
    assert_eq!(service.start(ID).status, 200);
    assert_eq!(newest(&hub), since, "no request");
    let ready = service.http().get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.text());
    service.register(&registration("me/other")).ok();
    assert_eq!(service.start("me/other").status, 202);
    let waiting = wait_waiting(&service, "me/other", "storage_unavailable");
    let message = waiting["error"]["message"].as_str().unwrap().to_owned();
    disk.remount("rw");
    service.wait_completed("me/other");
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass(format_args!("complete without a request; the other one waited (“{message}”) and completed; readyz said no"));
}

#[test]
fn c77_a_cache_that_vanishes() {
    let case = Case::open(
        "77",
        "`rm -rf` of the cache, and of `blobs` alone, under a running download",
    );
    for folder in ["hf/hub", "hf/hub/models--me--model/blobs"] {
        let spec = one_big(ID, 12 * MIB);
        let (hub, sandbox, invariants) = world(8 * MIB, &spec);
        let service = sandbox.serve();
        begin(&service, ID);
        part_of(&sandbox, 3 * MIB);
        wait_for(SHORT, "it is gone", || {
            fs::remove_dir_all(sandbox.path(folder)).ok()
        });
        service.wait_completed(ID);
        assert_whole(&sandbox, &hub, &spec);
        invariants.check(&sandbox, Some(&service));
        service.stop();
    }
    case.pass("noticed before the end, fetched again, completed");
}

#[test]
fn c78_a_part_that_others_cut_or_overwrite() {
    let case = Case::open(
        "78",
        "the part is cut to nothing, cut in half, overwritten, replaced by another file",
    );
    for harm in ["cut", "half", "zeros", "replaced"] {
        let spec = one_big(ID, 8 * MIB);
        let (hub, sandbox, invariants) = world(8 * MIB, &spec);
        let service = sandbox.serve();
        begin(&service, ID);
        let part = part_of(&sandbox, 3 * MIB);
        let file = fs::OpenOptions::new().write(true).open(&part).unwrap();
        match harm {
            "cut" => file.set_len(0).unwrap(),
            "half" => file.set_len(MIB + 1).unwrap(),
            "zeros" => file.write_all_at(&vec![0; 100_000], MIB).unwrap(),
            _ => {
                fs::remove_file(&part).unwrap();
                fs::write(&part, vec![7; 100_000]).unwrap();
            }
        }
        service.wait_completed(ID);
        assert_whole(&sandbox, &hub, &spec);
        invariants.check(&sandbox, Some(&service));
        service.stop();
    }
    case.pass("caught before the final name each time, fetched again, completed");
}

#[test]
fn c79_a_finished_blob_that_rots() {
    let case = Case::open(
        "79",
        "a finished blob is cut; another time zeroed in its middle",
    );
    let spec = one_big(ID, 2 * MIB);
    let (hub, sandbox, invariants) = world(0, &spec);
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_completed(ID);
    let name = spec
        .files()
        .iter()
        .find(|file| file.path == "big.bin")
        .unwrap()
        .etag();
    let blob = sandbox.repo_folder(ID).join("blobs").join(name);
    fs::OpenOptions::new()
        .write(true)
        .open(&blob)
        .unwrap()
        .set_len(MIB)
        .unwrap();
    assert_eq!(service.start(ID).status, 202, "size alone shows it");
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);

    let file = fs::OpenOptions::new().write(true).open(&blob).unwrap();
    file.write_all_at(&[0; 4096], 500_000).unwrap();
    drop(file);
    let found = sandbox.run(&["cache", "verify", ID]);
    assert_eq!(found.code, Some(32), "{found:#?}");
    sandbox.run(&["cache", "verify", ID, "--repair"]).ok();
    assert_whole(&sandbox, &hub, &spec);
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass("the cut one was fetched again by `start`; the rotten one was found by `verify` and repaired");
}

#[test]
fn c80_a_part_of_full_length() {
    let case = Case::open(
        "80",
        "killed with a part whose length is that of the file already",
    );
    let spec = one_big(ID, 8 * MIB);
    let (hub, sandbox, invariants) = world(8 * MIB, &spec);
    let service = sandbox.serve();
    begin(&service, ID);
    let part = part_of(&sandbox, 2 * MIB);
    service.kill9();
    let file = fs::OpenOptions::new().write(true).open(&part).unwrap();
    file.set_len(8 * MIB).unwrap();
    drop(file);
    let kept = saved_bytes(&crate::queue::kit::saved(&sandbox));
    let sent = hub.counters().cdn_bytes;
    let service = sandbox.serve();
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
    let again = hub.counters().cdn_bytes - sent;
    assert!(
        again + kept >= 8 * MIB,
        "{again} were fetched and {kept} were there"
    );
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass("its length proved nothing: what was missing was fetched");
}

#[test]
fn c82_strange_things_where_files_belong() {
    let case = Case::open(
        "82",
        "a dangling link, a folder, a link to a foreign file where a blob belongs; a plain file for a link",
    );
    let spec = one_big(ID, MIB);
    for thing in ["dangling", "foreign", "folder", "plain"] {
        let (hub, sandbox, invariants) = world(0, &spec);
        let invariants = invariants.allow("precious");
        let name = spec
            .files()
            .iter()
            .find(|file| file.path == "big.bin")
            .unwrap()
            .etag();
        let blobs = sandbox.repo_folder(ID).join("blobs");
        fs::create_dir_all(&blobs).unwrap();
        let at = blobs.join(name);
        let precious = sandbox.path("precious");
        fs::write(&precious, "not to be touched").unwrap();
        match thing {
            "dangling" => symlink("nowhere", &at).unwrap(),
            "foreign" => symlink(&precious, &at).unwrap(),
            "folder" => fs::create_dir(&at).unwrap(),
            _ => {
                let folder = sandbox
                    .repo_folder(ID)
                    .join("snapshots")
                    .join(hub.head(ID, "main").unwrap());
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("config.json"), "not what it should be").unwrap();
            }
        }
        let service = sandbox.serve();
        begin(&service, ID);
        if thing == "folder" {
            let failed = service.wait_status(ID, "failed", |status| status["state"] == "failed");
            let message = failed["error"]["message"].as_str().unwrap();
            assert!(message.contains(name), "{message}");
            fs::remove_dir(&at).unwrap();
            assert_eq!(service.start(ID).status, 202);
        }
        service.wait_completed(ID);
        assert_whole(&sandbox, &hub, &spec);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "not to be touched");
        invariants.check(&sandbox, Some(&service));
        service.stop();
    }
    case.pass("repaired, or failed with the path; foreign data was left alone");
}

#[test]
fn c70_cache_and_database_on_one_full_disk() {
    let case = Case::open(
        "70c",
        "cache and database on one disk that fills up in a download, then is freed",
    );
    let spec = one_big(ID, 12 * MIB);
    let (hub, mut sandbox, invariants) = world(4 * MIB, &spec);
    let Some(disk) = Small::mount(sandbox.path("data"), 40 * MIB) else {
        drop(case);
        return Case::left_out("70c", "one full disk for both", NO_MOUNT);
    };
    let at = |name: &str| sandbox.path("data").join(name).display().to_string();
    let (database, cache) = (at("modelhaul.db"), at("hub"));
    sandbox.set_env("MODELHAUL_DB", &database);
    sandbox.set_env("HF_HUB_CACHE", &cache);
    let invariants = invariants.allow("hf/hub");
    fs::create_dir_all(sandbox.path("hf")).unwrap();
    symlink(&cache, sandbox.path("hf/hub")).unwrap();
    symlink(&database, sandbox.path("modelhaul.db")).unwrap();
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, 3 * MIB);
    let ballast = fill(&disk);
    let health = Health::watch(&service);
    wait_for(LONG, "the full disk is noticed", || {
        let logs = service.logs();
        holds(logs.contains("disk that holds the database is full") || logs.contains("disk_full"))
    });
    health.check();
    fs::remove_file(ballast).unwrap();
    service.wait_completed(ID);
    sandbox.assert_snapshot(&spec, &hub.head(ID, "main").unwrap());
    invariants.check(&sandbox, Some(&service));
    service.stop();
    case.pass("held up, then completed by itself");
}
