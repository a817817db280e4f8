//! Exit codes: one for each kind of end, with a sentence and a next step on standard error.

use std::fs;

use modelhaul::testing::{Fault, Gate, HubConfig, Misdeed, Place, PracticeHub, RepoSpec};
use serde_json::Value;

use crate::support::Sandbox;
use crate::world::{WDV3, hub, quick, sandbox};

/// Runs a command, checks its code, and returns its error object.
#[track_caller]
fn fails(sandbox: &Sandbox, arguments: &[&str], exit: i32, code: &str) -> Value {
    let ran = sandbox.run(&[arguments, &["--format", "json", "--quiet"]].concat());
    assert_eq!(ran.code, Some(exit), "{ran:#?}");
    let last = ran.stderr.lines().last().unwrap();
    let error: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{ran:#?}"));
    assert_eq!(error["code"], code, "{ran:#?}");
    assert_eq!(error["exit_code"], exit);
    error
}

#[test]
fn what_is_not_there_is_3() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    fails(&sandbox, &["pull", "no/such"], 3, "repo_not_found");
    fails(
        &sandbox,
        &["pull", &format!("{WDV3}@v9")],
        3,
        "revision_not_found",
    );
    fails(
        &sandbox,
        &["pull", WDV3, "-i", "*.gguf"],
        3,
        "template_unsatisfied",
    );
    fails(&sandbox, &["status", "nothing"], 3, "unknown_model");
    // Where people read, one sentence and the next step, once.
    let ran = sandbox.run(&["pull", "no/such"]);
    assert_eq!(ran.code, Some(3));
    assert_eq!(ran.stderr.matches("was not found").count(), 1, "{ran:#?}");
    assert!(ran.stderr.contains("  try: "), "{ran:#?}");
}

#[test]
fn what_may_not_be_read_is_24() {
    let gated = RepoSpec::new("org/gated")
        .file("a", "a")
        .gated(Gate::Manual);
    let hub = PracticeHub::start(HubConfig::with([gated])).unwrap();
    let sandbox = sandbox(&hub);
    let error = fails(&sandbox, &["pull", "org/gated"], 24, "token_missing");
    assert!(
        error["remedy"].as_str().unwrap().contains("org/gated"),
        "{error}"
    );
    let sandbox = sandbox.env("HF_TOKEN", "hf_wrong");
    fails(&sandbox, &["pull", "org/gated"], 24, "token_invalid");
}

#[test]
fn wrong_bytes_are_32_and_a_hub_that_is_away_is_6() {
    let hub = hub();
    let sandbox = sandbox(&hub).env("HF_DOWNLOAD_MAX_RETRIES", "1");
    let fault = hub.fault(Fault::cdn("*model.onnx", Misdeed::Corrupt { offset: 9 }));
    let error = fails(
        &sandbox,
        &["pull", WDV3, "-i", "*.onnx"],
        32,
        "checksum_mismatch",
    );
    assert_eq!(error["retryable"], false);
    hub.lift(fault);
    hub.close(Place::Hub).unwrap();
    let error = fails(&sandbox, &["pull", WDV3], 6, "hub_unreachable");
    assert_eq!(error["retryable"], true);
}

#[test]
fn misuse_is_2_and_a_bad_configuration_is_78() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["pull"][..],
        &["pull", "a/b", "--format", "xml"],
        &["frobnicate"],
        &["pull", "../x"],
    ] {
        let ran = sandbox.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:#?}");
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty());
    }
    let sandbox = quick(sandbox);
    let file = sandbox.path("home/.config/modelhaul/config.toml");
    fs::write(&file, "max_retires = 3\n").unwrap();
    let ran = sandbox.run(&["queue"]);
    assert_eq!(ran.code, Some(78), "{ran:#?}");
    assert!(ran.stderr.contains("max_retires"), "{ran:#?}");
    fs::remove_file(&file).unwrap();
    let sandbox = sandbox.env("HF_HUB_DOWNLOAD_TIMEOUT", "soon");
    let ran = sandbox.run(&["queue"]);
    assert_eq!(ran.code, Some(78), "{ran:#?}");
    assert!(ran.stderr.contains("HF_HUB_DOWNLOAD_TIMEOUT"), "{ran:#?}");
}

#[test]
fn a_full_disk_is_waited_for_and_a_wait_that_ends_is_7() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let file = sandbox.path("home/.config/modelhaul/config.toml");
    // More room is kept free than any disk has.
    fs::write(&file, "disk_floor = '4000TB'\n").unwrap();
    let ran = sandbox.run(&["pull", WDV3, "--timeout", "6s"]);
    assert_eq!(ran.code, Some(7), "{ran:#?}");
    assert!(
        ran.stderr.contains("disk full")
            && ran.stderr.contains("B are needed, ")
            && ran.stderr.contains("of which 4 PB are kept"),
        "{ran:#?}"
    );
    assert_eq!(hub.bytes_sent("*model.onnx"), 0);
    fs::remove_file(&file).unwrap();
    sandbox.run(&["retry", WDV3]).ok();
    sandbox.run(&["pull", WDV3]).ok();
}

#[test]
fn switched_off_downloads_are_78() {
    let hub = hub();
    let sandbox = sandbox(&hub).env("DISABLE_MODEL_DOWNLOADS", "true");
    fails(&sandbox, &["pull", WDV3], 78, "downloads_disabled");
    assert_eq!(hub.requests().len(), 0);
}
