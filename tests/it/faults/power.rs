//! Group C, power loss: only what was synced is left.
//!
//! Database and cache lie on a file system that forgets what was not synced. The process dies at a failpoint, then
//! the power goes. Left out where FUSE cannot be mounted.

use std::fs;
use std::os::unix::fs::symlink;

use modelhaul::testing::RepoSpec;

use super::amnesia::{Amnesia, Cut};
use super::kit::{Case, Invariants};
use crate::queue::kit::{
    MIB, assert_not_fetched_again, configure, hub, newest, registration, saved,
};
use crate::support::{LONG, Sandbox};

const ID: &str = "me/model";
const POINTS: &str = "MODELHAUL_FAILPOINTS";

/// Where the power goes, with the pass.
const PLACES: [(&str, u64); 17] = [
    ("start-committed", 2),
    ("plan-committed", 1),
    ("part-created", 1),
    ("part-named", 1),
    ("part-written", 12),
    ("part-synced", 2),
    ("checkpoint-committed", 1),
    ("checkpoint-committed", 3),
    ("blob-synced", 1),
    ("blob-renamed", 1),
    ("blobs-synced", 1),
    ("files-committed", 1),
    ("link-made", 2),
    ("links-synced", 1),
    ("ref-renamed", 1),
    ("done-before-commit", 1),
    ("done-committed", 1),
];

fn spec() -> RepoSpec {
    RepoSpec::new(ID)
        .file("config.json", "{}\n")
        .generated("sub/small.bin", 40_001)
        .generated("big.bin", 4 * MIB + 17)
}

/// Puts database and cache on the forgetful disk; both are reached by their usual names too.
fn on_forgetful_disk(sandbox: &mut Sandbox) -> Result<Amnesia, String> {
    let disk = Amnesia::mount(sandbox.path("disk"))?;
    let at = |name: &str| sandbox.path(name).display().to_string();
    let (database, cache) = (at("disk/modelhaul.db"), at("disk/hf/hub"));
    fs::create_dir(sandbox.path("hf")).unwrap();
    symlink(&cache, sandbox.path("hf/hub")).unwrap();
    symlink(&database, sandbox.path("modelhaul.db")).unwrap();
    sandbox.set_env("MODELHAUL_DB", &database);
    sandbox.set_env("HF_HUB_CACHE", &cache);
    configure(sandbox, "checkpoint_interval = \"50ms\"\n");
    Ok(disk)
}

/// Kills at the place, cuts the power, and checks what is left and that the next start completes it.
fn lost_at(point: &str, nth: u64, cut: Cut) -> Result<(), String> {
    let spec = spec();
    let hub = hub(8 * MIB, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    let mut disk = on_forgetful_disk(&mut sandbox)?;
    let invariants = Invariants::watch(&sandbox)
        .allow("disk/")
        .allow("modelhaul.toml");
    sandbox.set_env(POINTS, &format!("{point}=kill@{nth}"));
    let mut service = sandbox.serve();
    let registered = service.register(&registration(ID));
    assert_eq!(registered.status, 201);
    let path = format!("/api/model-download/{ID}/start");
    let started = service.http().try_request("POST", &path, &[], None);
    let accepted = started.is_ok_and(|reply| reply.whole && reply.status == 202);
    service.wait_exit(LONG);
    drop(service);
    disk.power_cut(cut);

    // Before anything mends it: the database opens, holds what was answered, and nothing lies.
    let what = format!("{point} {nth} {cut:?}");
    let db = sandbox.db();
    db.assert_sound();
    assert_eq!(
        db.value("SELECT count(*) FROM models"),
        1,
        "{what}: a registration is gone"
    );
    let jobs = db.value("SELECT count(*) FROM jobs");
    assert!(jobs == 1 || !accepted, "{what}: an accepted job is gone");
    invariants.check(&sandbox, None);
    if db.value("SELECT state FROM jobs") == "completed" {
        sandbox.assert_snapshot(&spec, &hub.head(ID, "main").unwrap());
    }
    let (before, since) = (saved(&sandbox), newest(&hub));
    sandbox.set_env(POINTS, "");
    let service = sandbox.serve();
    if jobs == 0 {
        assert_eq!(service.start(ID).status, 202);
    }
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    sandbox.assert_snapshot(&spec, &hub.head(ID, "main").unwrap());
    assert_eq!(db.value("SELECT retries FROM jobs"), 0, "{what}");
    invariants.check(&sandbox, Some(&service));
    service.stop();
    Ok(())
}

fn all_lost(number: &'static str, done: &'static str, cuts: &[Cut]) {
    let case = Case::open(number, done);
    let mut times = 0;
    for (point, nth) in PLACES {
        for cut in cuts {
            eprintln!("{point} {nth} {cut:?}");
            if let Err(why) = lost_at(point, nth, *cut) {
                drop(case);
                return Case::left_out(number, done, why);
            }
            times += 1;
        }
    }
    case.pass(format_args!(
        "{times} cuts: no accepted row, no synced range and no finished file lost; all completed"
    ));
}

#[test]
fn c62_power_loss_keeps_only_what_was_synced() {
    all_lost(
        "62",
        "the power goes at each step; nothing that was not synced is left",
        &[Cut::Strict],
    );
}

#[test]
fn c62_power_loss_keeps_any_part_of_what_was_not_synced() {
    all_lost(
        "62b",
        "the power goes at each step; single pages and names of what was not synced are left",
        &[Cut::Torn(1)],
    );
}

#[test]
#[ignore = "takes some minutes: each step with twelve ways to tear"]
fn c62_power_loss_in_many_ways() {
    let cuts: Vec<Cut> = (100..112).map(Cut::Torn).collect();
    all_lost("62c", "the same with 12 dice", &cuts);
}

/// The emulation itself: on a disk that only claims to sync, an accepted job is lost.
#[test]
fn c62_a_disk_that_lies_is_noticed() {
    const DONE: &str = "the same with a disk that only claims to sync";
    let mut sandbox = Sandbox::new();
    let mut disk = match on_forgetful_disk(&mut sandbox) {
        Ok(disk) => disk,
        Err(why) => return Case::left_out("62d", DONE, why),
    };
    let case = Case::open("62d", DONE);
    let service = sandbox.serve();
    disk.lie();
    assert_eq!(service.register(&registration(ID)).status, 201);
    service.kill9();
    disk.power_cut(Cut::Strict);
    let service = sandbox.serve();
    let shown = service.http().get(&format!("/api/v1/models/{ID}"));
    assert_eq!(
        shown.status, 404,
        "the emulation would not notice a missing sync"
    );
    service.stop();
    case.pass("the registration is gone, so the emulation sees a missing sync");
}
