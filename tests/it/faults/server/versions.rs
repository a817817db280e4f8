//! Files, branches and digests that change on the way, or never were what they are said to be.

use modelhaul::testing::{Content, Fault, Misdeed, RepoSpec, When};
use serde_json::json;

use super::super::kit::{FILE, ID, Rig, SIZE, Setup, model};

const TREE: &str = "/tree/*";

fn other(seed: u64) -> Misdeed {
    Misdeed::OtherVersion { seed }
}

#[test]
fn b23_the_etag_changes_in_the_middle() {
    let ids = ["v/ignores", "v/honours"];
    let mut rig = Setup::new().specs(ids.map(model)).open(
        "B23",
        "the second range is of another version: as 206, and as 200 with the whole of it",
    );
    let second = When::Nth(2);
    for id in ids {
        rig.hub
            .fault(Fault::cdn(&format!("{id}/big.bin"), other(9)).when(second));
    }
    rig.hub
        .fault(Fault::cdn("v/honours/big.bin", Misdeed::IgnoreRange).when(second));
    for id in ids {
        rig.start(id);
        rig.completes(id);
    }
    rig.pass("no byte of the other version is in the file");
}

#[test]
fn b23_the_etag_changes_for_good() {
    let mut rig = Setup::new().env("HF_DOWNLOAD_MAX_RETRIES", 1).open("B23b",
        "after the first range only another version is served, though the hub still names the first",
    );
    rig.cdn(|fault| fault.when(When::After(1)), other(9));
    rig.fails(ID, &["bad_response", "checksum_mismatch"]);
    rig.hub.clear_faults();
    rig.heals();
    rig.pass("failed, nothing published; whole when the first version is back");
}

#[test]
fn b24_validators_that_prove_little() {
    let kinds = [("w/weak", Some("W/\"x\"")), ("w/none", None)];
    let mut rig = Setup::new().specs(kinds.map(|(id, _)| model(id))).open(
        "B24",
        "cut at 40 %, with a weak ETag, and with Last-Modified only (the digest is known from the hub)",
    );
    for (id, etag) in kinds {
        let glob = format!("{id}/big.bin");
        let header = Misdeed::Header {
            name: "ETag".to_owned(),
            value: etag.map(str::to_owned),
        };
        rig.hub.fault(Fault::cdn(&glob, header));
        let cut = Misdeed::Cut {
            after: SIZE * 4 / 10,
            reset: false,
        };
        rig.hub.fault(Fault::cdn(&glob, cut).first(1));
        rig.start(id);
        rig.completes(id);
        let sent: u64 = rig
            .fetches(&glob)
            .iter()
            .map(|request| request.bytes_sent)
            .sum();
        assert!(sent <= SIZE * 11 / 10, "{id}: {sent}");
    }
    rig.pass("went on where it was, because the digest decides");
}

#[test]
fn b25_parallel_ranges_of_two_versions() {
    const LARGE: u64 = 24 << 20;
    let spec = RepoSpec::new(ID).generated("big.bin", LARGE);
    let mut rig = Setup::new()
        .specs([spec])
        .env("MODELHAUL_MAX_CONNECTIONS", 4)
        .open(
            "B25",
            "of the ranges that are fetched at the same time, two come from another version",
        );
    for nth in [2, 3] {
        // Later than the right ones: whichever answers first is the version that the others are compared with.
        rig.cdn(|fault| fault.when(When::Nth(nth)), Misdeed::Latency(300));
        rig.cdn(|fault| fault.when(When::Nth(nth)), other(5));
    }
    rig.heals();
    let whole: u64 = rig
        .fetches(FILE)
        .iter()
        .filter(|r| r.finished)
        .map(|r| r.bytes_sent)
        .sum();
    assert!(whole < LARGE * 2, "{whole}: found by the final hash only");
    rig.pass(format_args!(
        "found by the ETag of the range; {whole} bytes for {LARGE}"
    ));
}

#[test]
fn b37_the_branch_moves_between_two_files() {
    let mut rig = Rig::open(
        "B37",
        "main gets a new commit, with another config.json, when the first bytes are fetched",
    );
    let first = rig.hub.head(ID, "main").unwrap();
    let touch = Misdeed::Touch {
        repo: ID.to_owned(),
        path: "config.json".to_owned(),
        seed: 4,
    };
    rig.hub.fault(Fault::new("*resolve*", touch).first(1));
    let status = rig.heals();
    assert_eq!(status["cache"]["commit"], first.as_str());
    assert_ne!(rig.hub.head(ID, "main").unwrap(), first, "it moved");
    rig.pass("the job stayed with the first commit, and so did the ref");
}

#[test]
fn b46_commits_that_are_none() {
    let long = "a".repeat(41);
    let bad = ["../..", "main", "", long.as_str()];
    let specs = (0..bad.len()).map(|n| model(&format!("h/{n}")));
    let mut rig = Setup::new().specs(specs.chain([model("h/header")])).open(
        "B46",
        "a commit of `../..`, `main`, nothing, 41 letters in the answer; and `../..` in the header X-Repo-Commit",
    );
    for (n, sha) in bad.iter().enumerate() {
        let id = format!("h/{n}");
        let lie = Misdeed::Json {
            pointer: "/sha".to_owned(),
            value: json!(sha),
        };
        rig.hub
            .fault(Fault::hub(&format!("/api/models/{id}/revision/*"), lie));
        rig.fails(&id, &["bad_metadata", "unsafe_path"]);
    }
    rig.hub.fault(Fault::hub(
        "h/header/*",
        Misdeed::header("X-Repo-Commit", "../.."),
    ));
    rig.start("h/header");
    let end = rig.service().wait_status("h/header", "an end", |status| {
        matches!(status["state"].as_str(), Some("failed" | "completed"))
    });
    rig.pass(format_args!(
        "refused as such; with the header {}",
        end["state"]
    ));
}

#[test]
fn b47_two_files_with_one_digest() {
    let twin = Content::generated(5, 2_000_000);
    let spec = RepoSpec::new(ID)
        .lfs("a.bin", twin.clone())
        .lfs("b.bin", twin)
        .file("config.json", "{}\n");
    let mut rig = Setup::new()
        .specs([spec])
        .open("B47", "two files of one digest, both damaged on the way");
    let fault = rig
        .hub
        .fault(Fault::cdn("*.bin", Misdeed::Corrupt { offset: 77 }));
    rig.fails(ID, &["checksum_mismatch"]);
    assert!(
        rig.sandbox.blobs(ID).iter().all(|name| name.len() == 40),
        "{:?}",
        rig.sandbox.blobs(ID)
    );
    rig.hub.lift(fault);
    rig.heals();
    rig.pass("neither was believed; both right when the damage ends");
}

#[test]
fn b48_a_wrong_digest_leaves_nothing() {
    let mut rig = Rig::open(
        "B48",
        "the content is wrong every time; then the fault ends and the model is asked for again",
    );
    rig.cdn(|fault| fault, other(3));
    rig.cdn(|fault| fault, Misdeed::header("ETag", "\"same\""));
    rig.fails(ID, &["checksum_mismatch"]);
    assert!(
        rig.sandbox.blobs(ID).iter().all(|name| name.len() == 40),
        "{:?}",
        rig.sandbox.blobs(ID)
    );
    let before = rig.sent();
    rig.hub.clear_faults();
    rig.heals();
    assert!(rig.sent() >= before + SIZE, "nothing wrong was used again");
    rig.pass("no destination; the second start fetched everything");
}

#[test]
fn b49_the_digest_is_right_and_the_size_is_not() {
    let ids = ["s/more", "s/less"];
    let setup = Setup::new()
        .specs(ids.map(model))
        .env("HF_DOWNLOAD_MAX_RETRIES", 1);
    let mut rig = setup.open(
        "B49",
        "the listing says one byte more, and one byte less (digests from users do not exist here)",
    );
    for (id, size) in ids.into_iter().zip([SIZE + 1, SIZE - 1]) {
        for pointer in ["/0/size", "/0/lfs/size"] {
            let lie = Misdeed::Json {
                pointer: pointer.to_owned(),
                value: json!(size),
            };
            rig.hub
                .fault(Fault::hub(&format!("/api/models/{id}{TREE}"), lie));
        }
        rig.fails(
            id,
            &[
                "bad_response",
                "checksum_mismatch",
                "bad_metadata",
                "network",
            ],
        );
        assert!(rig.sandbox.blobs(id).iter().all(|name| name.len() != 64));
    }
    rig.pass("failed, nothing under a final name");
}
