//! Verifying and repairing through the doors: one wrong byte is found, fetched again, and nothing else changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use modelhaul::testing::{HubConfig, PracticeHub, RepoSpec};
use serde_json::{Value, json};

use crate::support::{SHORT, Sandbox, Service, Venv, wait_for};

const ID: &str = "practice/verified";
const BIG: u64 = 3_000_001;

fn spec() -> RepoSpec {
    RepoSpec::new(ID)
        .file("config.json", "{\"a\": 1}\n")
        .file("sub/notes.txt", "notes")
        .generated("model.safetensors", BIG)
        .generated("sub/other.bin", 1_500_001)
}

fn hub() -> PracticeHub {
    PracticeHub::start(HubConfig::with([spec()])).unwrap()
}

fn etag(path: &str) -> String {
    let spec = spec();
    let file = spec.files().iter().find(|file| file.path == path).unwrap();
    file.etag().to_owned()
}

/// A service with the model `m`, downloaded.
#[track_caller]
fn downloaded(sandbox: &Sandbox) -> Service {
    let service = sandbox.serve();
    register(&service);
    service.start("m");
    service.wait_completed("m");
    service
}

#[track_caller]
fn register(service: &Service) {
    let body = json!({"model_id": "m", "kind": "generic", "repo_id": ID});
    service.register(&body).ok();
}

/// Asks for a verification and waits for the end of its job, which is returned.
#[track_caller]
fn verify(service: &Service, repair: bool) -> Value {
    let path = "/api/v1/models/m/verify";
    let reply = service.http().post(path, Some(&json!({"repair": repair})));
    assert_eq!(reply.status, 202, "{}", reply.text());
    assert_eq!(reply.json()["created"], true);
    let job = reply.header("location").unwrap().to_owned();
    let job = ended(service, &job);
    assert_eq!(job["attempt"], 1, "{job:#}\n{}", service.logs());
    job
}

#[track_caller]
fn ended(service: &Service, job: &str) -> Value {
    wait_for(SHORT, "the job ends", || {
        let job = service.http().get(job).ok();
        (!job["finished_at"].is_null()).then_some(job)
    })
}

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn blob(sandbox: &Sandbox, path: &str) -> PathBuf {
    sandbox.repo_folder(ID).join("blobs").join(etag(path))
}

/// The files of which the hub sent bytes. Counts of bytes would lie: a stream that another one relieves leaves some
/// in its socket.
fn fetched(hub: &PracticeHub) -> BTreeSet<String> {
    let sent = hub.requests().into_iter().filter(|r| r.bytes_sent > 0);
    sent.filter_map(|request| request.object).collect()
}

fn objects(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| format!("{ID}/{path}")).collect()
}

/// Every name in the repository's folder with what would show that it was touched.
fn fingerprint(folder: &Path) -> BTreeMap<PathBuf, (u64, u64, i64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let facts = fs::symlink_metadata(&path).unwrap();
            if facts.is_dir() {
                folders.push(path);
            } else {
                found.insert(path, (facts.ino(), facts.len(), facts.mtime_nsec()));
            }
        }
    }
    found
}

#[test]
fn a_wrong_file_stays_wrong_for_another_selection_of_the_same_commit() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    let service = downloaded(&sandbox);
    flip(&blob(&sandbox, "sub/other.bin"), 77);
    assert_eq!(verify(&service, false)["state"], "failed");
    for (patterns, state) in [
        (json!(["sub/*"]), "corrupt"),
        (json!(["config.json"]), "complete"),
    ] {
        let body = json!({
            "model_id": "m", "kind": "generic", "repo_id": ID, "allow_patterns": patterns
        });
        let token = fs::read_to_string(sandbox.path("admin-token")).unwrap();
        let bearer = format!("Bearer {}", token.trim());
        let admin = [("authorization", bearer.as_str())];
        let put = service
            .http()
            .request("PUT", "/api/v1/models/m", &admin, Some(&body));
        put.ok();
        let status = service.status("m");
        assert_eq!(status["cache"]["state"], state, "{patterns}: {status:#}");
    }
}

#[test]
fn one_wrong_byte_is_found_and_only_its_file_is_fetched_again() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    let service = downloaded(&sandbox);
    let commit = hub.head(ID, "main").unwrap();
    let job = verify(&service, false);
    assert_eq!(
        (&job["kind"], &job["state"]),
        (&json!("verify"), &json!("completed"))
    );

    flip(&blob(&sandbox, "model.safetensors"), 1_234_567);
    let before = fingerprint(&sandbox.repo_folder(ID));
    hub.reset_records();
    let job = verify(&service, false);
    assert_eq!(job["state"], "failed", "{job:#}");
    assert_eq!(job["error"]["code"], "checksum_mismatch");
    let message = job["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("1 of 4 files") && message.contains("model.safetensors"),
        "{message}"
    );
    let status = service.status("m");
    assert_eq!(status["status"], "not_started", "{status:#}");
    assert_eq!(status["cache"]["state"], "corrupt");
    assert_eq!(status["cache"]["corrupt"], json!(["model.safetensors"]));
    assert_eq!(status["cache"]["missing"], json!([]));
    assert_eq!(
        fingerprint(&sandbox.repo_folder(ID)),
        before,
        "looking changes nothing"
    );
    assert_eq!(hub.requests().len(), 0, "looking asks nobody");

    let job = verify(&service, true);
    assert_eq!(
        (&job["state"], &job["repair"]),
        (&json!("completed"), &json!(true)),
        "{job:#}"
    );
    assert_eq!(fetched(&hub), objects(&["model.safetensors"]));
    for path in ["config.json", "sub/notes.txt", "sub/other.bin"] {
        assert_eq!(hub.requests_for(&format!("{ID}/{path}")).len(), 0, "{path}");
    }
    sandbox.assert_snapshot(&spec(), &commit);
    let status = service.status("m");
    assert_eq!(
        (&status["cache"]["state"], &status["cache"]["verified"]),
        (&json!("complete"), &json!(true))
    );
    let mut after = fingerprint(&sandbox.repo_folder(ID));
    let mut before = before;
    let repaired = blob(&sandbox, "model.safetensors");
    assert_ne!(after.remove(&repaired), before.remove(&repaired));
    assert_eq!(after, before, "nothing else changes");
    service.stop();
    sandbox.db().assert_sound();
}

#[test]
fn start_repairs_what_a_verification_has_found() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    let service = downloaded(&sandbox);
    flip(&blob(&sandbox, "sub/other.bin"), 7);
    assert_eq!(verify(&service, false)["state"], "failed");
    hub.reset_records();
    assert_eq!(service.start("m").status, 202);
    service.wait_completed("m");
    assert_eq!(fetched(&hub), objects(&["sub/other.bin"]));
    assert_eq!(
        hub.requests_for(&format!("{ID}/model.safetensors")).len(),
        0
    );
    sandbox.assert_snapshot(&spec(), &hub.head(ID, "main").unwrap());
    assert_eq!(verify(&service, false)["state"], "completed");
}

#[test]
fn a_file_that_was_mended_meanwhile_is_kept() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    let service = downloaded(&sandbox);
    let path = blob(&sandbox, "model.safetensors");
    flip(&path, 5);
    assert_eq!(verify(&service, false)["state"], "failed");
    flip(&path, 5);
    let before = fs::metadata(&path).unwrap().ino();
    hub.reset_records();
    service.start("m");
    service.wait_completed("m");
    assert_eq!(fetched(&hub), BTreeSet::new());
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
}

#[test]
fn a_truncated_and_a_missing_file_are_told_apart_and_both_repaired() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    let service = downloaded(&sandbox);
    let commit = hub.head(ID, "main").unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(blob(&sandbox, "model.safetensors"))
        .unwrap()
        .set_len(10)
        .unwrap();
    fs::remove_file(blob(&sandbox, "config.json")).unwrap();
    let status = service.status("m");
    assert_eq!(status["cache"]["state"], "corrupt", "{status:#}");
    assert_eq!(status["cache"]["corrupt"], json!(["model.safetensors"]));
    assert_eq!(status["cache"]["missing"], json!(["config.json"]));
    let job = verify(&service, false);
    let message = job["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("model.safetensors; 1 are missing: config.json"),
        "{message}"
    );
    hub.reset_records();
    let job = verify(&service, true);
    assert_eq!(job["state"], "completed", "{job:#}");
    assert_eq!(hub.requests_for(&format!("{ID}/sub/*")).len(), 0);
    sandbox.assert_snapshot(&spec(), &commit);
}

#[test]
fn a_model_that_python_put_there_is_verified_without_a_request_and_repaired() {
    let Some(venv) = Venv::hub2() else { return };
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    let script =
        "from huggingface_hub import snapshot_download; snapshot_download('practice/verified')";
    venv.python(&sandbox, script, &[]).ok();
    let service = sandbox.serve();
    register(&service);
    assert_eq!(service.status("m")["status"], "completed");
    assert_eq!(service.status("m")["cache"]["verified"], false);
    hub.reset_records();
    assert_eq!(verify(&service, false)["state"], "completed");
    assert_eq!(hub.requests().len(), 0);
    assert_eq!(service.status("m")["cache"]["verified"], true);
    assert!(
        venv.hf(&sandbox, &["cache", "verify", ID])
            .ok()
            .contains('4')
    );

    flip(&blob(&sandbox, "model.safetensors"), 99);
    assert_eq!(
        venv.hf(&sandbox, &["cache", "verify", ID]).code,
        Some(1),
        "hf sees it too"
    );
    hub.reset_records();
    let job = verify(&service, true);
    assert_eq!(job["state"], "completed", "{job:#}");
    assert_eq!(fetched(&hub), objects(&["model.safetensors"]));
    venv.hf(&sandbox, &["cache", "verify", ID]).ok();
}

#[test]
fn a_verification_that_is_killed_goes_on_and_changes_its_mind_about_nothing() {
    let size = 400_000_000;
    let big = RepoSpec::new(ID)
        .file("config.json", "{}")
        .generated("a.bin", 1_000_000)
        .generated("b.bin", size);
    let small = big.files()[1].etag().to_owned();
    let hub = PracticeHub::start(HubConfig::with([big])).unwrap();
    let sandbox = Sandbox::with(&hub);
    let service = downloaded(&sandbox);
    flip(&sandbox.repo_folder(ID).join("blobs").join(small), 3);
    hub.reset_records();
    let reply = service.http().post("/api/v1/models/m/verify", None);
    let job = reply.header("location").unwrap().to_owned();
    service.wait_status("m", "the big file is being read", |status| {
        status["phase"] == "verifying"
            && status["progress"]["current_file"] == "b.bin"
            && status["progress"]["bytes_downloaded"].as_u64().unwrap() > 20_000_000
    });
    service.kill9();
    let service = sandbox.serve();
    let job = ended(&service, &job);
    let attempts = sandbox
        .db()
        .rows("SELECT attempt, outcome, error_code, job_key FROM attempts");
    assert_eq!(
        (&job["state"], &job["attempt"]),
        (&json!("failed"), &json!(2)),
        "{job:#} {attempts:#?} {}",
        service.logs()
    );
    assert!(
        job["error"]["message"]
            .as_str()
            .unwrap()
            .ends_with(": a.bin"),
        "{job:#}"
    );
    assert_eq!(hub.requests().len(), 0);
}

#[test]
fn a_repair_that_is_killed_goes_on_where_it_was() {
    let big = RepoSpec::new(ID)
        .file("config.json", "{}")
        .generated("b.bin", 30_000_000);
    let etag = big.files()[1].etag().to_owned();
    let hub = PracticeHub::start(HubConfig::with([big.clone()])).unwrap();
    let sandbox = Sandbox::with(&hub);
    let service = downloaded(&sandbox);
    flip(&sandbox.repo_folder(ID).join("blobs").join(&etag), 3);
    service.stop();
    hub.reset_records();
    let slow = sandbox.serve_with(&["--bandwidth-limit", "8MB/s"]);
    let body = json!({"repair": true});
    let reply = slow.http().post("/api/v1/models/m/verify", Some(&body));
    let job = reply.header("location").unwrap().to_owned();
    slow.wait_status("m", "a part of the repair is saved", |status| {
        status["phase"] == "downloading"
            && status["progress"]["bytes_downloaded"].as_u64().unwrap() > 46_000_000
    });
    assert_eq!(slow.status("m")["status"], "downloading");
    slow.kill9();
    let saved = sandbox
        .db()
        .value("SELECT bytes_done FROM files WHERE part_name IS NOT NULL");
    let saved = saved.as_u64().unwrap();
    hub.reset_records();
    let service = sandbox.serve();
    let job = ended(&service, &job);
    assert_eq!(job["state"], "completed", "{job:#}");
    assert!(
        saved > 10_000_000 && hub.counters().cdn_bytes < 30_000_000 - saved / 2,
        "what was saved ({saved} bytes) is not fetched again"
    );
    assert_eq!(service.status("m")["cache"]["verified"], true);
    sandbox.assert_snapshot(&big, &hub.head(ID, "main").unwrap());
}

#[test]
fn a_verification_is_cancelled_and_one_that_becomes_a_start_repairs() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    let service = downloaded(&sandbox);
    let db = sandbox.db();
    db.execute("UPDATE settings SET paused = 1");
    flip(&blob(&sandbox, "model.safetensors"), 0);
    let verify = "/api/v1/models/m/verify";
    let first = service.http().post(verify, None);
    let status = service.status("m");
    assert_eq!(
        (&status["status"], &status["state"]),
        (&json!("completed"), &json!("paused")),
        "{status:#}"
    );
    let cancelled = service.http().post("/api/v1/models/m/cancel", None).ok();
    assert_eq!(cancelled["job"]["kind"], "verify");
    assert_eq!(
        ended(&service, first.header("location").unwrap())["state"],
        "cancelled"
    );
    assert_eq!(
        service.status("m")["status"],
        "completed",
        "nobody has looked yet"
    );

    // A repair that is asked for while the job waits is the same job.
    let second = service.http().post(verify, None);
    let third = service.http().post(verify, Some(&json!({"repair": true})));
    assert_eq!(second.header("location"), third.header("location"));
    assert_eq!(third.json()["created"], false);
    db.execute("UPDATE settings SET paused = 0");
    let job = ended(&service, second.header("location").unwrap());
    assert_eq!(
        (&job["state"], &job["repair"]),
        (&json!("completed"), &json!(true)),
        "{job:#}"
    );
    sandbox.assert_snapshot(&spec(), &hub.head(ID, "main").unwrap());
    let refused = service.http().post(verify, Some(&json!({"repare": true})));
    assert_eq!(refused.status, 422);
    assert_eq!(
        service.http().post("/api/v1/models/x/verify", None).status,
        404
    );
}
