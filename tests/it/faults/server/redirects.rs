//! Links that lead in circles or elsewhere, and links that expire.

use modelhaul::testing::{Fault, Misdeed, Place, RepoSpec, When};

use super::super::kit::{FILE, ID, Rig, SIZE, Setup, model};

#[test]
fn b29_redirects_that_lead_nowhere() {
    let bad = [
        ("loop", Misdeed::RedirectLoop),
        ("empty", Misdeed::redirect(302, "")),
        ("slashes", Misdeed::redirect(302, "http:////")),
        ("file", Misdeed::redirect(302, "file:///etc/passwd")),
        ("user", Misdeed::redirect(302, "http://me:pw@127.0.0.1:9/")),
        ("missing", Misdeed::status(302)),
    ];
    let specs = bad
        .iter()
        .map(|(name, _)| RepoSpec::new(&format!("q/{name}")).generated("big.bin", SIZE));
    let setup = Setup::new().specs(specs).env("HF_DOWNLOAD_MAX_RETRIES", 1);
    let mut rig = setup.open(
        "B29",
        "a redirect in a circle, empty, `http:////`, to a file, with a user, without an address",
    );
    for (name, does) in bad {
        let id = format!("q/{name}");
        rig.hub.fault(Fault::hub(&format!("{id}/big.bin"), does));
        let failed = rig.fails(&id, &["bad_response"]);
        let message = failed["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("redirect") && !message.contains("pw@"),
            "{message}"
        );
        let asked = rig.hub.requests_for(&format!("{id}/big.bin")).len();
        // One walk: eleven requests in the circle, one elsewhere.
        let most = if name == "loop" { 11 } else { 1 };
        assert_eq!(asked, most, "{name}: requests of one try");
    }
    rig.pass("each failed as bad_response after one walk of at most 11 requests a try");
}

#[test]
fn b30_the_link_leads_elsewhere_in_the_middle() {
    let decoy = RepoSpec::new("me/decoy").generated("decoy.bin", SIZE);
    let mut rig = Setup::new().specs([model(ID), decoy]).open(
        "B30",
        "the second range is redirected to another file of the same size at the same storage",
    );
    let elsewhere = rig.hub.plain_url("me/decoy", "decoy.bin");
    rig.cdn(
        |fault| fault.when(When::Nth(2)),
        Misdeed::redirect(302, &elsewhere),
    );
    rig.heals();
    rig.pass("none of its bytes is in the file");
}

#[test]
fn b31_the_signed_link_expires_in_the_middle() {
    let mut rig = Rig::open(
        "B31",
        "the storage answers 403 (expired) at the second range",
    );
    let fault = rig.cdn(|fault| fault.when(When::Nth(2)), Misdeed::Expired);
    let status = rig.heals();
    assert_eq!(rig.hub.struck(fault), 1);
    assert_eq!(status["attempt"], 1, "{status:#}");
    let links = rig.hub.requests_for("*resolve*big.bin").len();
    assert!(links <= 6, "{links} links");
    let sent = rig.sent();
    rig.pass(format_args!(
        "a new link within the same try, {sent} bytes for {SIZE}"
    ));
}

#[test]
fn b31_every_signed_link_has_expired() {
    let mut rig = Setup::new().env("HF_DOWNLOAD_MAX_RETRIES", 1).open(
        "B31b",
        "the storage answers 403 (expired) to everything after the first range",
    );
    rig.cdn(|fault| fault.when(When::After(1)), Misdeed::Expired);
    rig.start(ID);
    let failed = rig
        .service()
        .wait_status(ID, "failed", |status| status["state"] == "failed");
    let asked = rig.hub.requests_for("*resolve*big.bin").len();
    assert!(asked <= 40, "{asked} links were asked for");
    rig.pass(format_args!(
        "{} after {asked} links",
        failed["error"]["code"]
    ));
}

#[test]
fn b35_a_captive_portal() {
    let mut rig = Rig::open(
        "B35",
        "200 and a page in HTML to everything, then the network is open",
    );
    let fault = rig.hub.fault(Fault::new("*", Misdeed::portal()));
    rig.fails(ID, &["not_a_hub"]);
    assert_eq!(rig.sandbox.blobs(ID), Vec::<String>::new());
    rig.hub.lift(fault);
    rig.heals();
    rig.pass("not_a_hub, nothing cached; done when it is gone");
}

#[test]
fn b36_pages_that_lead_astray() {
    let ids = ["p/circle", "p/abroad"];
    let mut rig = Setup::new().specs(ids.map(model)).open(
        "B36",
        "the listing's next page is itself, and lies on another host",
    );
    let tree = |id: &str| format!("/api/models/{id}/tree/*");
    let circle = format!(
        "<{}/api/models/p/circle/tree/main?recursive=true>; rel=\"next\"",
        rig.hub.endpoint()
    );
    let abroad = format!("<{}/api/next>; rel=\"next\"", rig.hub.cdn_endpoint());
    for (id, link) in ids.into_iter().zip([circle, abroad]) {
        rig.hub
            .fault(Fault::hub(&tree(id), Misdeed::header("Link", &link)));
        rig.fails(id, &["bad_metadata"]);
    }
    let cdn = rig
        .hub
        .requests()
        .into_iter()
        .filter(|request| request.place == Place::Cdn);
    assert_eq!(cdn.count(), 0, "no request to the other host");
    rig.pass("bad_metadata, no request to the other host");
}

#[test]
fn b38_the_repository_is_renamed_or_closed() {
    let mut rig = Setup::new()
        .specs([model("me/old"), model(ID)])
        .rate(3_000_000)
        .open(
            "B38",
            "one repository was renamed (307); access to the other one is closed in the middle",
        );
    assert!(rig.hub.rename_repo("me/old", "me/new"));
    rig.start("me/old");
    rig.completes("me/old");
    rig.start(ID);
    rig.service().wait_bytes(ID, SIZE / 10);
    assert!(rig.hub.disable_repo(ID, true));
    rig.hub.expire_links();
    let failed = rig
        .service()
        .wait_status(ID, "failed", |status| status["state"] == "failed");
    assert!(
        matches!(
            failed["error"]["code"].as_str(),
            Some("repo_disabled" | "forbidden")
        ),
        "{failed:#}"
    );
    rig.hub.disable_repo(ID, false);
    let before = rig.fetches(FILE).len();
    rig.heals();
    assert!(rig.fetches(FILE).len() > before);
    rig.pass(format_args!(
        "followed; {}, and what had come was kept",
        failed["error"]["code"]
    ));
}
