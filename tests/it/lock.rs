//! Lock files: the same contents on another machine, or nothing; and what has moved since.

use std::fs;

use modelhaul::testing::{PracticeHub, RepoSpec};
use serde_json::{Value, json};

use crate::support::{SHORT, Sandbox, holds, wait_for};
use crate::world::{JTP2, WDV3, hub, only, sandbox, wdv3};

/// The tagger's next commit: other tags, the same model.
fn moved() -> RepoSpec {
    only(&wdv3(), &["model.onnx", "config.json"]).file("selected_tags.csv", "tag_id,name\n9,z\n")
}

/// A sandbox with the tagger and the other repository pulled and locked; both have moved since.
fn locked(hub: &PracticeHub) -> (Sandbox, String) {
    let first = sandbox(hub);
    first.run(&["pull", "-q", WDV3, "--template", "wdv3"]).ok();
    let commit = hub.head(WDV3, "main").unwrap();
    first
        .run(&["models", "add", "jtp", JTP2, "--template", "jtp2"])
        .ok();
    let told = first.run(&["lock"]).ok();
    assert!(told.contains("locked 2 models with 4 files"), "{told}");
    hub.add_repo(&moved());
    (first, commit)
}

fn carry(from: &Sandbox, to: &Sandbox) {
    fs::copy(from.path("models.lock"), to.path("models.lock")).unwrap();
}

#[test]
fn another_machine_gets_the_same_contents_whatever_the_branch_means_now() {
    let hub = hub();
    let (first, commit) = locked(&hub);
    assert_ne!(hub.head(WDV3, "main").unwrap(), commit);
    let second = sandbox(&hub);
    carry(&first, &second);
    hub.reset_records();
    let pulled = second.run(&["pull", "-q", "--locked"]).ok();
    let paths: Vec<&str> = pulled.lines().collect();
    assert_eq!(paths.len(), 2, "{pulled}");
    let snapshot = paths.iter().find(|path| path.ends_with(&commit)).unwrap();
    let tags = fs::read_to_string(format!("{snapshot}/selected_tags.csv")).unwrap();
    assert_eq!(tags, "tag_id,name\n1,a\n2,b\n3,c\n");
    assert_eq!(second.cached_ref(WDV3, "main").unwrap(), commit);
    let asked = hub.requests_for("/api/models/*/revision/*");
    assert!(asked.is_empty(), "the lock names the commit: {asked:?}");

    hub.reset_records();
    let again = second.run(&["pull", "-q", "--locked", "--offline"]).ok();
    assert_eq!(again.lines().count(), 2);
    assert!(hub.requests().is_empty(), "nothing is left to ask");
    let same = second.run(&["lock", "--lock", "again.lock"]).ok();
    assert!(same.contains("4 files"), "{same}");
    let text = |name: &str| fs::read_to_string(second.path(name)).unwrap();
    assert_eq!(text("again.lock"), text("models.lock"));
    assert!(hub.requests().is_empty(), "the stored plans are locked");
}

#[test]
fn a_file_that_differs_ends_it_before_a_byte_is_fetched() {
    let hub = hub();
    let (first, commit) = locked(&hub);
    let second = sandbox(&hub);
    let text = fs::read_to_string(first.path("models.lock")).unwrap();
    let spec = wdv3();
    let model = spec
        .files()
        .iter()
        .find(|f| f.path == "model.onnx")
        .unwrap();
    let forged = text.replace(model.etag(), &"1".repeat(64));
    assert_ne!(forged, text);
    fs::write(second.path("models.lock"), &forged).unwrap();
    hub.reset_records();
    let id = format!("{WDV3}@");
    let id = forged
        .lines()
        .find_map(|line| line.strip_prefix("id = \"")?.strip_suffix('"'))
        .filter(|found| found.starts_with(&id))
        .unwrap();
    let refused = second.run(&["pull", "--locked", id]);
    assert_eq!(refused.code, Some(32), "{refused:#?}");
    assert!(refused.stderr.contains("model.onnx"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&"1".repeat(64)));
    assert_eq!(hub.bytes_sent("*.onnx") + hub.bytes_sent("*.csv"), 0);
    assert_eq!(second.db().value("SELECT count(*) FROM jobs"), 0);
    assert!(second.blobs(WDV3).is_empty());

    // A commit that lacks a locked file is no better.
    let newer = hub.head(WDV3, "main").unwrap();
    fs::write(second.path("models.lock"), text.replace(&commit, &newer)).unwrap();
    let refused = second.run(&["pull", "--locked", id]);
    assert_eq!(refused.code, Some(32), "{refused:#?}");
    assert!(refused.stderr.contains("selected_tags.csv"));
    assert!(second.blobs(WDV3).is_empty());
}

#[test]
fn only_what_is_in_a_sound_lock_file_is_pulled() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let none = sandbox.run(&["pull", "--locked"]);
    assert_eq!(none.code, Some(78), "{none:#?}");
    let locked = sandbox.run(&["lock", "jtp2", "--lock", "x.lock"]).ok();
    assert!(locked.contains("1 models with 2 files"), "{locked}");
    assert_eq!(sandbox.db().value("SELECT count(*) FROM models"), 0);
    let other = sandbox.run(&["pull", "--locked", "--lock", "x.lock", WDV3]);
    assert_eq!(other.code, Some(78), "{other:#?}");
    assert!(other.stderr.contains("not in it"), "{other:#?}");
    let pulled = sandbox
        .run(&["pull", "-q", "--locked", "--lock", "x.lock", "jtp2"])
        .ok();
    assert!(pulled.contains("JointTaggerProject"), "{pulled}");
    let misuse = sandbox.run(&["pull", JTP2, "--lock", "x.lock"]);
    assert_eq!(misuse.code, Some(2), "{misuse:#?}");
    fs::write(sandbox.path("x.lock"), "version = 7\n").unwrap();
    let newer = sandbox.run(&["pull", "--locked", "--lock", "x.lock", "--format", "json"]);
    assert_eq!(newer.code, Some(78), "{newer:#?}");
    assert!(newer.stderr.contains("bad_lock_file"), "{newer:#?}");
}

#[test]
fn a_running_service_works_on_a_locked_download_and_an_active_other_one_is_in_the_way() {
    let hub = hub();
    let (first, commit) = locked(&hub);
    let id = service_id(&first);
    let second = sandbox(&hub);
    carry(&first, &second);
    let service = second.serve();
    let pulled = second.run(&["pull", "-q", "--locked", &id]).ok();
    assert!(pulled.trim().ends_with(&commit), "{pulled}");
    let jobs = service.http().get("/api/v1/jobs").ok();
    assert_eq!(jobs["items"][0]["commit"], commit, "{jobs:#}");

    let third = sandbox(&hub);
    carry(&first, &third);
    hub.tune(|settings| settings.rate_total = 1_000_000);
    let service = third.serve();
    let body = json!({"model_id": id, "kind": "caption", "repo_id": WDV3, "template": "wdv3"});
    service.register(&body).ok();
    service.start(&id.replace('/', "%2F")).ok();
    let newer = service.wait_bytes(&id.replace('/', "%2F"), 200_000);
    assert_ne!(newer["cache"]["commit"], commit);
    let refused = third.run(&["pull", "--locked", &id]);
    assert_eq!(refused.code, Some(75), "{refused:#?}");
    let jobs = service.http().get("/api/v1/jobs").ok();
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_killed_locked_download_goes_on_as_it_was_locked_and_two_at_once_are_one() {
    let hub = hub();
    let (first, commit) = locked(&hub);
    let id = service_id(&first);
    let second = sandbox(&hub);
    carry(&first, &second);
    second.run(&["models", "ls"]).ok(); // makes the database
    hub.tune(|settings| settings.rate_total = 1_500_000);
    let mut pull = second
        .modelhaul(&["pull", "-q", "--locked", &id])
        .spawn()
        .unwrap();
    let received = "SELECT coalesce(max(bytes_done), 0) > 500000 FROM jobs";
    wait_for(SHORT, "some bytes are recorded", || {
        holds(second.db().value(received) == 1)
    });
    let other = second
        .modelhaul(&["pull", "-q", "--locked", &id])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    pull.kill().unwrap();
    pull.wait().unwrap();
    hub.reset_records();
    hub.tune(|settings| settings.rate_total = 0);
    let ended = other.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:#?}");
    let path = String::from_utf8(ended.stdout).unwrap();
    assert!(path.trim().ends_with(&commit), "{path}");
    assert_eq!(second.db().value("SELECT count(*) FROM jobs"), 1);
    let asked = hub.requests_for("/api/models/*/revision/*");
    assert!(asked.is_empty(), "the plan came with the job: {asked:?}");
    assert_eq!(second.cached_ref(WDV3, "main").unwrap(), commit);
}

fn service_id(sandbox: &Sandbox) -> String {
    let models = sandbox.run(&["models", "ls", "--format", "json"]).ok();
    let models: Value = serde_json::from_str(&models).unwrap();
    let model = models.as_array().unwrap().iter();
    let found = model.filter(|model| model["repo_id"] == json!(WDV3));
    let ids: Vec<String> = found
        .map(|model| model["model_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    ids[0].clone()
}

#[test]
fn what_has_moved_is_named_with_one_question_each() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    sandbox
        .run(&["pull", "-q", WDV3, "--template", "wdv3"])
        .ok();
    let commit = hub.head(JTP2, "main").unwrap();
    sandbox
        .run(&[
            "pull",
            "-q",
            &format!("{JTP2}@{commit}"),
            "--template",
            "jtp2",
        ])
        .ok();
    sandbox.run(&["models", "add", "later", JTP2]).ok();
    hub.reset_records();
    let all = sandbox.run(&["outdated", "--format", "json"]).ok();
    let states = |text: &str| -> Vec<String> {
        let list: Value = serde_json::from_str(text).unwrap();
        let mut states: Vec<String> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["freshness"].as_str().unwrap().to_owned())
            .collect();
        states.sort();
        states
    };
    assert_eq!(states(&all), ["current", "not_here", "pinned"]);
    assert_eq!(
        hub.requests().len(),
        1,
        "only a branch that is here can move"
    );

    hub.add_repo(&moved());
    let now = sandbox.run(&["outdated", "--format", "json"]);
    assert_eq!(now.code, Some(10), "{now:#?}");
    assert_eq!(states(&now.stdout), ["moved", "not_here", "pinned"]);
    let table = sandbox.run(&["outdated"]);
    assert!(table.stdout.contains("moved"), "{table:#?}");
    sandbox
        .run(&["pull", "-q", WDV3, "--template", "wdv3"])
        .ok();
    sandbox.run(&["outdated"]).ok();

    hub.remove_repo(WDV3);
    let gone = sandbox.run(&["outdated"]);
    assert_eq!(gone.code, Some(3), "{gone:#?}");
    assert!(gone.stdout.contains("unknown"), "{gone:#?}");
    let offline = sandbox.run(&["outdated", "--offline"]);
    assert_eq!(offline.code, Some(6), "{offline:#?}");
}
