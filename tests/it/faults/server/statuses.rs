//! Statuses, requests to wait, and heads that never end.

use modelhaul::testing::{Fault, Misdeed, RawPart};

use super::super::kit::{ID, Rig, Setup, model};

#[test]
fn b32_the_hub_asks_to_wait() {
    let date = || {
        vec![
            (
                "Date".to_owned(),
                "Sun, 22 Nov 2026 03:00:00 GMT".to_owned(),
            ),
            (
                "Retry-After".to_owned(),
                "Sun, 22 Nov 2026 03:00:02 GMT".to_owned(),
            ),
        ]
    };
    let after = |value: &str| vec![("Retry-After".to_owned(), value.to_owned())];
    // Name, status, headers, the shortest and the longest pause in milliseconds; a longer one is cut to `backoff_max`.
    let forms = [
        ("n/two", 429, after("2"), 1900, 30_000),
        ("n/date", 503, date(), 1900, 30_000),
        ("n/zero", 429, after("0"), 900, 30_000),
        ("n/negative", 429, after("-1"), 0, 30_000),
        ("n/junk", 429, after("soon"), 0, 30_000),
        ("n/ever", 503, after("999999999"), 2900, 30_000),
        (
            "n/limit",
            429,
            vec![("RateLimit".to_owned(), "\"api\";r=0;t=1".to_owned())],
            1900,
            30_000,
        ),
    ];
    let setup = Setup::new()
        .specs(forms.iter().map(|(id, ..)| model(id)))
        .config("backoff = '50ms'\nbackoff_max = '3s'\n");
    let mut rig = setup.open(
        "B32",
        "429 and 503 with Retry-After 2, a date, 0, -1, junk, 999999999, and RateLimit r=0;t=1 (backoff_max 3 s)",
    );
    let glob = |id: &str| format!("/api/models/{id}/revision/*");
    for (id, status, headers, ..) in &forms {
        let answer = Misdeed::Answer {
            status: *status,
            headers: headers.clone(),
            body: String::new(),
        };
        rig.hub.fault(Fault::hub(&glob(id), answer).first(1));
        rig.start(id);
    }
    let mut seen = 0;
    for (id, _, _, least, most) in forms {
        let status = rig.service().wait_status(id, "waiting or over", |status| {
            status["state"] == "waiting" || status["status"] == "completed"
        });
        if status["state"] == "waiting" && least > 900 {
            seen += 1;
            assert_eq!(
                status["waiting"]["reason"], "rate_limited",
                "{id}: {status:#}"
            );
            assert!(status["waiting"]["until"].is_string(), "{id}: {status:#}");
        }
        rig.completes(id);
        let asked = rig.hub.requests_for(&glob(id));
        let pause = asked[1].at_ms - asked[0].at_ms;
        assert!((least..most).contains(&pause), "{id}: {pause} ms");
    }
    assert!(seen > 0, "no pause was seen in a status");
    rig.pass("obeyed, clamped, shown with the time");
}

#[test]
fn b39_what_is_for_good_and_what_is_not() {
    let permanent: [(u16, &[&str]); 5] = [
        (401, &["repo_not_found", "token_invalid"]),
        (403, &["forbidden"]),
        (404, &["repo_not_found"]),
        (410, &["repo_not_found"]),
        (451, &["repo_disabled"]),
    ];
    let passing = [408, 425, 500, 502, 503, 504];
    let name = |status: u16| format!("k/s{status}");
    let all = permanent
        .iter()
        .map(|(status, _)| *status)
        .chain(passing)
        .chain([501, 505]);
    let mut rig = Setup::new().specs(all.map(|status| model(&name(status)))).open(
        "B39",
        "401 403 404 410 451 fail at once, 408 425 500 502 503 504 are tried again; 501 505 fail at once",
    );
    let glob = |id: &str| format!("/api/models/{id}/revision/*");
    for (status, codes) in permanent {
        let id = name(status);
        rig.hub
            .fault(Fault::hub(&glob(&id), Misdeed::status(status)));
        let failed = rig.fails(&id, codes);
        assert_eq!(failed["attempt"], 1, "{status}: {failed:#}");
    }
    for status in passing {
        let id = name(status);
        rig.hub
            .fault(Fault::hub(&glob(&id), Misdeed::status(status)).first(1));
        rig.start(&id);
        rig.completes(&id);
    }
    for status in [501, 505] {
        let id = name(status);
        rig.hub
            .fault(Fault::hub(&glob(&id), Misdeed::status(status)));
        let failed = rig.fails(&id, &["not_supported"]);
        assert_eq!(failed["attempt"], 1, "{status}: {failed:#}");
    }
    rig.pass("13 statuses, each with its own sentence");
}

#[test]
fn b40_the_hub_is_slow_to_answer() {
    let setup = Setup::new().env("HF_DOWNLOAD_MAX_RETRIES", 50);
    let mut rig = setup.open(
        "B40",
        "no answer to the first question about the model (2 s), again and again",
    );
    let still = Misdeed::Stall {
        after: None,
        for_ms: None,
    };
    let fault = rig.hub.fault(Fault::hub("/api/*", still));
    rig.start(ID);
    let waiting = rig.waits(ID, &["hub_unreachable", "retry_backoff"]);
    let code = waiting["error"]["code"].as_str().unwrap().to_owned();
    assert!(
        matches!(code.as_str(), "hub_unreachable" | "timeout"),
        "{waiting:#}"
    );
    rig.hub.lift(fault);
    rig.completes(ID);
    rig.pass(format_args!("waited as {code}, never `not found`"));
}

#[test]
fn b52_heads_without_an_end() {
    let line = "X-Fill: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    let start = RawPart::new("HTTP/1.1 206 Partial Content\r\n", 1);
    let raw = |part: RawPart| Misdeed::Raw {
        parts: vec![start.clone(), part],
        hold: true,
    };
    let trickle = RawPart {
        text: "X-Slow: 1\r\n".to_owned(),
        times: 2000,
        every_ms: 100,
    };
    let heads = [
        ("t/slow", raw(trickle)),
        ("t/long", raw(RawPart::new(line, 100_000))),
        (
            "t/cookies",
            raw(RawPart::new("Set-Cookie: a=CANARYcookie\r\n", 10_000)),
        ),
    ];
    let mut rig = Setup::new()
        .specs(heads.iter().map(|(id, _)| model(id)))
        .open(
            "B52",
            "a header every 100 ms for 200 s, 10 MB of headers, 10,000 cookies",
        )
        .secret("CANARYcookie");
    for (id, does) in heads {
        rig.hub
            .fault(Fault::cdn(&format!("{id}/big.bin"), does).first(1));
        rig.start(id);
        rig.completes(id);
    }
    let requests = rig.hub.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.header("cookie").is_none())
    );
    rig.pass("left after the timeout or the limit; no cookie is ever sent");
}

#[test]
fn b52_one_cookie_is_not_kept() {
    let mut rig = Rig::open("B52b", "every answer sets a cookie");
    rig.hub.fault(Fault::new(
        "*",
        Misdeed::header("Set-Cookie", "a=CANARYcookie; Path=/"),
    ));
    rig = rig.secret("CANARYcookie");
    rig.heals();
    let requests = rig.hub.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.header("cookie").is_none())
    );
    rig.pass("none is stored or sent");
}
