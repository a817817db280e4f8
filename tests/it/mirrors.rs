//! Mirrors: bytes come from elsewhere when the hub fails, and only the hub says what is right.

use modelhaul::testing::{Fault, Misdeed, Place, RepoSpec};

use crate::queue::kit::{MIB, assert_whole, begin, hub, start};
use crate::support::{LONG, Sandbox, holds, wait_for};

const ID: &str = "me/model";
const SIZE: u64 = 24 * MIB;

fn spec() -> RepoSpec {
    RepoSpec::new(ID)
        .file("config.json", "{}\n")
        .generated("model.safetensors", SIZE)
}

#[test]
fn a_hub_that_dies_in_the_middle_is_replaced_and_no_byte_comes_twice() {
    let spec = spec();
    let (first, second) = (hub(8 * MIB, [spec.clone()]), hub(0, [spec.clone()]));
    first.add_token("hf_canary_of_the_hub_only");
    // The first mirror is dead from the start.
    let mirrors = format!("http://127.0.0.1:9/,{}", second.endpoint());
    let sandbox = Sandbox::with(&first)
        .env("MODELHAUL_MIRRORS", &mirrors)
        .env("HF_TOKEN", "hf_canary_of_the_hub_only");
    let shown = sandbox.run(&["config", "show"]).ok();
    assert!(shown.contains("http://127.0.0.1:9/, "), "{shown}");
    let service = sandbox.serve();
    begin(&service, ID);
    wait_for(LONG, "a third of it", || {
        holds(first.total_bytes_sent() >= SIZE / 3)
    });
    first.close(Place::Cdn).unwrap();
    first.close(Place::Hub).unwrap();
    service.wait_completed(ID);
    let sent = first.total_bytes_sent() + second.total_bytes_sent();
    assert!(sent < SIZE + 2 * MIB, "{sent} bytes were sent for {SIZE}");
    assert_whole(&sandbox, &first, &spec);
    let attempts = sandbox.db().value("SELECT count(*) FROM attempts");
    assert_eq!(attempts, 1, "within one attempt");
    let asked = second.requests();
    assert!(!asked.is_empty());
    let with_token = asked
        .iter()
        .filter(|record| record.authorization().is_some());
    assert_eq!(with_token.count(), 0, "the token is the hub's alone");
    let listings = second.requests_for("/api/*");
    assert!(
        listings.is_empty(),
        "what is right is asked of the hub: {listings:?}"
    );
    service.stop();
}

#[test]
fn what_a_mirror_sends_counts_only_when_it_has_the_hubs_digest() {
    let spec = spec();
    let (first, second) = (hub(0, [spec.clone()]), hub(0, [spec.clone()]));
    first.close(Place::Cdn).unwrap();
    second.fault(Fault::cdn(
        "*model.safetensors",
        Misdeed::Corrupt { offset: 5_000_000 },
    ));
    let sandbox = Sandbox::with(&first).env("MODELHAUL_MIRRORS", &second.endpoint());
    let service = sandbox.serve();
    begin(&service, ID);
    let status = service.wait_status(ID, "failed", |status| status["state"] == "failed");
    assert_eq!(status["error"]["code"], "checksum_mismatch", "{status:#}");
    let wrong = spec
        .files()
        .iter()
        .find(|file| file.path == "model.safetensors")
        .unwrap();
    assert!(!sandbox.blobs(ID).iter().any(|name| name == wrong.etag()));
    second.clear_faults();
    start(&service, ID);
    service.wait_completed(ID);
    assert_whole(&sandbox, &first, &spec);
    service.stop();
}
