//! Trouble with the hub: what waits says why and until when, what heals goes on, what cannot be had fails in the end.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use modelhaul::testing::{Fault, Misdeed, Place, PracticeHub, RepoSpec, When};
use serde_json::Value;

use super::kit::{
    MIB, assert_not_fetched_again, assert_whole, begin, configure, hub, newest, one_big, saved,
};
use crate::support::{Sandbox, Service};

const ID: &str = "me/model";

/// A service that waits only briefly between its tries.
fn hasty(retries: &str) -> (PracticeHub, Sandbox, RepoSpec) {
    let spec = one_big(ID, 12 * MIB);
    let hub = hub(0, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub)
        .env("HF_DOWNLOAD_MAX_RETRIES", retries)
        .env("MODELHAUL_MAX_CONNECTIONS", "1");
    configure(
        &mut sandbox,
        "backoff = 1\nbackoff_max = 5\ndownload_timeout = 1\n",
    );
    (hub, sandbox, spec)
}

#[track_caller]
fn wait_waiting(service: &Service, reason: &str) -> Value {
    let status = service.wait_status(ID, "waiting", |status| {
        assert_ne!(status["state"], "failed", "{status:#}");
        status["state"] == "waiting"
    });
    assert_eq!(status["waiting"]["reason"], reason, "{status:#}");
    assert_eq!(status["status"], "downloading");
    let until: DateTime<Utc> = status["waiting"]["until"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let since: DateTime<Utc> = status["timestamps"]["updated_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(until > since, "{status:#}");
    status
}

/// A fault that stops every try; the job waits, the fault heals, the job goes on.
fn heals(does: Misdeed, code: &str) {
    let (hub, sandbox, spec) = hasty("10");
    hub.fault(Fault::cdn("*big.bin", does));
    let service = sandbox.serve();
    begin(&service, ID);
    let waiting = wait_waiting(&service, "retry_backoff");
    assert_eq!(waiting["error"]["code"], code, "{waiting:#}");
    let (before, since) = (saved(&sandbox), newest(&hub));
    hub.clear_faults();
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    assert_whole(&sandbox, &hub, &spec);
}

#[test]
fn a_broken_server_is_waited_for() {
    heals(Misdeed::status(503), "server_error");
}

#[test]
fn a_server_that_hangs_up_is_waited_for() {
    heals(Misdeed::Hangup, "network");
}

#[test]
fn a_server_that_says_nothing_is_waited_for() {
    heals(
        Misdeed::Stall {
            after: None,
            for_ms: None,
        },
        "timeout",
    );
}

#[test]
fn tries_without_a_new_byte_are_bounded_and_the_failure_says_what_happened() {
    let (hub, sandbox, spec) = hasty("2");
    hub.fault(Fault::cdn("*big.bin", Misdeed::status(500)));
    let service = sandbox.serve();
    begin(&service, ID);
    let failed = service.wait_status(ID, "failed", |status| status["state"] == "failed");
    let error = &failed["error"];
    assert_eq!(error["code"], "server_error", "{error:#}");
    assert!(
        error["message"].as_str().unwrap().contains("big.bin"),
        "{error:#}"
    );
    // The first try brought the small file and does not count.
    assert_eq!(failed["attempt"], 3);
    assert_eq!(failed["status"], "not_started");
    // A person asks again: the count begins anew.
    hub.clear_faults();
    let retry = service.http().post("/api/v1/models/me/model/retry", None);
    retry.ok();
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
}

#[test]
fn a_new_byte_resets_the_count_of_tries() {
    let (hub, sandbox, spec) = hasty("2");
    let service = sandbox.serve();
    // Each try gets one MiB and then only errors: without the reset, the second one would be the last.
    let trouble = || {
        hub.clear_faults();
        let cut = Misdeed::Cut {
            after: MIB,
            reset: false,
        };
        hub.fault(Fault::cdn("*big.bin", cut).first(1));
        hub.fault(Fault::cdn("*big.bin", Misdeed::status(500)).when(When::After(1)));
    };
    trouble();
    begin(&service, ID);
    for attempt in 1..=3 {
        service.wait_status(ID, "the next try has failed", |status| {
            assert_ne!(status["state"], "failed", "{status:#}");
            status["state"] == "waiting" && status["attempt"] == attempt
        });
        assert_eq!(sandbox.db().value("SELECT retries FROM jobs"), 0);
        trouble();
    }
    hub.clear_faults();
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
}

#[test]
fn the_hub_says_how_long_to_wait_and_is_left_alone_for_so_long() {
    let (hub, sandbox, spec) = hasty("10");
    hub.fault(Fault::hub("/api/models/*", Misdeed::retry_after(429, "4")).first(1));
    let service = sandbox.serve();
    begin(&service, ID);
    let waiting = wait_waiting(&service, "rate_limited");
    assert_eq!(waiting["error"]["code"], "rate_limited");
    service.wait_completed(ID);
    let requests = hub.requests();
    assert_eq!(requests[0].status, 429);
    let pause = requests[1].at_ms - requests[0].at_ms;
    assert!((3_900..20_000).contains(&pause), "{pause} ms");
    assert_whole(&sandbox, &hub, &spec);
}

#[test]
fn a_hub_that_is_down_is_waited_for_and_is_not_called_a_missing_model() {
    let (hub, sandbox, spec) = hasty("10");
    hub.close(Place::Hub).unwrap();
    let service = sandbox.serve();
    begin(&service, ID);
    let waiting = wait_waiting(&service, "hub_unreachable");
    assert_eq!(waiting["error"]["code"], "hub_unreachable", "{waiting:#}");
    hub.open(Place::Hub).unwrap();
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
}

#[test]
fn a_person_need_not_wait_for_the_pause_to_end() {
    let (hub, mut sandbox, spec) = hasty("10");
    configure(&mut sandbox, "backoff = 600\nbackoff_max = 600\n");
    hub.close(Place::Hub).unwrap();
    let service = sandbox.serve();
    begin(&service, ID);
    wait_waiting(&service, "hub_unreachable");
    hub.open(Place::Hub).unwrap();
    sandbox.run(&["retry", ID]).ok();
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
}

/// A private repository of small files on a slow hub, and a service that reads its token from a file.
fn private() -> (PracticeHub, Sandbox, RepoSpec, std::path::PathBuf) {
    let spec = (0..40)
        .fold(RepoSpec::new(ID), |spec, n| {
            spec.generated(&format!("part-{n:02}.bin"), 100_000 + n)
        })
        .private();
    let hub = hub(MIB, [spec.clone()]);
    hub.add_token("hf_good");
    let mut sandbox = Sandbox::with(&hub);
    let token = sandbox.path("the-token");
    sandbox.set_env("HF_TOKEN_PATH", &token.display().to_string());
    sandbox.set_env("MODELHAUL_MAX_CONNECTIONS", "2");
    configure(&mut sandbox, "backoff = 1\nbackoff_max = 1\n");
    (hub, sandbox, spec, token)
}

/// The hub lets a job in, then it does not: the job waits for its token, and what came stays.
fn waits_for_its_token(lose: impl Fn(&PracticeHub, &Path), find: impl Fn(&PracticeHub, &Path)) {
    let (hub, sandbox, spec, token) = private();
    fs::write(&token, "hf_good").unwrap();
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, 300_000);
    lose(&hub, &token);
    wait_waiting(&service, "auth_required");
    let (before, since) = (saved(&sandbox), newest(&hub));
    // More attempts than retries are allowed: a token that is away uses up none.
    service.wait_status(ID, "it looks again", |status| {
        assert_ne!(status["state"], "failed", "{status:#}");
        status["attempt"].as_u64() >= Some(3)
    });
    find(&hub, &token);
    service.wait_completed(ID);
    assert_not_fetched_again(&hub, since, &before);
    assert_eq!(sandbox.db().value("SELECT retries FROM jobs"), 0);
    assert_whole(&sandbox, &hub, &spec);
}

#[test]
fn a_job_whose_token_is_removed_waits_until_it_is_back() {
    waits_for_its_token(
        |_, token| fs::remove_file(token).unwrap(),
        |_, token| fs::write(token, "hf_good").unwrap(),
    );
}

#[test]
fn a_job_whose_token_is_refused_waits_for_another() {
    waits_for_its_token(
        |hub, _| hub.revoke_token("hf_good"),
        |hub, token| {
            hub.add_token("hf_new");
            fs::write(token, "hf_new").unwrap();
        },
    );
}

#[test]
fn a_job_that_was_never_let_in_fails_at_once() {
    let (_hub, sandbox, _, _) = private();
    let service = sandbox.serve();
    begin(&service, ID);
    let failed = service.wait_status(ID, "failed", |status| status["state"] == "failed");
    assert_eq!(failed["error"]["code"], "repo_not_found", "{failed:#}");
    assert_eq!(failed["attempt"], 1);
}
