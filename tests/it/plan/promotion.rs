//! What is complete is noted, however it came there; what vanished is not complete, and only that is fetched.

use std::fs;

use serde_json::{Value, json};

use super::{as_python, files_asked_for, paths_in, plan, register_wd};
use crate::support::{SHORT, holds, wait_for};
use crate::world::{MODEL, WDV3, hub, sandbox, wdv3};

#[test]
fn of_a_half_filled_cache_only_the_rest_is_fetched() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let commit = hub.head(WDV3, "main").unwrap();
    as_python(&sandbox, &wdv3(), &commit, &["model.onnx", "README.md"]);
    let service = sandbox.serve();
    let registered = register_wd(&service);
    assert_eq!(registered["complete"], Value::Null);
    let status = service.status("wd");
    assert_eq!(status["status"], "not_started");
    assert_eq!(status["cache"]["exists"], true);
    assert_eq!(status["cache"]["complete"], false);
    let missing = status["cache"]["missing"].to_string();
    assert!(missing.contains("selected_tags.csv"), "{missing}");
    assert!(!missing.contains("model.onnx"), "{missing}");
    assert!(hub.requests().is_empty(), "a look asks nobody");

    let told = plan(&service, "wd").ok();
    assert_eq!(paths_in(&told, "present"), ["model.onnx"]);
    assert_eq!(paths_in(&told, "missing"), ["selected_tags.csv"]);
    service.start("wd").ok();
    let status = service.wait_completed("wd");
    assert_eq!(status["cache"]["commit"], commit);
    assert_eq!(files_asked_for(&hub), [format!("{WDV3}/selected_tags.csv")]);
}

#[test]
fn a_complete_model_whose_file_vanishes_is_not_complete_and_gets_that_file_back() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    register_wd(&service);
    service.start("wd").ok();
    let done = service.wait_completed("wd");
    let snapshot = done["cache"]["path"].as_str().unwrap().to_owned();
    let link = std::path::Path::new(&snapshot).join("selected_tags.csv");
    fs::remove_file(fs::canonicalize(&link).unwrap()).unwrap();
    fs::remove_file(&link).unwrap();
    let status = service.status("wd");
    assert_eq!(status["status"], "not_started");
    assert_eq!(status["state"], "not_started");
    assert_eq!(status["cache"]["missing"], json!(["selected_tags.csv"]));
    let model = service.http().get("/api/v1/models/wd").ok();
    assert_eq!(model["complete"], Value::Null, "the row says so too");
    hub.reset_records();
    service.start("wd").ok();
    service.wait_completed("wd");
    assert_eq!(files_asked_for(&hub), [format!("{WDV3}/selected_tags.csv")]);
    let model = service.http().get("/api/v1/models/wd").ok();
    let tags = wdv3().files()[3].content.size();
    assert_eq!(model["complete"]["bytes"], MODEL + tags, "{model}");
}

#[test]
fn a_start_looks_for_all_models_in_the_background_and_asks_nobody() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    register_wd(&service);
    let lost = json!({"model_id": "lost", "kind": "generic", "repo_id": "org/lost"});
    service.register(&lost).ok();
    service.stop();
    let commit = hub.head(WDV3, "main").unwrap();
    as_python(
        &sandbox,
        &wdv3(),
        &commit,
        &["model.onnx", "selected_tags.csv"],
    );
    let service = sandbox.serve();
    let ready = "SELECT ready_commit FROM models WHERE model_id = 'wd'";
    wait_for(SHORT, "the model is noted", || {
        holds(sandbox.db().value(ready) == commit.as_str())
    });
    let unverified = "SELECT ready_verified FROM models WHERE model_id = 'wd'";
    assert_eq!(
        sandbox.db().value(unverified),
        0,
        "nobody compared its hashes"
    );
    let started = service.start("wd");
    assert_eq!(started.status, 200, "{}", started.text());
    assert_eq!(service.status("lost")["status"], "not_started");
    assert!(hub.requests().is_empty());
    service.stop();

    let folder = sandbox.repo_folder(WDV3).join("snapshots");
    fs::remove_dir_all(folder).unwrap();
    let _service = sandbox.serve();
    wait_for(SHORT, "the loss is noted", || {
        holds(sandbox.db().value(ready).is_null())
    });
}

#[test]
fn a_changed_template_asks_for_what_it_now_needs_and_for_nothing_else() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let folder = sandbox.path("home/.config/modelhaul");
    fs::create_dir_all(folder.join("templates")).unwrap();
    let config = fs::read_to_string(folder.join("config.toml")).unwrap();
    fs::write(
        folder.join("config.toml"),
        config + "template_dir = 'templates'\n",
    )
    .unwrap();
    let write = |required: &str| {
        let text =
            format!("format = 1\nid = \"own\"\ndescription = \"Mine.\"\nrequired = [{required}]\n");
        fs::write(folder.join("templates/own.toml"), text).unwrap();
    };
    write("'model.onnx'");
    let service = sandbox.serve();
    let body = json!({"model_id": "wd", "kind": "caption", "repo_id": WDV3, "template": "own"});
    service.register(&body).ok();
    service.start("wd").ok();
    service.wait_completed("wd");
    service.stop();

    write("'model.onnx', 'selected_tags.csv'");
    let service = sandbox.serve();
    let status = service.status("wd");
    assert_eq!(status["status"], "not_started", "{status:#}");
    hub.reset_records();
    service.start("wd").ok();
    service.wait_completed("wd");
    assert_eq!(files_asked_for(&hub), [format!("{WDV3}/selected_tags.csv")]);
    service.stop();

    // A template that is gone says nothing against what it chose.
    fs::remove_file(folder.join("templates/own.toml")).unwrap();
    let service = sandbox.serve();
    assert_eq!(service.status("wd")["status"], "completed");
}
