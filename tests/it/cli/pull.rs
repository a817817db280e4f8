//! `pull` alone, beside a service, twice at once, interrupted.

use std::process::{Child, Stdio};

use modelhaul::testing::{Fault, Misdeed};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{SHORT, Sandbox, holds, wait_for};
use crate::world::{MODEL, WDV3, assert_tidy, hub, only, sandbox, wdv3};

const ONNX: [&str; 4] = ["pull", WDV3, "-i", "*.onnx"];

fn spawn(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    sandbox
        .modelhaul(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}

/// The bytes that some row says are here.
fn wait_row(sandbox: &Sandbox, bytes: u64) {
    let db = sandbox.path("modelhaul.db");
    wait_for(SHORT, "a row with bytes", || {
        if !db.exists() {
            return None;
        }
        let ran = sandbox.run(&["status", "--format", "json"]);
        let statuses: Value = serde_json::from_str(&ran.stdout).ok()?;
        let here = statuses[0]["progress"]["bytes_downloaded"].as_u64()?;
        holds(here >= bytes)
    });
}

#[test]
fn it_works_alone_and_a_second_one_asks_as_little_as_possible() {
    let hub = hub();
    let mut sandbox = sandbox(&hub);
    let ran = sandbox.run(&ONNX);
    let commit = hub.head(WDV3, "main").unwrap();
    let folder = sandbox.repo_folder(WDV3).join("snapshots").join(&commit);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(
        ran.stdout,
        format!("{}\n", folder.display()),
        "the path and no more"
    );
    assert!(
        !ran.stderr.contains('\u{1b}') && !ran.stderr.contains('\r'),
        "{ran:#?}"
    );
    sandbox.assert_snapshot(&only(&wdv3(), &["model.onnx"]), &commit);
    assert_tidy(&sandbox);

    hub.reset_records();
    assert_eq!(sandbox.run(&ONNX).ok(), ran.stdout);
    let asked: Vec<String> = hub.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(asked, [format!("/api/models/{WDV3}/revision/main")]);

    hub.reset_records();
    sandbox.set_env("HF_HUB_OFFLINE", "1");
    assert_eq!(sandbox.run(&ONNX).ok(), ran.stdout);
    assert_eq!(hub.requests().len(), 0);
    let missing = sandbox.run(&["pull", WDV3, "-i", "*.csv"]);
    assert_eq!(missing.code, Some(6), "{missing:#?}");
    assert!(missing.stderr.contains("HF_HUB_OFFLINE"), "{missing:#?}");
    assert_eq!(hub.requests().len(), 0);
}

#[test]
fn without_a_template_everything_is_meant() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    sandbox.run(&["pull", WDV3]).ok();
    let commit = hub.head(WDV3, "main").unwrap();
    sandbox.assert_snapshot(&wdv3(), &commit);
    // Left-out files are left out.
    let sandbox = crate::world::sandbox(&hub);
    sandbox
        .run(&["pull", WDV3, "-x", "model.*", "-x", ".git*"])
        .ok();
    let rest = only(&wdv3(), &["README.md", "config.json", "selected_tags.csv"]);
    sandbox.assert_snapshot(&rest, &commit);
    assert_eq!(sandbox.blobs(WDV3).len(), 3);
}

#[test]
fn a_look_for_something_newer_that_fails_is_told() {
    let hub = hub();
    let sandbox = sandbox(&hub).env("HF_DOWNLOAD_MAX_RETRIES", "1");
    sandbox.run(&ONNX).ok();
    hub.fault(Fault::hub("/api/models/*", Misdeed::status(500)));
    let ran = sandbox.run(&ONNX);
    assert_eq!(ran.code, Some(6), "{ran:#?}");
    assert_eq!(ran.stdout, "");
    assert!(
        ran.stderr.contains("an earlier snapshot is complete"),
        "{ran:#?}"
    );
    hub.clear_faults();
    sandbox.run(&ONNX).ok();
}

#[test]
fn beside_a_service_it_follows() {
    let hub = hub();
    hub.tune(|settings| settings.rate_total = 4_000_000);
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let ran = sandbox.run(&ONNX);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let holder = sandbox.db().value("SELECT DISTINCT holder FROM attempts");
    let lease = service.http().get("/api/v1/queue").ok()["lease"]["holder"].clone();
    assert_eq!(holder, lease, "the service did the work");
    assert_eq!(sandbox.db().value("SELECT count(*) FROM attempts"), 1);
}

#[test]
fn two_at_once_fetch_each_byte_once() {
    let hub = hub();
    hub.tune(|settings| settings.rate_total = 8_000_000);
    let sandbox = sandbox(&hub);
    let children = [
        spawn(&sandbox, &ONNX),
        spawn(&sandbox, &ONNX),
        spawn(&sandbox, &["pull", WDV3]),
    ];
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!output.stdout.is_empty());
    }
    let commit = hub.head(WDV3, "main").unwrap();
    sandbox.assert_snapshot(&wdv3(), &commit);
    let sent = hub.bytes_sent(&format!("{WDV3}/model.onnx"));
    assert!(sent < MODEL + 1_000_000, "{sent} bytes were sent");
    sandbox.db().assert_sound();
    assert_tidy(&sandbox);
}

#[test]
fn an_interrupt_leaves_an_own_job_queued_and_says_so() {
    let hub = hub();
    hub.tune(|settings| settings.rate_total = 1_500_000);
    let sandbox = sandbox(&hub);
    let child = spawn(&sandbox, &ONNX);
    wait_row(&sandbox, 1_000_000);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert!(stderr.contains("stays queued"), "{stderr}");
    assert!(output.stdout.is_empty());
    assert_eq!(sandbox.db().value("SELECT state FROM jobs"), "queued");
    assert_eq!(sandbox.db().value("SELECT retries FROM jobs"), 0);
    // The next one goes on from there.
    hub.tune(|settings| settings.rate_total = 0);
    let sent = hub.bytes_sent("*model.onnx");
    sandbox.run(&ONNX).ok();
    let fresh = hub.bytes_sent("*model.onnx") - sent;
    assert!(
        fresh < MODEL - 500_000,
        "{fresh} of {MODEL} bytes came again"
    );
    assert_eq!(sandbox.db().value("SELECT count(*) FROM jobs"), 1);
    assert_tidy(&sandbox);
}

#[test]
fn an_interrupt_detaches_from_the_job_of_a_service() {
    let hub = hub();
    hub.tune(|settings| settings.rate_total = 2_000_000);
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let child = spawn(&sandbox, &ONNX);
    wait_row(&sandbox, 500_000);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert!(
        stderr.contains("detached") && stderr.contains("goes on elsewhere"),
        "{stderr}"
    );
    hub.tune(|settings| settings.rate_total = 0);
    let id = service.http().get("/api/v1/models").ok()["items"][0]["model_id"].clone();
    service.wait_completed(id.as_str().unwrap());
    assert_eq!(sandbox.db().value("SELECT count(*) FROM attempts"), 1);
}

#[test]
fn a_followed_job_that_is_cancelled_ends_the_follower() {
    let hub = hub();
    hub.tune(|settings| settings.rate_total = 1_000_000);
    let sandbox = sandbox(&hub);
    let child = spawn(&sandbox, &ONNX);
    wait_row(&sandbox, 300_000);
    let cancelled = sandbox.run(&["cancel", WDV3, "-i", "*.onnx"]).ok();
    assert!(cancelled.starts_with("cancel"), "{cancelled}");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(33), "{stderr}");
}
