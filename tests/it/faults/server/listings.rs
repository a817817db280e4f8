//! Listings that are too long, too deep or nonsense, and names that are dangerous or merely odd.

use std::fs;

use modelhaul::testing::{Fault, Misdeed, RawPart, RepoSpec};
use serde_json::{Value, json};

use super::super::kit::{ID, Rig, Setup, model};

/// What a bad answer may cost in memory at its worst.
const MEMORY: u64 = 64 << 20;

fn json_at(pointer: &str, value: Value) -> Misdeed {
    Misdeed::Json {
        pointer: pointer.to_owned(),
        value,
    }
}

fn raw(parts: Vec<RawPart>) -> Misdeed {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
    let parts = [vec![RawPart::new(head, 1)], parts].concat();
    Misdeed::Raw { parts, hold: false }
}

/// The most memory that the service has ever had, in bytes.
fn peak(rig: &Rig) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", rig.service().pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

#[test]
fn b33_json_that_is_meant_to_hurt() {
    let oid = "0".repeat(40);
    let entry = format!(
        "{{\"type\":\"file\",\"path\":\"aaaaaaaaaaaaaaaa\",\"oid\":\"{oid}\",\"size\":1}},\n"
    );
    let twice = format!(
        "[{{\"type\":\"file\",\"type\":\"file\",\"path\":\"a\",\"oid\":\"{oid}\",\"size\":1}}]"
    );
    let lies = [
        ("j/bomb", Misdeed::Bomb { bytes: 50_000_000 }),
        (
            "j/endless",
            raw(vec![RawPart::new("[", 1), RawPart::new(&entry, 10_000_000)]),
        ),
        ("j/deep", raw(vec![RawPart::new("[", 100_000)])),
        ("j/type", json_at("/0/size", json!("x"))),
        ("j/array", json_at("", json!({"a": []}))),
        ("j/digest", json_at("/0/lfs/oid", json!(""))),
        ("j/negative", json_at("/0/lfs/size", json!(-1))),
        ("j/twice", raw(vec![RawPart::new(&twice, 1)])),
        (
            "j/surrogate",
            raw(vec![RawPart::new(
                "[{\"type\":\"file\",\"path\":\"\\ud800\"}]",
                1,
            )]),
        ),
    ];
    let setup = Setup::new()
        .specs(lies.iter().map(|(id, _)| model(id)))
        .config("backoff = '50ms'\nbackoff_max = '1s'\n")
        .env("HF_DOWNLOAD_MAX_RETRIES", 2);
    let mut rig = setup.open(
        "B33",
        "listings: a gzip bomb (50 MB), one without an end, depth 100,000, wrong types, no digest, size -1, keys twice, half a letter",
    );
    let before = peak(&rig);
    for (id, does) in lies {
        rig.hub
            .fault(Fault::hub(&format!("/api/models/{id}/tree/*"), does));
        rig.fails(
            id,
            &[
                "bad_metadata",
                "not_a_hub",
                "bad_response",
                "unsafe_path",
                "network",
            ],
        );
    }
    let more = peak(&rig).saturating_sub(before);
    assert!(more < MEMORY, "{more} bytes");
    rig.pass(format_args!(
        "each refused; at most {} MiB more memory",
        more >> 20
    ));
}

#[test]
fn b33_a_size_beyond_what_numbers_hold() {
    let mut rig = Rig::open("B33b", "a file of 2^53+1 bytes");
    for pointer in ["/0/size", "/0/lfs/size"] {
        rig.hub.fault(Fault::hub(
            "/api/models/*/tree/*",
            json_at(pointer, json!(9_007_199_254_740_993_u64)),
        ));
    }
    rig.start(ID);
    let status = rig.service().wait_status(ID, "refused", |status| {
        status["state"] == "failed" || status["waiting"]["reason"] == "disk_full"
    });
    let code = status["error"]["code"].as_str().unwrap().to_owned();
    let total = status["progress"]["bytes_total"].as_u64();
    assert!(
        total.is_none_or(|total| total >= 9_007_199_254_740_993),
        "{status:#}"
    );
    rig.pass(format_args!("{code}, counted exactly"));
}

#[test]
fn b41_names_that_are_dangerous() {
    let part = "p".repeat(256);
    let path = "d/".repeat(2500);
    let names = [
        "../x",
        "/x",
        "a/../../x",
        "C:\\x",
        "\\\\h\\s",
        "a\0b",
        "a\nb",
        "",
        ".",
        "..",
        "a/",
        "./a",
        "a//b",
        "C:x",
        part.as_str(),
        path.as_str(),
    ];
    let specs = (0..names.len()).map(|n| model(&format!("u/{n}")));
    let clash = [
        RepoSpec::new("u/nested").file("a", "1").file("a/b", "2"),
        RepoSpec::new("u/twice").file("a", "1").file("a", "2"),
    ];
    let mut rig = Setup::new().specs(specs.chain(clash)).open(
        "B41",
        "a listing with `..`, absolute, drive, UNC, NUL, newline, empty, `.`, 256-byte and 5,000-byte names; `a` with `a/b`; a name twice",
    );
    for (n, name) in names.iter().enumerate() {
        let id = format!("u/{n}");
        rig.hub.fault(Fault::hub(
            &format!("/api/models/{id}/tree/*"),
            json_at("/0/path", json!(name)),
        ));
        let failed = rig.fails(&id, &["unsafe_path"]);
        let message = failed["error"]["message"].as_str().unwrap();
        assert!(
            !message.contains(char::is_control) && message.len() < 1000,
            "{message}"
        );
    }
    rig.fails("u/nested", &["unsafe_path"]);
    rig.fails("u/twice", &["unsafe_path"]);
    assert_eq!(
        rig.hub.requests_for("*/resolve/*").len(),
        0,
        "refused before any file was asked for"
    );
    rig.pass(format_args!(
        "{} names, each unsafe_path before any GET",
        names.len() + 2
    ));
}

#[test]
fn b42_names_that_are_odd() {
    let names = [
        "with space.bin",
        "per%cent.bin",
        "ha#sh.bin",
        "que?stion.bin",
        "plus+and&.bin",
        "caf\u{e9}.bin",
        "cafe\u{301}.bin",
        ".hidden",
        "A.txt",
        "a.txt",
        "-dash",
        "日本/モデル.bin",
        "rtl\u{202e}cod.bin",
        "%2e%2e",
        "semi;colon",
        "quote'\".txt",
    ];
    let spec = names
        .iter()
        .enumerate()
        .fold(RepoSpec::new(ID), |spec, (n, name)| {
            if n % 2 == 0 {
                spec.generated(name, 1000 + n as u64)
            } else {
                spec.file(name, format!("{n}").into_bytes())
            }
        });
    let mut rig = Setup::new().specs([spec]).open(
        "B42",
        "names with space, % # ? + &, both forms of é, a leading dot and dash, two cases of a letter, right-to-left",
    );
    rig.heals();
    rig.pass(format_args!(
        "{} names, each stored byte for byte",
        names.len()
    ));
}
