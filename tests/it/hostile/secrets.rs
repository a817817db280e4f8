//! Tokens and signed links stay where they belong: not at the CDN, not in logs, rows, answers or files.

use std::fs;

use modelhaul::testing::{Fault, HubConfig, Misdeed, Place, PracticeHub, SIGNATURE_MARK};

use super::Scene;
use crate::support::Sandbox;
use crate::world::{WDV3, quick, walk, wdv3};

const CANARY: &str = "hf_CANARYcanaryCANARYcanary";

/// Runs a scene with a token and every log line there is, under some faults.
fn run(faults: Vec<Fault>) -> (Scene, bool) {
    let config = HubConfig {
        tokens: vec![CANARY.to_owned()],
        ..HubConfig::with([wdv3()])
    };
    let hub = PracticeHub::start(config).unwrap();
    for fault in faults {
        hub.fault(fault);
    }
    let sandbox = quick(Sandbox::with(&hub))
        .env("HF_TOKEN", CANARY)
        .env("HF_DOWNLOAD_MAX_RETRIES", "2")
        .env("MODELHAUL_LOG", "trace");
    let scene = Scene::within(hub, sandbox, WDV3);
    scene.service.start("m").ok();
    let status = scene.service.wait_status("m", "an end", |status| {
        matches!(status["state"].as_str(), Some("failed" | "completed"))
    });
    let completed = status["state"] == "completed";
    (scene, completed)
}

/// Looks for secrets in every file of the sandbox and in every answer.
#[track_caller]
fn assert_silent(scene: &Scene) {
    let authorized = |place: Place| {
        let requests = scene.hub.requests().into_iter();
        requests
            .filter(|r| r.place == place && r.authorization().is_some())
            .count()
    };
    assert!(authorized(Place::Hub) > 0, "the hub needs the token");
    assert_eq!(authorized(Place::Cdn), 0, "the CDN must not see it");

    let job = scene.service.status("m")["job_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut texts = vec![("log".to_owned(), scene.service.logs().into_bytes())];
    for path in [
        "/api/model-download-status/m".to_owned(),
        "/api/v1/queue".to_owned(),
        "/api/v1/models".to_owned(),
        format!("/api/v1/jobs/{job}"),
        format!("/api/v1/jobs/{job}/files"),
        format!("/api/v1/jobs/{job}/events"),
        format!("/api/v1/jobs/{job}/attempts"),
    ] {
        let body = scene.service.http().get(&path).body;
        texts.push((path, body));
    }
    for arguments in [
        &["config", "show"][..],
        &["doctor"],
        &["status", "m"],
        &["queue"],
    ] {
        let ran = scene.sandbox.run(arguments);
        texts.push((
            format!("{arguments:?}"),
            (ran.stdout + &ran.stderr).into_bytes(),
        ));
    }
    for path in walk(&scene.sandbox.path("")) {
        let full = scene.sandbox.path(&path);
        if fs::symlink_metadata(&full).unwrap().is_file() {
            texts.push((path, fs::read(full).unwrap()));
        }
    }
    for (name, text) in texts {
        for secret in [CANARY, SIGNATURE_MARK] {
            let found = text
                .windows(secret.len())
                .position(|window| window == secret.as_bytes());
            if let Some(at) = found {
                let from = at.saturating_sub(200);
                let around = String::from_utf8_lossy(&text[from..(at + 20).min(text.len())]);
                panic!("{name} holds a secret: …{around}…");
            }
        }
    }
}

#[test]
fn a_good_download_tells_no_secret() {
    let (scene, completed) = run(Vec::new());
    assert!(completed);
    assert_silent(&scene);
}

#[test]
fn failures_at_the_signed_link_tell_no_secret() {
    for does in [
        Misdeed::status(403),
        Misdeed::status(500),
        Misdeed::Hangup,
        Misdeed::portal(),
        Misdeed::redirect(302, "http://127.0.0.1:9/x?X-Amz-Signature=7"),
        Misdeed::Corrupt { offset: 5 },
        Misdeed::Cut {
            after: 0,
            reset: true,
        },
    ] {
        let named = format!("{does:?}");
        let (scene, completed) = run(vec![Fault::cdn("*model.onnx", does)]);
        assert!(!completed, "{named}");
        assert_silent(&scene);
    }
}
