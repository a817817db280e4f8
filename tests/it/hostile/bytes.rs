//! Lies in the bytes of a file, and links that end in the middle of it.

use modelhaul::testing::{Fault, HubConfig, Misdeed, PracticeHub, When};

use super::Scene;
use crate::world::{MODEL, WDV3, assert_whole, wdv3};

const FILE: &str = "*model.onnx";

fn scene() -> Scene {
    let hub = PracticeHub::start(HubConfig::with([wdv3()])).unwrap();
    Scene::of(hub, WDV3)
}

/// A misdeed on some answers of the CDN is survived, and the result is right.
#[track_caller]
fn survives(does: Misdeed, when: When) {
    let scene = scene();
    let named = format!("{does:?}");
    let fault = scene.hub.fault(Fault::cdn(FILE, does).when(when));
    let status = scene.heals();
    assert!(scene.hub.struck(fault) > 0, "{named} never happened");
    let job = status["job_id"].as_str().unwrap();
    let look = |what: &str| {
        scene
            .service
            .http()
            .get(&format!("/api/v1/jobs/{job}/{what}"))
            .ok()
    };
    assert_eq!(
        status["cache"]["verified"],
        true,
        "{named} {when:?} {:#} {:#}",
        look("files"),
        look("attempts")
    );
    let commit = scene.hub.head(WDV3, "main").unwrap();
    scene.assert_right(&wdv3(), &commit);
}

#[test]
fn one_wrong_byte_once_is_fetched_again() {
    survives(Misdeed::Corrupt { offset: 777_777 }, When::First(1));
}

#[test]
fn a_wrong_byte_always_fails_with_both_hashes_and_leaves_nothing() {
    let scene = scene();
    let fault = scene
        .hub
        .fault(Fault::cdn(FILE, Misdeed::Corrupt { offset: 777_777 }));
    let error = scene.fails("checksum_mismatch");
    let message = error["message"].as_str().unwrap();
    let expected = wdv3().files()[4].etag().to_owned();
    assert!(message.contains(&expected), "{message}");
    assert!(message.contains("model.onnx"), "{message}");
    let hashes = message
        .split(|c: char| !c.is_ascii_hexdigit())
        .filter(|word| word.len() == 64);
    assert_eq!(hashes.count(), 2, "expected and got: {message}");
    scene.assert_not_published(WDV3);
    assert!(!scene.sandbox.blobs(WDV3).contains(&expected));

    // Asked again it tries again, from the start of the file.
    let before = scene.hub.bytes_sent(FILE);
    scene.hub.lift(fault);
    scene.heals();
    assert!(scene.hub.bytes_sent(FILE) - before >= MODEL);
    let commit = scene.hub.head(WDV3, "main").unwrap();
    scene.assert_right(&wdv3(), &commit);
}

#[test]
fn cut_and_stalled_bodies_go_on_where_they_were() {
    survives(
        Misdeed::Cut {
            after: 300_000,
            reset: false,
        },
        When::First(2),
    );
    survives(
        Misdeed::Cut {
            after: 300_000,
            reset: true,
        },
        When::First(2),
    );
    survives(Misdeed::Hangup, When::First(2));
}

#[test]
fn answers_that_are_not_what_was_asked_for_are_refused_and_asked_again() {
    survives(Misdeed::Short(1000), When::First(1));
    survives(Misdeed::Extra(1000), When::First(1));
    survives(Misdeed::ShiftRange(4096), When::First(1));
    survives(Misdeed::OtherVersion { seed: 9 }, When::First(1));
    survives(Misdeed::Gzip, When::First(1));
    survives(Misdeed::portal(), When::First(1));
    survives(Misdeed::status(503), When::First(2));
}

#[test]
fn a_server_without_ranges_still_delivers() {
    survives(Misdeed::IgnoreRange, When::First(1));
    survives(Misdeed::IgnoreRange, When::Always);
}

#[test]
fn a_page_in_the_place_of_a_model_never_becomes_one() {
    let scene = scene();
    scene.hub.fault(Fault::cdn(FILE, Misdeed::portal()));
    scene.service.start("m").ok();
    let status = scene
        .service
        .wait_status("m", "failed", |status| status["state"] == "failed");
    let code = status["error"]["code"].as_str().unwrap();
    assert!(matches!(code, "bad_response" | "not_a_hub"), "{status:#}");
    scene.assert_not_published(WDV3);
}

#[test]
fn links_that_expire_in_the_middle_are_renewed() {
    let scene = scene();
    scene.hub.tune(|settings| settings.rate_total = 4_000_000);
    scene.service.start("m").ok();
    for bytes in [1_000_000, 3_000_000, 5_000_000] {
        scene.service.wait_bytes("m", bytes);
        scene.hub.expire_links();
    }
    scene.service.wait_completed("m");
    let commit = scene.hub.head(WDV3, "main").unwrap();
    scene.assert_right(&wdv3(), &commit);

    // Links that are good for a moment only.
    let scene = self::scene();
    scene.hub.tune(|settings| {
        settings.signed_ttl_ms = 150;
        settings.rate_total = 4_000_000;
    });
    scene.heals();
    assert_whole(&scene.sandbox, &[&wdv3()]);
}
