//! The checks, each through doors that have all of them.

use std::net::IpAddr;

use super::super::practice::{self, Reply, request, send, send_body};
use super::super::{ConnectedTo, Doors};
use super::*;

const TOKEN: &str = "correct horse battery";

fn guard(listen: &str, configured: &[&str], public: bool) -> Guard {
    let configured: Vec<String> = configured.iter().map(|&host| host.to_owned()).collect();
    Guard::new(
        AllowedHosts::new(listen.parse().unwrap(), &configured).unwrap(),
        Some(&Token::parse(TOKEN).unwrap()),
        public,
        CancellationToken::new(),
    )
}

fn local() -> Doors {
    practice::doors(guard("127.0.0.1", &[], false)).doors
}

async fn with_host(doors: &Doors, host: &[&str], connected_to: Option<&str>) -> Reply {
    let mut builder = axum::http::Request::builder().uri("/quick");
    for value in host {
        builder = builder.header("host", *value);
    }
    if let Some(address) = connected_to {
        builder = builder.extension(ConnectedTo(address.parse::<IpAddr>().unwrap()));
    }
    send(doors, builder).await
}

#[tokio::test]
async fn only_this_service_s_hosts_are_answered() {
    let doors = practice::doors(guard(
        "192.168.1.5",
        &["Models.lan", "[fd00::7]:80", "fd00::8"],
        false,
    ))
    .doors;
    for good in [
        "127.0.0.1",
        "127.0.0.1:8642",
        "127.8.9.1",
        "localhost:1",
        "LOCALHOST",
        "[::1]",
        "[::1]:8642",
        "192.168.1.5:8642",
        "models.LAN",
        "[fd00::7]",
        "[fd00::8]:1",
    ] {
        assert_eq!(with_host(&doors, &[good], None).await.status, 200, "{good}");
    }
    for stranger in [
        "evil.example",
        "127.0.0.1.evil.example",
        "192.168.1.6",
        "localhost.evil.example",
        "0x7f000001",
        "2130706433",
        "127.1",
        "0.0.0.0",
        "[::]",
        "localhost.",
        "fake-localhost",
    ] {
        let reply = with_host(&doors, &[stranger], None).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (421, "host_not_allowed"),
            "{stranger}"
        );
    }
    for bad in [
        "",
        "[::1%25lo]",
        "[::1",
        "::1",
        "127.0.0.1:99999",
        "127.0.0.1:+1",
        "a b",
        "user@127.0.0.1",
        "127.0.0.1/x",
        "[::1]x",
    ] {
        let reply = with_host(&doors, &[bad], None).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "bad_host"),
            "{bad}"
        );
    }
    assert_eq!(with_host(&doors, &[], None).await.code(), "bad_host");
    let twice = with_host(&doors, &["127.0.0.1", "127.0.0.1"], None).await;
    assert_eq!(twice.code(), "bad_host");
}

#[tokio::test]
async fn on_all_addresses_the_one_that_was_reached_is_answered() {
    let doors = practice::doors(guard("0.0.0.0", &[], true)).doors;
    assert_eq!(
        with_host(&doors, &["10.0.0.9:8642"], Some("10.0.0.9"))
            .await
            .status,
        200
    );
    assert_eq!(
        with_host(&doors, &["10.0.0.9"], Some("::ffff:10.0.0.9"))
            .await
            .status,
        200
    );
    assert_eq!(
        with_host(&doors, &["10.0.0.8"], Some("10.0.0.9"))
            .await
            .status,
        421
    );
    assert_eq!(
        with_host(&doors, &["0.0.0.0"], Some("10.0.0.9"))
            .await
            .status,
        421
    );
}

#[tokio::test]
async fn a_request_line_cannot_name_another_host() {
    let doors = local();
    let reply = send(&doors, request("GET", "http://evil.example/quick")).await;
    assert_eq!(reply.code(), "bad_host");
    let reply = send(&doors, request("GET", "http://127.0.0.1:8642/quick")).await;
    assert_eq!(reply.status, 200);
}

#[test]
fn a_configured_host_must_be_readable() {
    let listen = "127.0.0.1".parse().unwrap();
    for bad in ["", "http://x", "a b", "x/y", "*"] {
        assert!(
            AllowedHosts::new(listen, &[bad.to_owned()]).is_err(),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn other_pages_cannot_write() {
    let doors = local();
    let cases = [
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "something-new", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "none", 200),
        ("origin", "null", 403),
        ("origin", "http://evil.example", 403),
        ("origin", "http://127.0.0.1:8643", 403),
        ("origin", "http://127.0.0.1:8642.evil.example", 403),
        ("origin", "ftp://127.0.0.1:8642", 403),
        ("origin", "127.0.0.1:8642", 403),
        ("origin", "http://127.0.0.1:8642", 200),
        ("origin", "https://127.0.0.1:8642", 200),
    ];
    for (name, value, status) in cases {
        for method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
            let reply = send(&doors, request(method, "/quick").header(name, value)).await;
            assert_eq!(reply.status, status, "{method} {name}: {value}");
            if status == 403 {
                assert_eq!(reply.code(), "cross_site");
            }
        }
        let reply = send(&doors, request("GET", "/quick").header(name, value)).await;
        assert_eq!(reply.status, 200, "reading {name}: {value}");
    }
    let reply = send(
        &doors,
        axum::http::Request::builder()
            .method("POST")
            .uri("/quick")
            .header("host", "localhost")
            .header("origin", "http://localhost:80"),
    )
    .await;
    assert_eq!(reply.status, 200, "a default port may be written or not");
}

#[tokio::test]
async fn no_answer_ever_lets_another_origin_read() {
    let doors = local();
    for method in ["GET", "OPTIONS", "POST"] {
        let reply = send(
            &doors,
            request(method, "/only-get")
                .header("origin", "http://127.0.0.1:8642")
                .header("access-control-request-method", "POST"),
        )
        .await;
        assert!(
            !reply
                .headers
                .keys()
                .any(|name| name.as_str().starts_with("access-control-")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let doors = local();
    for (kind, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=UTF-8", 200),
        ("application/json; charset=\"utf-8\"", 200),
        ("application/json; charset=utf-7", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/plain; application/json", 415),
        ("application/jsonp", 415),
    ] {
        let builder = request("POST", "/model/a")
            .header("content-type", kind)
            .header("content-length", "2");
        let reply = send_body(&doors, builder, "{}").await;
        assert_eq!(reply.status, status, "{kind}");
    }
    let unnamed = request("POST", "/model/a").header("transfer-encoding", "chunked");
    assert_eq!(
        send_body(&doors, unnamed, "{}").await.code(),
        "unsupported_media_type"
    );
    assert_eq!(
        send(&doors, request("POST", "/model/a")).await.status,
        200,
        "none needs no type"
    );
    let empty = request("POST", "/model/a").header("content-length", "0");
    assert_eq!(send(&doors, empty).await.status, 200);
}

#[tokio::test]
async fn admin_routes_need_the_right_token() {
    let doors = local();
    let ask = async |value: Option<&str>| {
        let mut builder = request("POST", "/admin");
        if let Some(value) = value {
            builder = builder.header("authorization", value);
        }
        send(&doors, builder).await
    };
    let missing = ask(None).await;
    assert_eq!(
        (missing.status, missing.code().as_str()),
        (401, "admin_token_required")
    );
    assert_eq!(
        missing.header("www-authenticate"),
        "Bearer realm=\"modelhaul\""
    );
    for wrong in [
        "Bearer wrong",
        "Bearer ",
        "Bearer correct horse batter",
        "Bearer correct horse battery2",
        "Bearer CORRECT HORSE BATTERY",
    ] {
        let reply = ask(Some(wrong)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (401, "admin_token_wrong"),
            "{wrong}"
        );
        assert!(reply.header("www-authenticate").contains("invalid_token"));
    }
    for none in ["Basic Y29ycmVjdA==", "Bearer", TOKEN] {
        assert_eq!(
            ask(Some(none)).await.code(),
            "admin_token_required",
            "{none}"
        );
    }
    for right in [format!("Bearer {TOKEN}"), format!("bearer  {TOKEN} ")] {
        assert_eq!(ask(Some(&right)).await.text, "cleared");
    }
    let twice = request("POST", "/admin")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(send(&doors, twice).await.code(), "admin_token_wrong");
}

#[tokio::test(start_paused = true)]
async fn guessing_is_put_off_but_the_right_token_works_on() {
    let doors = local();
    let ask = async |token: &str| {
        let builder = request("POST", "/admin").header("authorization", format!("Bearer {token}"));
        send(&doors, builder).await
    };
    let mut last = 0;
    for _ in 0..50 {
        last = ask("guess").await.status;
    }
    assert_eq!(last, 429);
    assert!(!ask("guess").await.header("retry-after").is_empty());
    assert_eq!(ask(TOKEN).await.status, 200);
}

#[tokio::test]
async fn a_token_in_the_address_is_refused() {
    let doors = local();
    for query in ["token=x", "a=b&access_token=x", "TOKEN"] {
        let reply = send(&doors, request("GET", &format!("/quick?{query}"))).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "token_in_query"),
            "{query}"
        );
    }
    assert_eq!(
        send(&doors, request("GET", "/quick?tokens=1")).await.status,
        200
    );
}

#[tokio::test]
async fn on_a_public_address_reading_needs_the_token_too() {
    let doors = practice::doors(guard("0.0.0.0", &[], true)).doors;
    assert_eq!(
        send(&doors, request("GET", "/read")).await.code(),
        "token_required"
    );
    let known = request("GET", "/read").header("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(send(&doors, known).await.status, 200);
    assert_eq!(send(&local(), request("GET", "/read")).await.status, 200);
}

#[tokio::test]
async fn without_an_admin_token_nobody_is_admin() {
    let hosts = AllowedHosts::new("127.0.0.1".parse().unwrap(), &[]).unwrap();
    let doors = practice::doors(Guard::new(hosts, None, false, CancellationToken::new())).doors;
    let reply = send(
        &doors,
        request("POST", "/admin").header("authorization", "Bearer "),
    )
    .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (403, "admin_disabled")
    );
    assert_eq!(send(&doors, request("GET", "/read")).await.status, 200);
}

#[tokio::test]
async fn a_stopping_service_takes_no_work_but_answers_questions() {
    let guard = guard("127.0.0.1", &[], false);
    let draining = guard.draining().clone();
    let doors = practice::doors(guard).doors;
    assert_eq!(send(&doors, request("POST", "/model/a")).await.status, 200);
    draining.cancel();
    let reply = send(&doors, request("POST", "/model/a")).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (503, "shutting_down")
    );
    assert_eq!(reply.header("retry-after"), "5");
    assert_eq!(send(&doors, request("GET", "/model/a")).await.status, 200);
}

#[test]
fn secrets_do_not_print() {
    assert!(!format!("{:?}", guard("127.0.0.1", &[], false)).contains("horse"));
}
