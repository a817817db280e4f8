//! Ranges that are ignored, refused or false, and what a restart asks for.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use modelhaul::testing::{Content, Fault, HubConfig, Misdeed, PracticeHub, RepoSpec, When};
use serde_json::json;

use super::super::kit::{Case, FILE, Health, ID, Invariants, Rig, SIZE, Setup, model, range_start};
use crate::queue::kit::{assert_not_fetched_again, newest, saved, saved_bytes};
use crate::support::{Sandbox, wait_for};

const LARGE: u64 = 12 << 20;

/// A rig that was killed at 40 % of a larger file; answers what was on disk then.
fn killed(number: &'static str, done: &'static str, meanwhile: impl FnOnce(&Rig)) -> (Rig, u64) {
    let spec = RepoSpec::new(ID)
        .generated("big.bin", LARGE)
        .file("config.json", "{}\n");
    let mut rig = Setup::new()
        .specs([spec])
        .config("backoff = '50ms'\nbackoff_max = '1s'\ndownload_timeout = '30s'\n")
        .rate(6_000_000)
        .open(number, done);
    rig.start(ID);
    rig.service().wait_bytes(ID, LARGE * 4 / 10);
    rig.crash(|rig| {
        meanwhile(rig);
        rig.hub.tune(|settings| settings.rate_total = 0);
    });
    let before = saved_bytes(&saved(&rig.sandbox));
    (rig, before)
}

#[test]
fn b19_after_a_kill_exactly_the_missing_bytes_are_asked_for() {
    let mut before = None;
    let (rig, kept) = killed(
        "B19",
        "killed at 40 %; the server keeps ranges (validators are compared with each answer, If-Range is not sent)",
        |rig| before = Some((saved(&rig.sandbox), newest(&rig.hub))),
    );
    rig.completes(ID);
    let (saved, since) = before.unwrap();
    assert!(kept > 0);
    assert_not_fetched_again(&rig.hub, since, &saved);
    let again = rig.fetches(FILE);
    let after = again.iter().filter(|request| request.number > since);
    let sent: u64 = after.map(|request| request.bytes_sent).sum();
    assert!(
        sent <= LARGE - saved_bytes(&saved) + 4,
        "{sent} bytes after {}",
        saved_bytes(&saved)
    );
    rig.pass(format_args!("{sent} bytes were left and {sent} were sent"));
}

#[test]
fn b20_a_resume_is_answered_with_the_whole_file() {
    let (rig, _) = killed(
        "B20",
        "killed at 40 %; the server then answers 200 with everything",
        |rig| {
            rig.cdn(|fault| fault, Misdeed::IgnoreRange);
        },
    );
    rig.completes(ID);
    rig.pass("the hash is right");
}

#[test]
fn b22_416_in_all_its_forms() {
    let forms = [
        ("r/equal", Some(format!("bytes */{SIZE}"))),
        ("r/smaller", Some("bytes */1000".to_owned())),
        ("r/larger", Some(format!("bytes */{}", SIZE * 2))),
        ("r/unknown", None),
    ];
    let mut rig = Setup::new().specs(forms.iter().map(|(id, _)| model(id))).open(
        "B22",
        "416 in the middle: with the right size, a smaller one, a larger one, none; once, then always",
    );
    let answer = |size: &Option<String>| Misdeed::Answer {
        status: 416,
        headers: size
            .iter()
            .map(|size| ("Content-Range".to_owned(), size.clone()))
            .collect(),
        body: String::new(),
    };
    let glob = |id: &str| format!("{id}/big.bin");
    let faults: Vec<u64> = forms
        .iter()
        .map(|(id, size)| {
            rig.hub
                .fault(Fault::cdn(&glob(id), answer(size)).when(When::Nth(2)))
        })
        .collect();
    for (id, _) in &forms {
        rig.start(id);
    }
    for ((id, _), fault) in forms.iter().zip(faults) {
        rig.completes(id);
        assert_eq!(rig.hub.struck(fault), 1, "{id}");
    }
    rig.pass("never taken for the end of the file; asked again, whole");
}

#[test]
fn b22_416_for_ever() {
    let mut rig = Setup::new()
        .env("HF_DOWNLOAD_MAX_RETRIES", 1)
        .open("B22b", "416 with the right size to everything");
    let answer = Misdeed::Answer {
        status: 416,
        headers: vec![("Content-Range".to_owned(), format!("bytes */{SIZE}"))],
        body: String::new(),
    };
    rig.cdn(|fault| fault, answer);
    rig.fails(ID, &["bad_response"]);
    rig.pass("bad_response, nothing published");
}

#[test]
fn b28_a_coding_that_was_not_asked_for() {
    let mut rig = Setup::new()
        .specs([model("z/once"), model("z/always")])
        .env("HF_DOWNLOAD_MAX_RETRIES", 1)
        .open(
            "B28",
            "Content-Encoding: gzip on a file though identity was asked for: once, then always",
        );
    rig.hub
        .fault(Fault::cdn("z/once/*", Misdeed::Gzip).first(1));
    rig.hub.fault(Fault::cdn("z/always/*", Misdeed::Gzip));
    rig.start("z/once");
    rig.completes("z/once");
    rig.fails("z/always", &["bad_response"]);
    let asked = rig.fetches("z/*/big.bin");
    assert!(
        asked
            .iter()
            .all(|request| request.header("accept-encoding") == Some("identity"))
    );
    rig.pass("refused before a byte was written");
}

#[test]
fn b43_sizes_at_every_edge() {
    const MIB: u64 = 1 << 20;
    let sizes = [
        0,
        1,
        2,
        4095,
        MIB - 1,
        MIB,
        MIB + 1,
        4 * MIB - 1,
        4 * MIB,
        4 * MIB + 1,
        8 * MIB,
    ];
    let spec = sizes.iter().fold(RepoSpec::new(ID), |spec, size| {
        spec.generated(&format!("{size}.bin"), *size)
    });
    let mut rig = Setup::new()
        .specs([spec])
        .env("MODELHAUL_MAX_CONNECTIONS", 4)
        .open(
            "B43",
            "files of 0 and 1 bytes, of whole pieces, and one byte beside them (above 4 GiB: B43b)",
        );
    rig.heals();
    rig.pass(format_args!("{} sizes", sizes.len()));
}

#[test]
#[ignore = "takes a minute, and 4 GiB of disk"]
fn b43_a_file_beyond_four_gibibytes() {
    const BIG: u64 = (4 << 30) + 5;
    let case = Case::open("B43b", "a file of 4 GiB and 5 bytes");
    let folder = tempfile::tempdir().unwrap();
    // Mostly a hole, with something behind the place where 32 bits end.
    let source = folder.path().join("big.bin");
    let file = fs::File::create(&source).unwrap();
    file.set_len(BIG).unwrap();
    file.write_all_at(b"end", BIG - 4).unwrap();
    let spec = RepoSpec::new(ID).lfs("big.bin", Content::disk(&source).unwrap());
    let hub = PracticeHub::start(HubConfig::with([spec.clone()])).unwrap();
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let service = sandbox.serve();
    let health = Health::watch(&service);
    service
        .register(&json!({"model_id": ID, "kind": "generic", "repo_id": ID}))
        .ok();
    service.start(ID).ok();
    let long = Duration::from_mins(10);
    let status = wait_for(long, "it is completed", || {
        let status = service.status(ID);
        assert_ne!(status["state"], "failed", "{status:#}");
        (status["status"] == "completed").then_some(status)
    });
    assert_eq!(status["progress"]["bytes_total"], BIG, "{status:#}");
    assert_eq!(status["cache"]["verified"], true, "{status:#}");
    health.check();
    // The bytes are compared with the digest there.
    invariants.check(&sandbox, Some(&service));
    let sent = hub.counters().cdn_bytes;
    assert!(sent < BIG + BIG / 20, "{sent}");
    case.pass(format_args!("whole and verified; {sent} bytes were sent"));
}

#[test]
fn b50_a_server_without_ranges() {
    let mut rig = Rig::open(
        "B50",
        "HEAD is 405, `Accept-Ranges: none`, every range is ignored",
    );
    rig.hub
        .fault(Fault::new("*", Misdeed::status(405)).method("HEAD"));
    rig.cdn(|fault| fault, Misdeed::header("Accept-Ranges", "none"));
    rig.cdn(|fault| fault, Misdeed::IgnoreRange);
    rig.heals();
    assert!(rig.sent() <= SIZE * 2 + SIZE / 2, "{}", rig.sent());
    rig.pass("one stream, whole");
}

#[test]
fn b51_bytes_after_the_end() {
    let spec = model(ID).generated("next.bin", 500_000);
    let mut rig = Setup::new().specs([spec]).open(
        "B51",
        "a thousand bytes more than Content-Length says, before the next file",
    );
    rig.cdn(|fault| fault.first(2), Misdeed::Extra(1000));
    rig.heals();
    assert!(
        rig.fetches(FILE)
            .iter()
            .map(range_start)
            .any(|start| start == 0)
    );
    rig.pass("none of them is in either file");
}
