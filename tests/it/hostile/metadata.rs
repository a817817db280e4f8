//! Lies about what there is: names, hashes, commits; and repositories that may not be read.

use modelhaul::testing::{Fault, Gate, HubConfig, Misdeed, PracticeHub, RepoSpec};
use serde_json::json;

use super::Scene;
use crate::support::Sandbox;
use crate::world::{WDV3, assert_tidy, quick, walk, wdv3};

const TREE: &str = "/api/models/*/tree/*";
const REVISION: &str = "/api/models/*/revision/*";

fn scene() -> Scene {
    let hub = PracticeHub::start(HubConfig::with([wdv3()])).unwrap();
    Scene::of(hub, WDV3)
}

fn falsify(pointer: &str, value: serde_json::Value) -> Misdeed {
    Misdeed::Json {
        pointer: pointer.to_owned(),
        value,
    }
}

#[test]
fn names_that_lead_out_of_the_cache_are_refused() {
    for name in [
        "../../../escaped",
        "/tmp/escaped",
        "a/../../b",
        "a\\..\\..\\b",
        "C:\\x",
        "a//b",
        "./a",
        "a\0b",
    ] {
        let scene = scene();
        scene
            .hub
            .fault(Fault::hub(TREE, falsify("/0/path", json!(name))));
        let error = scene.fails("unsafe_path");
        assert!(!error["message"].as_str().unwrap().contains('\0'));
        scene.assert_not_published(WDV3);
        for path in walk(&scene.sandbox.path("")) {
            assert!(!path.contains("escaped"), "{path}");
        }
        assert_eq!(scene.hub.requests_for("*/resolve/*").len(), 0);
        assert_tidy(&scene.sandbox);
    }
}

#[test]
fn hashes_and_commits_that_are_none_are_refused() {
    for (address, pointer, value) in [
        (TREE, "/4/lfs/oid", json!("../../x")),
        (TREE, "/4/lfs/oid", json!("A".repeat(64))),
        (TREE, "/0/oid", json!("..")),
        (REVISION, "/sha", json!("../../main")),
        (REVISION, "/sha", json!("main")),
        (REVISION, "/sha", json!(7)),
    ] {
        let scene = scene();
        scene
            .hub
            .fault(Fault::hub(address, falsify(pointer, value.clone())));
        scene.service.start("m").ok();
        let status = scene
            .service
            .wait_status("m", "failed", |status| status["state"] == "failed");
        let code = status["error"]["code"].as_str().unwrap();
        assert!(
            matches!(code, "unsafe_path" | "bad_metadata"),
            "{pointer} {value}: {status:#}"
        );
        scene.assert_not_published(WDV3);
    }
}

#[test]
fn a_branch_that_moves_meanwhile_moves_the_next_job() {
    let scene = scene();
    let first = scene.hub.head(WDV3, "main").unwrap();
    scene.hub.tune(|settings| settings.rate_total = 3_000_000);
    scene.service.start("m").ok();
    scene.service.wait_bytes("m", 1_000_000);
    let next = wdv3().file("new.txt", "new");
    let second = scene.hub.add_repo(&next);
    assert_ne!(first, second);
    scene.hub.tune(|settings| settings.rate_total = 0);
    let status = scene.service.wait_completed("m");
    assert_eq!(status["cache"]["commit"], first);
    scene.assert_right(&wdv3(), &first);
    assert_eq!(scene.sandbox.cached_ref(WDV3, "main"), Some(first));
    // Pulled again the new commit comes, and only its new file.
    scene.hub.reset_records();
    scene.sandbox.run(&["pull", "m"]).ok();
    scene.assert_right(&next, &second);
    assert_eq!(scene.hub.counters().cdn_requests, 0);
}

#[test]
fn a_gated_repository_says_where_to_accept_and_a_missing_one_is_not_found() {
    let gated = RepoSpec::new("org/gated")
        .file("a", "a")
        .gated(Gate::Manual);
    let private = RepoSpec::new("org/private").file("a", "a").private();
    for (spec, code) in [(gated, "token_missing"), (private, "repo_not_found")] {
        let hub = PracticeHub::start(HubConfig::with([spec.clone()])).unwrap();
        let scene = Scene::of(hub, spec.id());
        let error = scene.fails(code);
        let remedy = error["remedy"].as_str().unwrap();
        assert!(remedy.contains(spec.id()), "where: {remedy}");
        assert!(
            remedy.contains("HF_TOKEN") || remedy.contains("hf auth login"),
            "{remedy}"
        );
        assert_eq!(
            scene
                .hub
                .requests_for("*/resolve/*/a")
                .iter()
                .filter(|r| r.bytes_sent > 0 && r.status == 200)
                .count(),
            0
        );
        // With the right token the same model comes.
        scene.hub.add_token("hf_good");
        let Scene {
            hub,
            sandbox,
            service,
        } = scene;
        service.stop();
        let sandbox = sandbox.env("HF_TOKEN", "hf_good");
        let service = sandbox.serve();
        service.start("m").ok();
        service.wait_completed("m");
        sandbox.assert_snapshot(&spec, &hub.head(spec.id(), "main").unwrap());
    }
}

#[test]
fn a_refused_token_and_a_missing_revision_are_told_apart() {
    let hub = PracticeHub::start(HubConfig::with([wdv3()])).unwrap();
    let sandbox = quick(Sandbox::with(&hub)).env("HF_TOKEN", "hf_revoked");
    let scene = Scene::within(hub, sandbox, WDV3);
    let error = scene.fails("token_invalid");
    assert!(!error.to_string().contains("hf_revoked"), "{error}");

    let scene = self::scene();
    let body = json!({"model_id": "old", "kind": "generic", "repo_id": WDV3, "revision": "v0", "template": "everything"});
    scene.service.register(&body).ok();
    scene.service.start("old").ok();
    let status = scene
        .service
        .wait_status("old", "failed", |status| status["state"] == "failed");
    assert_eq!(status["error"]["code"], "revision_not_found", "{status:#}");
}

#[test]
fn a_hub_that_is_away_is_waited_for_and_is_never_not_found() {
    let scene = scene();
    scene.hub.close(modelhaul::testing::Place::Hub).unwrap();
    scene.service.start("m").ok();
    let status = scene.service.wait_status("m", "waits or failed", |status| {
        status["waiting"]["reason"] == "hub_unreachable" || status["state"] == "failed"
    });
    assert_eq!(status["error"]["code"], "hub_unreachable", "{status:#}");
    scene.hub.open(modelhaul::testing::Place::Hub).unwrap();
    let again = scene.service.http().post("/api/v1/models/m/retry", None);
    assert_eq!(again.status, 202, "{}", again.text());
    scene.service.wait_completed("m");
}
