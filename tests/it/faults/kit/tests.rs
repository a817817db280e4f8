//! The checker itself: each invariant is broken by hand once, and it must say so.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use modelhaul::testing::{HubConfig, PracticeHub};
use serde_json::json;

use super::{ID, Invariants, Ledger, model};
use crate::support::{Client, Sandbox};

/// What a check says.
fn verdict(invariants: &Invariants, sandbox: &Sandbox) -> String {
    let checked = catch_unwind(AssertUnwindSafe(|| invariants.check(sandbox, None)));
    let Err(panic) = checked else {
        return "good".to_owned();
    };
    let text = panic.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap()).to_owned())
}

#[test]
fn each_broken_invariant_is_found() {
    let hub = PracticeHub::start(HubConfig::with([model(ID)])).unwrap();
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox)
        .secret("CANARYkit")
        .allow("mine/");
    let service = sandbox.serve();
    let body = json!({"model_id": ID, "kind": "generic", "repo_id": ID});
    service.register(&body).ok();
    let mut ledger = Ledger::default();
    ledger.note(ID, &service.start(ID));
    service.wait_completed(ID);
    service.stop();
    assert_eq!(ledger.len(), 1);
    ledger.check(&sandbox);
    assert_eq!(verdict(&invariants, &sandbox), "good");

    let broken = |path: &Path, text: &str, number: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        let said = verdict(&invariants, &sandbox);
        assert!(said.contains(number), "{}: {said}", path.display());
        fs::remove_file(path).unwrap();
    };
    let blobs = sandbox.repo_folder(ID).join("blobs");
    broken(&blobs.join("0".repeat(64)), "lie", "I1");
    broken(&sandbox.path("stray.txt"), "x", "I3");
    broken(&sandbox.path("mine/own.txt"), "CANARYkit", "good");
    broken(&sandbox.path("serve-99.log"), "a CANARYkit b", "I4");
    broken(
        &blobs.join(format!("{}.0a1b2c3d.part", "0".repeat(64))),
        "x",
        "I5",
    );

    // The pointer of a completed model leads to other bytes.
    let spec = model(ID);
    let blob = blobs.join(spec.files()[1].etag());
    let right = fs::read(&blob).unwrap();
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&blob, "{}\t").unwrap();
    assert!(verdict(&invariants, &sandbox).contains("I1:"));
    fs::write(&blob, right).unwrap();
    fs::remove_file(sandbox.repo_folder(ID).join("refs/main")).unwrap();
    assert!(verdict(&invariants, &sandbox).contains("I1: no ref"));
}

#[test]
fn a_job_that_is_gone_and_an_error_without_a_next_step_are_found() {
    let sandbox = Sandbox::new();
    let invariants = Invariants::watch(&sandbox);
    let service = sandbox.serve();
    let body = json!({"model_id": ID, "kind": "generic", "repo_id": ID});
    service.register(&body).ok();
    sandbox.run(&["pause", "--queue"]).ok();
    let mut ledger = Ledger::default();
    ledger.note(ID, &service.start(ID));
    // A refusal promises nothing.
    ledger.note(
        "no/such",
        &Client::new(&service.http().url()).get("/api/v1/models/none"),
    );
    assert_eq!(ledger.len(), 1);
    service.stop();
    assert_eq!(verdict(&invariants, &sandbox), "good");
    let db = sandbox.db();
    db.execute("UPDATE jobs SET state = 'failed', error_code = 'network', error = 'it did not work', finished_at_ms = updated_at_ms");
    assert!(verdict(&invariants, &sandbox).contains("I6:"));
    db.execute("DELETE FROM jobs");
    let lost = catch_unwind(AssertUnwindSafe(|| ledger.check(&sandbox)));
    assert!(lost.is_err(), "I2 sees that the job is gone");
}
