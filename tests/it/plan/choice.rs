//! Which files a plan takes and why, what it warns of, and that it costs nothing.

use modelhaul::testing::{Gate, HubConfig, PracticeHub, RepoSpec};
use serde_json::{Value, json};

use super::{files_asked_for, metadata_asked_for, paths_in, plan, register_wd};
use crate::support::Sandbox;
use crate::world::{JTP2, MODEL, WDV3, hub, jtp2, quick, sandbox, wdv3};

#[test]
fn a_plan_says_what_and_why_and_writes_nothing() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    register_wd(&service);
    hub.reset_records();
    let told = plan(&service, "wd").ok();
    assert_eq!(told["commit"], hub.head(WDV3, "main").unwrap());
    assert_eq!(
        paths_in(&told, "missing"),
        ["model.onnx", "selected_tags.csv"]
    );
    assert_eq!(paths_in(&told, "skipped").len(), 4);
    let tags = wdv3().files()[3].content.size();
    assert_eq!(told["totals"]["bytes_to_fetch"], MODEL + tags);
    assert_eq!(told["totals"]["files"], 2);
    assert_eq!(told["disk"]["needed"], MODEL + tags);
    assert_eq!(told["disk"]["fits"], true);
    for file in told["files"].as_array().unwrap() {
        assert!(!file["reason"].as_str().unwrap().is_empty(), "{file}");
    }
    let asked = metadata_asked_for(&hub);
    assert_eq!(asked.len(), 2, "one revision, one listing: {asked:?}");
    assert_eq!(files_asked_for(&hub), Vec::<String>::new());
    assert!(!sandbox.repo_folder(WDV3).exists());
    assert_eq!(sandbox.db().value("SELECT count(*) FROM files"), 0);
    assert_eq!(sandbox.db().value("SELECT count(*) FROM jobs"), 0);
    assert_eq!(told["totals"]["bytes_here"], 0);

    service.start("wd").ok();
    service.wait_completed("wd");
    let done = plan(&service, "wd").ok();
    assert_eq!(
        paths_in(&done, "present"),
        ["model.onnx", "selected_tags.csv"],
        "a download takes what the plan said"
    );
    assert_eq!(done["totals"]["bytes_to_fetch"], 0);
    let snapshot = sandbox.repo_folder(WDV3).join("snapshots");
    let there = crate::world::walk(&snapshot.join(done["commit"].as_str().unwrap()));
    assert_eq!(there.len(), 2, "{there:?}");
}

#[test]
fn a_part_counts_as_here_and_the_rest_is_to_fetch() {
    let hub = hub();
    hub.tune(|settings| settings.rate_total = 1_500_000);
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    register_wd(&service);
    service.start("wd").ok();
    service.wait_bytes("wd", 1_500_000);
    service.http().post("/api/v1/models/wd/pause", None).ok();
    service.wait_status("wd", "paused", |status| status["state"] == "paused");
    let told = plan(&service, "wd").ok();
    assert_eq!(paths_in(&told, "partial"), ["model.onnx"]);
    let (total, here, rest) = (
        told["totals"]["bytes"].as_u64().unwrap(),
        told["totals"]["bytes_here"].as_u64().unwrap(),
        told["totals"]["bytes_to_fetch"].as_u64().unwrap(),
    );
    assert!(here >= 1_000_000 && here < total, "{told:#}");
    assert_eq!(here + rest, total);
    hub.reset_records();
    service.http().post("/api/v1/models/wd/resume", None).ok();
    service.wait_completed("wd");
    let sent = hub.bytes_sent("*model.onnx") + hub.bytes_sent("*selected_tags.csv");
    assert!(sent <= rest + 65_536, "{sent} were sent and {rest} planned");
}

fn blip() -> RepoSpec {
    RepoSpec::new("Salesforce/blip-image-captioning-base")
        .file("README.md", "# BLIP\n")
        .file("config.json", "{}")
        .file("preprocessor_config.json", "{}")
        .file("special_tokens_map.json", "{}")
        .file("tokenizer.json", "{}")
        .file("tokenizer_config.json", "{}")
        .file("vocab.txt", "a\n")
        .generated("pytorch_model.bin", 300_000)
        .generated("tf_model.h5", 300_001)
}

fn codes(plan: &Value) -> Vec<String> {
    let warnings = plan["warnings"].as_array().unwrap().iter();
    let mut codes: Vec<String> = warnings
        .map(|warning| warning["code"].as_str().unwrap().to_owned())
        .collect();
    codes.sort();
    codes
}

/// The plan of a REF that nobody registered.
#[track_caller]
fn plan_of(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let mut line = vec!["plan", "--format", "json"];
    line.extend(arguments);
    serde_json::from_str(&sandbox.run(&line).ok()).unwrap()
}

#[test]
fn weights_without_safetensors_are_taken_pickled_and_code_is_shown() {
    let coded = RepoSpec::new("org/coded")
        .file("config.json", "{}")
        .file("modeling_own.py", "import os\n")
        .file("tokenizer.json", "{}")
        .file("tokenizer_config.json", "{}")
        .generated("model.safetensors", 1_000)
        .generated("pytorch_model.bin", 1_001)
        .gated(Gate::Auto);
    let hub = PracticeHub::start(HubConfig::with([blip(), coded])).unwrap();
    let sandbox = quick(Sandbox::with(&hub));
    let told = plan_of(&sandbox, &["blip-base"]);
    assert_eq!(told["template"], "blip-base");
    let missing = paths_in(&told, "missing");
    assert!(
        missing.contains(&"pytorch_model.bin".to_owned()),
        "{missing:?}"
    );
    assert!(!missing.contains(&"tf_model.h5".to_owned()));
    assert!(codes(&told).contains(&"pickle".to_owned()), "{told:#}");

    let told = plan_of(&sandbox, &["org/coded", "--template", "transformers+code"]);
    let missing = paths_in(&told, "missing");
    assert!(
        missing.contains(&"modeling_own.py".to_owned()),
        "{missing:?}"
    );
    assert!(!missing.contains(&"pytorch_model.bin".to_owned()));
    assert_eq!(codes(&told), ["custom_code", "gated"]);
    assert_eq!(told["gating"]["gated"], true);
    assert_eq!(told["gating"]["token"], false);

    let models = sandbox.run(&["models", "ls", "--format", "json"]).ok();
    assert_eq!(models.trim(), "[]", "a plan registers nothing");
    let pinned = hub.head("org/coded", "main").unwrap();
    let told = plan_of(&sandbox, &[&format!("org/coded@{pinned}")]);
    assert_eq!(told["gating"]["gated"], true, "a commit is asked about too");
}

#[test]
fn a_template_that_finds_no_weights_names_the_group() {
    let empty = RepoSpec::new("org/empty")
        .file("config.json", "{}")
        .file("README.md", "# Nothing\n");
    let hub = PracticeHub::start(HubConfig::with([empty])).unwrap();
    let sandbox = quick(Sandbox::with(&hub));
    let refused = sandbox.run(&["plan", "org/empty", "--template", "transformers"]);
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(refused.stderr.contains("weights"), "{}", refused.stderr);

    let service = sandbox.serve();
    let body = json!({"model_id": "none", "kind": "generic", "repo_id": "org/empty", "template": "transformers"});
    service.register(&body).ok();
    let refused = plan(&service, "none");
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["code"], "template_unsatisfied");
    service.start("none").ok();
    let failed = service.wait_status("none", "failed", |status| status["state"] == "failed");
    assert_eq!(failed["error"]["code"], "template_unsatisfied");
    assert_eq!(
        failed["error"]["message"],
        refused.json()["detail"],
        "a download fails with the words of the plan"
    );
    assert_eq!(plan(&service, "nobody").status, 404);
}

#[test]
fn the_table_is_for_people_and_a_template_stands_for_its_repository() {
    let hub = PracticeHub::start(HubConfig::with([wdv3(), jtp2()])).unwrap();
    let sandbox = quick(Sandbox::with(&hub));
    let table = sandbox.run(&["plan", "jtp2"]).ok();
    for part in [
        JTP2,
        &hub.head(JTP2, "main").unwrap(),
        "JTP_PILOT2/e3.safetensors",
        "skipped",
        "to fetch",
        "unusual_size",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    let path = sandbox.run(&["pull", "-q", "wdv3-vit"]).ok();
    assert!(
        path.contains("models--SmilingWolf--wd-vit-tagger-v3"),
        "{path}"
    );
    let again = sandbox.run(&["plan", "wdv3-vit", "--format", "json"]).ok();
    let again: Value = serde_json::from_str(&again).unwrap();
    assert!(
        again["model_id"].is_string(),
        "what was pulled is registered"
    );
    assert_eq!(again["totals"]["files_here"], 2);

    let several = sandbox.run(&["plan", "florence2-large"]);
    assert_eq!(several.code, Some(2), "{several:#?}");
    assert!(several.stderr.contains("microsoft/Florence-2-large-ft"));
    let none = sandbox.run(&["plan", "diffusers"]);
    assert_eq!(none.code, Some(2), "{none:#?}");
    let offline = sandbox.run(&["plan", "jtp2", "--offline"]);
    assert_eq!(offline.code, Some(6), "{offline:#?}");
    let variant = sandbox.run(&["plan", JTP2, "--variant", "x"]);
    assert_eq!(variant.code, Some(3), "{variant:#?}");
}
