//! SIGKILL at any moment: the next start goes on by itself and fetches nothing twice that a checkpoint holds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::ops::Range;

use modelhaul::testing::RepoSpec;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::kit::{
    Dice, MIB, assert_not_fetched_again, assert_whole, begin, hub, is_part, newest, saved,
    saved_bytes,
};
use crate::support::{LONG, Sandbox, holds, wait_for};

/// What a kill may cost, in seconds of data: the checkpoint interval, and its sync on a busy machine.
const SECONDS_LOST: u64 = 2;

/// Kills the service again and again while it downloads, and checks each life and the end.
fn killed_again_and_again(spec: &RepoSpec, rate: u64, thresholds: &[u64]) {
    let hub = hub(rate, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let id = spec.id();
    let service = sandbox.serve();
    begin(&service, id);
    let mut alive = Some(service);
    let mut before = saved(&sandbox);
    let mut on_disk = before.clone();
    let mut since = newest(&hub);
    let (mut kills, mut lost) = (0, 0);
    for threshold in thresholds {
        let service = alive.take().unwrap_or_else(|| sandbox.serve());
        let sent_before = hub.total_bytes_sent();
        let done = || sandbox.db().value("SELECT state FROM jobs") == "completed";
        wait_for(LONG, "the moment of the kill", || {
            holds(hub.total_bytes_sent() >= sent_before + threshold || done())
        });
        service.kill9();
        kills += 1;
        wait_for(LONG, "the hub notices", || {
            holds(hub.counters().in_flight == 0)
        });
        let now = saved(&sandbox);
        let sent = hub.total_bytes_sent() - sent_before;
        let gained = saved_bytes(&now).checked_sub(saved_bytes(&before));
        let gained = gained.expect("what is on disk never gets less");
        assert!(
            sent <= gained + rate * SECONDS_LOST,
            "{sent} bytes were sent and {gained} were kept"
        );
        lost += sent.saturating_sub(gained);
        assert_not_fetched_again(&hub, since, &on_disk);
        on_disk = now.clone();
        on_disk.extend(finished(&sandbox, id));
        (before, since) = (now, newest(&hub));
        if done() {
            break;
        }
    }
    let service = alive.take().unwrap_or_else(|| sandbox.serve());
    service.wait_completed(id);
    assert_not_fetched_again(&hub, since, &on_disk);
    assert_whole(&sandbox, &hub, spec);
    let size: u64 = spec.files().iter().map(|file| file.content.size()).sum();
    let sent = hub.total_bytes_sent();
    assert!(
        sent <= size + size / 20 + lost,
        "{sent} for {size}, {lost} lost in {kills} kills"
    );
    let db = sandbox.db();
    assert_eq!(db.value("SELECT count(*) FROM jobs"), 1);
    assert_eq!(db.value("SELECT retries FROM jobs"), 0, "restarts are free");
    assert_eq!(
        db.rows("SELECT outcome FROM attempts WHERE outcome NOT IN ('lost', 'completed')"),
        Vec::<Value>::new()
    );
    service.stop();
}

/// The files that have their final names, whatever their rows say yet; checks that each is what its name promises.
#[track_caller]
fn finished(sandbox: &Sandbox, id: &str) -> BTreeMap<String, Vec<Range<u64>>> {
    let folder = sandbox.repo_folder(id).join("blobs");
    let mut sizes = BTreeMap::new();
    for name in sandbox.blobs(id) {
        if is_part(&name) {
            continue;
        }
        let content = fs::read(folder.join(&name)).unwrap();
        let hash = match name.len() {
            64 => hex(&Sha256::digest(&content)),
            40 => {
                let header = format!("blob {}\0", content.len());
                hex(&Sha1::new()
                    .chain_update(header)
                    .chain_update(&content)
                    .finalize())
            }
            _ => panic!("{name} is no name of a blob"),
        };
        assert_eq!(hash, name, "a final name stands for its content");
        sizes.insert(name, content.len() as u64);
    }
    let rows = sandbox.db().rows(
        "SELECT repo_id || '/' || path AS path, digest FROM files JOIN models USING (model_key)",
    );
    rows.iter()
        .filter_map(|row| {
            let size = *sizes.get(row["digest"].as_str()?)?;
            let whole = Range {
                start: 0,
                end: size,
            };
            Some((row["path"].as_str()?.to_owned(), vec![whole]))
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Many short lives, and some long enough for several checkpoints.
fn thresholds(kills: usize, short: u64, long: u64) -> Vec<u64> {
    let mut dice = Dice::new();
    let life = |n: usize| {
        if n % 7 == 6 { long } else { dice.below(short) }
    };
    (0..kills).map(life).collect()
}

#[test]
fn twenty_kills_lose_no_checkpoint_and_no_retry() {
    let spec = RepoSpec::new("me/large")
        .file("config.json", "{}\n")
        .file("notes.txt", "some notes\n")
        .generated("a.bin", 3 * MIB)
        .generated("model-00001-of-00002.safetensors", 96 * MIB)
        .generated("model-00002-of-00002.safetensors", 61 * MIB + 17);
    killed_again_and_again(&spec, 16 * MIB, &thresholds(20, 6 * MIB, 40 * MIB));
}

#[test]
fn what_was_written_outlives_a_kill_without_a_checkpoint() {
    let size = 96 * MIB;
    let spec = RepoSpec::new("me/large").generated("model.safetensors", size);
    let hub = hub(48 * MIB, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let folder = sandbox.path("home/.config/modelhaul");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), "checkpoint_interval = '10m'\n").unwrap();
    let service = sandbox.serve();
    begin(&service, spec.id());
    wait_for(LONG, "the moment of the kill", || {
        holds(hub.total_bytes_sent() >= 28 * MIB)
    });
    service.kill9();
    assert_eq!(saved_bytes(&saved(&sandbox)), 0, "no row knows of a byte");
    let service = sandbox.serve();
    service.wait_completed(spec.id());
    assert_whole(&sandbox, &hub, &spec);
    // Buffers of the program and of the kernel, for each of the connections, before the kill and at the end.
    let again = hub.total_bytes_sent() - size;
    assert!(again < 20 * MIB, "{again} bytes were sent again");
    service.stop();
}

#[test]
#[ignore = "takes a minute or more: a GiB at disk speed with twenty kills"]
fn twenty_kills_in_a_gibibyte() {
    let spec = RepoSpec::new("me/huge")
        .file("config.json", "{}\n")
        .generated("huge.bin", 1024 * MIB);
    killed_again_and_again(&spec, 64 * MIB, &thresholds(20, 48 * MIB, 160 * MIB));
}

#[test]
fn files_that_are_finished_are_fetched_once_however_often_it_is_killed() {
    let spec = (0..30).fold(RepoSpec::new("me/many"), |spec, n| {
        spec.generated(&format!("shard-{n:02}.bin"), 2 * MIB + n)
    });
    killed_again_and_again(&spec, 16 * MIB, &[12 * MIB; 5]);
}

#[test]
fn two_hundred_small_files_survive_kills_at_any_moment_of_their_batches() {
    let spec = (0..200).fold(RepoSpec::new("me/crumbs"), |spec, n| {
        spec.generated(&format!("part-{n:03}.json"), 50_000 + n)
    });
    killed_again_and_again(&spec, 8 * MIB, &thresholds(15, MIB, 3 * MIB));
}
