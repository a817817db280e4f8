//! Who may call from where: addresses, policies, tokens, hosts, other pages.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use modelhaul::testing::{Gate, HubConfig, PracticeHub};
use serde_json::{Value, json};

use super::{Line, example, table};
use crate::faults::kit::{Case, Invariants};
use crate::faults::scene::{
    MIB, admin_token, as_admin, codes, connect, one_big, raw, register, rest,
};
use crate::support::{SHORT, Sandbox, holds, wait_for};

#[test]
fn g105_only_this_machine_can_connect() {
    let case = Case::open(
        "105",
        "the default listens on loopback only; other addresses with no, an empty, a short token",
    );
    let sandbox = Sandbox::new();
    let service = sandbox.serve_with(&[]);
    // The sockets that the process listens on, by the kernel's own list.
    let inodes: Vec<String> = fs::read_dir(format!("/proc/{}/fd", service.pid()))
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|name| {
            Some(
                name.to_str()?
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    let mut listening = Vec::new();
    for list in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(list).unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words[3] == "0A" && inodes.iter().any(|inode| inode == words[9]) {
                listening.push(words[1].split_once(':').unwrap().0.to_owned());
            }
        }
    }
    assert_eq!(listening, ["0100007F"], "127.0.0.1 as the kernel writes it");
    service.stop();
    for (listen, token) in [
        ("192.0.2.1:0", ""),
        ("192.0.2.1:0", "short"),
        ("[2001:db8::1]:0", "short"),
    ] {
        let sandbox = Sandbox::new().env("MODELHAUL_ADMIN_TOKEN", token);
        let ran = sandbox.run(&["serve", "--listen", listen]);
        assert!(ran.code.is_some_and(|code| code != 0), "{ran:#?}");
        if token.is_empty() {
            continue;
        }
        for way in ["127.0.0.1", "MODELHAUL_ADMIN_TOKEN", "proxy"] {
            assert!(ran.stderr.contains(way), "{way} is a way out: {ran:#?}");
        }
    }
    case.pass("127.0.0.1 alone; others refused with three ways out");
}

#[test]
fn g106_every_route_obeys_its_policy_in_every_spelling() {
    let case = Case::open(
        "106",
        "each route with no, a wrong, a prefix of, the right token; 7 methods; 6 spellings",
    );
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    register(&service, "witness", "org/witness");
    let db = sandbox.db();
    let models = "SELECT group_concat(model_id || repo_id || updated_at_ms) FROM models";
    let before = (db.value(models), db.value("SELECT paused FROM settings"));
    let right = admin_token(&sandbox);
    let prefix = right[..right.len() - 1].to_owned();
    let mut line = Line::new(service.http());
    let rows = table();
    let allowed = |path: &str, method: &str| {
        let same = rows.iter().filter(|(.., other)| *other == path);
        let mut policies =
            same.filter(|(known, ..)| *known == method || method == "HEAD" && *known == "GET");
        policies.next().map(|(_, policy, _)| *policy)
    };
    let mut asked = 0;
    for (_, _, template) in &rows {
        let path = example(template);
        // The root has no other spelling than `//`, which is no address at all.
        let has_letters = path.len() > 1;
        let mut escaped = path.clone();
        if has_letters {
            escaped.replace_range(1..2, &format!("%{:02x}", path.as_bytes()[1]));
        }
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] {
            let policy = allowed(template, method);
            for (name, token) in [
                ("no", None),
                ("a wrong", Some("wrong-wrong-wrong-wrong")),
                ("a prefix", Some(&*prefix)),
            ] {
                let (code, body) = line.ask(method, &path, token);
                asked += 1;
                match policy {
                    Some("Admin") => assert!(
                        [401, 429].contains(&code),
                        "{method} {path} with {name} token: {code} {body}"
                    ),
                    Some(_) => assert!(
                        code != 401 && code != 405 && code < 500,
                        "{method} {path} with {name} token: {code} {body}"
                    ),
                    None => assert_eq!(code, 405, "{method} {path} with {name} token: {body}"),
                }
            }
            if policy == Some("Admin") && method != "HEAD" {
                let (code, body) = line.ask(method, &path, Some(&right));
                assert!(
                    ![401, 403, 405, 429].contains(&code) && code < 500,
                    "{method} {path}: {code} {body}"
                );
                asked += 1;
            }
            let spellings = [
                format!("/{path}"),
                format!("/.{path}"),
                format!("{path}/"),
                path.to_uppercase(),
                escaped.clone(),
            ];
            for other in &spellings[..if has_letters { 5 } else { 2 }] {
                let (code, body) = line.ask(method, other, None);
                let known = body.contains("unknown_model") || body.contains("invalid_model_id");
                assert!(
                    code == 404 && !known || code == 405,
                    "{method} {other}: {code} {body}"
                );
                asked += 1;
            }
        }
    }
    assert_eq!(
        (db.value(models), db.value("SELECT paused FROM settings")),
        before
    );
    watched
        .secret(&right)
        .allow("admin-token")
        .check(&sandbox, Some(&service));
    case.pass(format_args!(
        "{asked} requests to {} routes, none got through that should not",
        rows.len()
    ));
}

#[test]
fn g107_g108_wrong_tokens_are_put_off_and_never_seen() {
    let case = Case::open(
        "107",
        "the right token in the address, in every way to write it",
    );
    let sandbox = Sandbox::new().env("MODELHAUL_LOG", "debug");
    let service = sandbox.serve();
    let right = admin_token(&sandbox);
    let watched = Invariants::watch(&sandbox)
        .secret(&right)
        .allow("admin-token");
    for query in [
        format!("token={right}"),
        format!("access_token={right}"),
        format!("Admin_Token={right}"),
        format!("limit=1&token={right}"),
        format!("%74oken={right}"),
    ] {
        for method in ["GET", "PATCH"] {
            let reply =
                service
                    .http()
                    .request(method, &format!("/api/v1/queue?{query}"), &[], None);
            assert!(
                [400, 401].contains(&reply.status),
                "{query}: {}",
                reply.text()
            );
            assert!(!reply.text().contains(&right), "{}", reply.text());
        }
    }
    watched.check(&sandbox, Some(&service));
    case.pass("refused, and in no log and no answer");

    let case = Case::open("108", "300 wrong tokens in a row");
    let lines = service.logs().lines().count();
    let mut line = Line::new(service.http());
    let mut put_off = 0;
    for n in 0..300 {
        let (code, body) = line.ask(
            "POST",
            "/api/v1/cache/verify",
            Some(&format!("guess-{n}-guess-guess")),
        );
        assert!([401, 429].contains(&code), "{code} {body}");
        put_off += u32::from(code == 429);
    }
    assert!(put_off > 200, "{put_off} of 300 were put off");
    let answer = as_admin(
        &sandbox,
        &service,
        "PATCH",
        "/api/v1/queue",
        Some(&json!({"paused": false})),
    );
    assert_eq!(
        answer.status,
        200,
        "the right one works on: {}",
        answer.text()
    );
    let logs = service.logs();
    let told = logs
        .lines()
        .skip(lines)
        .filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""))
        .count();
    assert!(told < 20, "{told} warnings about 300 guesses");
    assert!(
        !logs.contains("guess-7-guess"),
        "a guess may be a typing error away from the token"
    );
    case.pass(format_args!(
        "{put_off} answered 429, the right token works on, {told} warnings"
    ));
}

#[test]
fn g109_the_tokens_file_is_changed_while_the_service_runs() {
    let case = Case::open(
        "109",
        "the admin token's file gets another token, others may read it, it is empty, it is deleted; the hub's token file changes",
    );
    let config = HubConfig {
        tokens: vec!["hf_second".to_owned()],
        ..HubConfig::with([one_big("org/gated", MIB).gated(Gate::Auto)])
    };
    let hub = PracticeHub::start(config).unwrap();
    let sandbox = Sandbox::with(&hub);
    fs::create_dir_all(sandbox.path("hf")).unwrap();
    fs::write(sandbox.path("hf/token"), "hf_first").unwrap();
    let service = sandbox.serve();
    let path = sandbox.path("admin-token");
    let first = admin_token(&sandbox);
    let second = "second-second-second";
    let watched = Invariants::watch(&sandbox)
        .secret(&first)
        .secret(second)
        .allow("admin-token")
        .allow("hf/token");
    let code = |token: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str())];
        service
            .http()
            .request("POST", "/api/v1/cache/verify", &headers, Some(&json!({})))
            .status
    };
    let counts = |token: &str| {
        wait_for(SHORT, "the token in the file counts", || {
            holds(![401, 429].contains(&code(token)))
        });
    };
    counts(&first);
    let since = Instant::now();
    fs::write(&path, second).unwrap();
    counts(second);
    let took = since.elapsed();
    // Many wrong ones in a row are put off.
    let refused = |token: &str| [401, 429].contains(&code(token));
    assert!(refused(&first), "the old one is over");

    // What cannot be used is told once, and changes nothing.
    let warned = |text: &str| {
        wait_for(SHORT, text, || holds(service.logs().contains(text)));
        counts(second);
    };
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    warned("chmod 600");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "").unwrap();
    warned("holds no token");
    let warnings = service.logs().matches("the last token goes on").count();
    assert!(warnings <= 3, "{warnings} warnings");

    fs::remove_file(&path).unwrap();
    wait_for(SHORT, "another token is made", || holds(path.exists()));
    let third = wait_for(SHORT, "it is whole", || {
        Some(admin_token(&sandbox)).filter(|token| !token.is_empty())
    });
    counts(&third);
    assert!(refused(second));

    // The hub's: a job that was refused with the first one has its files with the second one, without a restart.
    register(&service, "gated", "org/gated");
    service.start("gated").ok();
    let refused = service.wait_status("gated", "refused", |status| {
        status["state"] == "failed" || status["state"] == "waiting"
    });
    let why = refused["error"]["code"].as_str().unwrap().to_owned();
    fs::write(sandbox.path("hf/token"), "hf_second").unwrap();
    service.http().post("/api/v1/models/gated/retry", None).ok();
    service.wait_completed("gated");
    watched.secret(&third).check(&sandbox, Some(&service));
    case.pass(format_args!(
        "counted after {took:.1?}, the old one refused; a bad file is told once and changes nothing; the hub's: {why}, then completed"
    ));
}

#[test]
fn g110_only_its_own_names_are_answered() {
    let case = Case::open(
        "110",
        "every route with a foreign, ambiguous, missing or unreadable Host",
    );
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    let mut asked = 0;
    let hosts = [
        "Host: evil.example\r\n",
        "Host: 127.0.0.1.evil.example\r\n",
        "Host: localhost.evil.example\r\n",
        "Host: 192.168.1.1\r\n",
        "Host: [::1%25lo]\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost, evil.example\r\n",
        "Host: evil.example@localhost\r\n",
        "Host: localhost:80:80\r\n",
        "Host: 2130706433\r\n",
        "Host: \r\n",
        "Host: local\tost\r\n",
        "",
    ];
    for (method, _, path) in table() {
        let mut stream = connect(service.http());
        let mut request = String::new();
        for host in hosts {
            let path = example(path);
            write!(
                request,
                "{method} {path} HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"
            )
            .unwrap();
        }
        let last = format!(
            "{method} {} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            example(path)
        );
        stream.write_all((request + &last).as_bytes()).unwrap();
        let answer = rest(&mut stream);
        let codes = codes(&answer);
        // A request that is no HTTP at all ends the connection, and those behind it with it.
        assert!(codes.len() >= hosts.len() - 2, "{answer}");
        assert!(
            codes.iter().all(|code| [400, 421].contains(code)),
            "{method} {path}: {answer}"
        );
        asked += codes.len();
    }
    for target in [
        "http://evil.example/healthz",
        "https://127.0.0.1@evil.example/healthz",
    ] {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = raw(service.http(), request.as_bytes());
        assert!(
            codes(&answer).iter().all(|code| *code == 400),
            "{target}: {answer}"
        );
    }
    for host in [
        "localhost",
        "127.0.0.1",
        "LOCALHOST:9",
        "[::1]",
        "127.8.9.1:1",
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = raw(service.http(), request.as_bytes());
        assert_eq!(codes(&answer), [200], "{host}: {answer}");
    }
    watched.check(&sandbox, Some(&service));
    case.pass(format_args!(
        "{asked} requests, all 400 or 421; loopback names are answered"
    ));
}

#[test]
fn g111_g112_other_pages_change_and_learn_nothing() {
    let case = Case::open(
        "111",
        "every route that changes something, as another page, a form or a plain text would ask",
    );
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    register(&service, "nobody", "no/body");
    let token = admin_token(&sandbox);
    let dump = || -> Vec<Value> {
        [
            "SELECT * FROM models",
            "SELECT * FROM jobs",
            "SELECT paused, bandwidth_limit FROM settings",
        ]
        .into_iter()
        .flat_map(|sql| sandbox.db().rows(sql))
        .collect()
    };
    let before = dump();
    let mut asked = 0;
    for (method, _, path) in table() {
        if method == "GET" {
            continue;
        }
        let path = example(path);
        for (headers, code) in [
            ("Origin: https://evil.example", 403),
            ("Origin: null", 403),
            ("Origin: http://localhost:9", 403),
            ("Sec-Fetch-Site: cross-site", 403),
            ("Sec-Fetch-Site: same-site", 403),
            ("Content-Type: text/plain", 415),
            ("Content-Type: application/x-www-form-urlencoded", 415),
            ("Content-Type: multipart/form-data; boundary=x", 415),
            (
                "Content-Type: application/json\r\nContent-Type: text/plain",
                415,
            ),
        ] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
                 {headers}\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            let answer = raw(service.http(), request.as_bytes());
            assert_eq!(
                codes(&answer),
                [code],
                "{method} {path} {headers}: {answer}"
            );
            asked += 1;
        }
        // A link or an image can only ask with GET.
        let answer = service.http().get(&path);
        assert!(
            [404, 405, 200].contains(&answer.status),
            "GET {path}: {}",
            answer.text()
        );
    }
    assert_eq!(dump(), before);
    case.pass(format_args!(
        "{asked} requests refused; the rows are the same"
    ));

    let case = Case::open("112", "preflight requests and reads from other origins");
    for (method, _, path) in table() {
        for origin in ["https://evil.example", "null", "http://localhost:1"] {
            let request = format!(
                "OPTIONS {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: {origin}\r\n\
                 Access-Control-Request-Method: {method}\r\n\r\n",
                example(path)
            );
            let answer = raw(service.http(), request.as_bytes()).to_ascii_lowercase();
            assert!(
                !answer.contains("access-control-") && !answer.contains("200 ok"),
                "{answer}"
            );
        }
    }
    let read = service.http().request(
        "GET",
        "/api/v1/models",
        &[("Origin", "https://evil.example")],
        None,
    );
    assert!(
        read.headers
            .iter()
            .all(|(name, _)| !name.starts_with("access-control-"))
    );
    watched.check(&sandbox, Some(&service));
    case.pass("no answer carries an Access-Control header");
}
