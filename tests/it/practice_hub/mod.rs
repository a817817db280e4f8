//! The practice hub itself: on the wire here, before real Python clients in `python`.

mod python;

use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use modelhaul::testing::{
    Content, Fault, Gate, HubConfig, Misdeed, Place, PracticeHub, RepoSpec, SIGNATURE_MARK, When,
};
use serde_json::json;

use crate::support::{Client, Reply, SHORT, Sandbox, holds, wait_for};

const ID: &str = "practice/model";
const BIG: u64 = 3_000_000;

fn spec() -> RepoSpec {
    RepoSpec::new(ID)
        .file("config.json", "{\"a\": 1}\n")
        .file("sub/dir/notes with space.txt", "notes")
        .file("empty.txt", "")
        .generated("model.safetensors", BIG)
        .generated("sub/other.bin", 1_500_001)
}

fn start() -> (PracticeHub, Client) {
    let hub = PracticeHub::start(HubConfig::with([spec()])).unwrap();
    let client = Client::new(&hub.endpoint());
    (hub, client)
}

/// The signed link of the big file, as client and path.
fn signed(hub: &PracticeHub) -> (Client, String) {
    let client = Client::new(&hub.endpoint());
    let reply = client.request(
        "HEAD",
        "/practice/model/resolve/main/model.safetensors",
        &[],
        None,
    );
    assert_eq!(reply.status, 302);
    let location = reply.header("location").unwrap();
    let path = location.strip_prefix(&hub.cdn_endpoint()).unwrap();
    (Client::new(&hub.cdn_endpoint()), path.to_owned())
}

fn ranged(cdn: &Client, path: &str, range: &str) -> Reply {
    cdn.request("GET", path, &[("Range", range)], None)
}

fn content() -> Content {
    spec().files()[3].content.clone()
}

#[test]
fn an_lfs_file_leads_to_a_signed_link_at_another_origin() {
    let (hub, client) = start();
    let reply = client.get("/practice/model/resolve/main/model.safetensors");
    assert_eq!(reply.status, 302);
    let etag = format!("\"{}\"", content().sha256());
    assert_eq!(reply.header("x-linked-etag"), Some(etag.as_str()));
    assert_eq!(reply.header("x-linked-size"), Some("3000000"));
    let commit = hub.head(ID, "main").unwrap();
    assert_eq!(reply.header("x-repo-commit"), Some(commit.as_str()));
    let (cdn, path) = signed(&hub);
    assert_ne!(cdn.url(), client.url());
    assert!(path.contains(SIGNATURE_MARK));

    let part = ranged(&cdn, &path, "bytes=1048570-1048589");
    assert_eq!(part.status, 206);
    assert_eq!(
        part.header("content-range"),
        Some("bytes 1048570-1048589/3000000")
    );
    assert_eq!(part.body, content().read(1_048_570..1_048_590).unwrap());
    assert_eq!(
        ranged(&cdn, &path, "bytes=-5").body,
        content().read(BIG - 5..BIG).unwrap()
    );
    let past = ranged(&cdn, &path, "bytes=3000000-");
    assert_eq!(
        (past.status, past.header("content-range")),
        (416, Some("bytes */3000000"))
    );
    let stale = [("Range", "bytes=0-9"), ("If-Range", "\"old\"")];
    let whole = cdn.request("GET", &path, &stale, None);
    assert_eq!((whole.status, whole.body.len()), (200, 3_000_000));

    // Another object, or no signature: nothing to see.
    let forged = path.replace(SIGNATURE_MARK, &"0".repeat(SIGNATURE_MARK.len()));
    assert_eq!(cdn.get(&forged).status, 403);
    assert_eq!(cdn.get(path.split('?').next().unwrap()).status, 403);
}

#[test]
fn a_regular_file_answers_itself_after_a_relative_redirect() {
    let (hub, client) = start();
    let reply = client.get("/practice/model/resolve/main/sub/dir/notes%20with%20space.txt");
    assert_eq!(reply.status, 307);
    let location = reply.header("location").unwrap();
    assert!(
        location.starts_with("/api/resolve-cache/models/practice/model/"),
        "{location}"
    );
    let reply = client.get(location);
    assert_eq!((reply.status, reply.text().as_str()), (200, "notes"));
    let etag = format!("\"{}\"", Content::from("notes").git_sha1());
    assert_eq!(reply.header("etag"), Some(etag.as_str()));
    hub.tune(|settings| settings.resolve_cache = false);
    assert_eq!(
        client
            .get("/practice/model/resolve/main/config.json")
            .status,
        200
    );
}

#[test]
fn a_link_expires_by_time_by_uses_and_on_command() {
    let (hub, _) = start();
    let (cdn, path) = signed(&hub);
    assert_eq!(ranged(&cdn, &path, "bytes=0-0").status, 206);
    hub.expire_links();
    assert_eq!(ranged(&cdn, &path, "bytes=0-0").status, 403);

    hub.tune(|settings| settings.signed_uses = 2);
    let (cdn, path) = signed(&hub);
    let statuses = [(); 3].map(|()| ranged(&cdn, &path, "bytes=0-0").status);
    assert_eq!(statuses, [206, 206, 403]);
    hub.tune(|settings| settings.signed_uses = 0);

    hub.tune(|settings| settings.signed_ttl_ms = 50);
    let (cdn, path) = signed(&hub);
    wait_for(SHORT, "the link expires", || {
        holds(ranged(&cdn, &path, "bytes=0-0").status == 403)
    });
}

#[test]
fn a_cut_body_ends_after_so_many_bytes_and_is_counted() {
    let (hub, _) = start();
    let (cdn, path) = signed(&hub);
    let cut = Misdeed::Cut {
        after: 1_234_567,
        reset: false,
    };
    let fault = hub.fault(Fault::cdn("practice/model/*.safetensors", cut).first(1));
    let reply = cdn.get(&path);
    assert!(!reply.whole);
    assert_eq!(reply.header("content-length"), Some("3000000"));
    assert_eq!(reply.body, content().read(0..1_234_567).unwrap());
    assert_eq!(hub.struck(fault), 1);
    assert!(cdn.get(&path).whole);
    let model = "practice/model/model.safetensors";
    wait_for(SHORT, "both answers are counted", || {
        holds(hub.bytes_sent(model) == 1_234_567 + BIG && hub.counters().in_flight == 0)
    });
    assert_eq!(hub.bytes_sent("*other.bin"), 0);
    assert_eq!(
        hub.total_bytes_sent(),
        1_234_567 + BIG + hub.counters().hub_bytes
    );
    let records = hub.requests_for(model);
    let finished: Vec<bool> = records
        .iter()
        .filter(|r| r.place == Place::Cdn)
        .map(|r| r.finished)
        .collect();
    assert_eq!(finished, [false, true]);
}

#[test]
fn lies_are_told_as_ordered() {
    let (hub, _) = start();
    let (cdn, path) = signed(&hub);
    let tell = |misdeed: Misdeed, range: &str| {
        hub.clear_faults();
        hub.fault(Fault::cdn("*", misdeed));
        ranged(&cdn, &path, range)
    };
    let true_bytes = |start: u64, end: u64| content().read(start..end).unwrap();

    let reply = tell(Misdeed::Corrupt { offset: 12 }, "bytes=10-14");
    let mut expected = true_bytes(10, 15);
    expected[2] ^= 0xff;
    assert_eq!((reply.status, reply.body), (206, expected));
    let reply = tell(Misdeed::Corrupt { offset: 12 }, "bytes=13-14");
    assert_eq!(reply.body, true_bytes(13, 15));

    let reply = tell(Misdeed::IgnoreRange, "bytes=10-14");
    assert_eq!((reply.status, reply.body.len()), (200, 3_000_000));

    let reply = tell(Misdeed::ShiftRange(5), "bytes=10-19");
    assert_eq!(reply.header("content-range"), Some("bytes 15-19/3000000"));

    let reply = tell(Misdeed::Short(3), "bytes=10-19");
    assert_eq!((reply.status, reply.whole), (206, true));
    assert_eq!(reply.body, true_bytes(10, 17));

    let reply = tell(Misdeed::NoLength, "bytes=10-19");
    assert_eq!(reply.header("content-length"), None);
    assert_eq!(reply.body, true_bytes(10, 20));

    let reply = tell(Misdeed::Chunked, "bytes=0-2999999");
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    assert!(reply.body == true_bytes(0, BIG));

    let reply = tell(Misdeed::Gzip, "bytes=10-19");
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    assert_eq!(reply.body[..3], [0x1f, 0x8b, 8]);

    let reply = tell(Misdeed::OtherVersion { seed: 1 }, "bytes=10-19");
    assert_eq!(reply.body, Content::generated(1, BIG).read(10..20).unwrap());

    let reply = tell(
        Misdeed::header("Content-Range", "bytes 0-9/10"),
        "bytes=10-19",
    );
    assert_eq!(reply.header("content-range"), Some("bytes 0-9/10"));
    assert_eq!(reply.body, true_bytes(10, 20));

    let reply = tell(Misdeed::retry_after(429, "7"), "bytes=10-19");
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("7"))
    );

    let reply = tell(Misdeed::portal(), "bytes=10-19");
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("text/html"))
    );

    hub.clear_faults();
    assert_eq!(ranged(&cdn, &path, "bytes=10-19").body, true_bytes(10, 20));
}

#[test]
fn a_stalled_answer_keeps_its_connection_until_the_client_goes() {
    let (hub, _) = start();
    let (cdn, path) = signed(&hub);
    let stall = |after, for_ms| Misdeed::Stall { after, for_ms };
    hub.fault(Fault::cdn("*", stall(Some(1000), Some(300))).first(1));
    let begin = Instant::now();
    assert!(ranged(&cdn, &path, "bytes=0-1999").whole);
    assert!(begin.elapsed() >= Duration::from_millis(300));

    hub.clear_faults();
    hub.fault(Fault::cdn("*", stall(None, None)));
    let address = hub.cdn_endpoint().replace("http://", "");
    let mut silent = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: cdn\r\n\r\n");
    std::io::Write::write_all(&mut silent, request.as_bytes()).unwrap();
    wait_for(SHORT, "the request came", || {
        holds(hub.counters().in_flight == 1)
    });
    drop(silent);
    wait_for(SHORT, "the server noticed", || {
        holds(hub.counters().in_flight == 0)
    });
}

#[test]
fn a_rate_is_kept_and_can_be_changed() {
    let (hub, _) = start();
    let (cdn, path) = signed(&hub);
    hub.tune(|settings| settings.rate_per_connection = 1_000_000);
    let begin = Instant::now();
    assert!(ranged(&cdn, &path, "bytes=0-499999").whole);
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(450), "{took:?}");
    hub.tune(|settings| settings.rate_per_connection = 0);
    let begin = Instant::now();
    assert!(cdn.get(&path).whole);
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_closed_door_refuses_and_opens_again_on_the_same_port() {
    let (hub, client) = start();
    assert_eq!(client.get("/api/models/practice/model").status, 200);
    hub.close(Place::Hub).unwrap();
    let refused = client.try_request("GET", "/", &[], None).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    // The port stays ours: whoever takes a free one does not get it in the meantime.
    let address = hub.endpoint().replace("http://", "").parse().unwrap();
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    let taken = other.bind(address).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    hub.open(Place::Hub).unwrap();
    assert_eq!(client.get("/api/models/practice/model").status, 200);
    drop(hub);
    assert!(client.try_request("GET", "/", &[], None).is_err());
}

#[test]
fn a_tree_comes_in_pages_with_absolute_links() {
    let (hub, client) = start();
    hub.tune(|settings| settings.page_size = 2);
    let mut path = "/api/models/practice/model/tree/main?recursive=true&expand=false".to_owned();
    let mut names = Vec::new();
    loop {
        let reply = client.get(&path);
        let entries = reply.ok().as_array().unwrap().clone();
        assert!(entries.len() <= 2);
        names.extend(
            entries
                .iter()
                .map(|entry| entry["path"].as_str().unwrap().to_owned()),
        );
        let Some(link) = reply.header("link") else {
            break;
        };
        let link = link
            .strip_prefix('<')
            .unwrap()
            .strip_suffix(">; rel=\"next\"")
            .unwrap();
        path = link.strip_prefix(&hub.endpoint()).unwrap().to_owned();
    }
    names.sort();
    let expected = [
        "config.json",
        "empty.txt",
        "model.safetensors",
        "sub",
        "sub/dir",
        "sub/dir/notes with space.txt",
        "sub/other.bin",
    ];
    assert_eq!(names, expected);
    let top = client.get("/api/models/practice/model/tree/main").ok();
    assert_eq!(top.as_array().unwrap().len(), 2);

    let wanted = json!({"paths": ["model.safetensors", "none"]});
    let info = client
        .post("/api/models/practice/model/paths-info/main", Some(&wanted))
        .ok();
    assert_eq!(info[0]["lfs"]["oid"], content().sha256());
    assert_eq!(info.as_array().unwrap().len(), 1);
}

#[test]
fn the_hub_says_who_may_not_and_what_is_not_there() {
    let closed = RepoSpec::new("practice/closed").file("a", "a").disabled();
    let gated = RepoSpec::new("practice/gated")
        .file("a", "a")
        .gated(Gate::Auto)
        .allow("hf_in");
    let private = RepoSpec::new("practice/private")
        .file("a", "a")
        .private()
        .allow("hf_in");
    let hub = PracticeHub::start(HubConfig {
        tokens: vec!["hf_in".to_owned(), "hf_out".to_owned()],
        ..HubConfig::with([spec(), closed, gated, private])
    })
    .unwrap();
    let client = Client::new(&hub.endpoint());
    let ask = |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        let headers = if token.is_empty() {
            &[][..]
        } else {
            &headers[..]
        };
        let reply = client.request("GET", path, headers, None);
        (
            reply.status,
            reply.header("x-error-code").unwrap_or("").to_owned(),
        )
    };
    let cases = [
        ("/api/models/practice/none", "", 401, "RepoNotFound"),
        ("/api/models/practice/none", "hf_in", 404, "RepoNotFound"),
        (
            "/api/models/practice/model/revision/none",
            "",
            404,
            "RevisionNotFound",
        ),
        (
            "/practice/model/resolve/main/none",
            "",
            404,
            "EntryNotFound",
        ),
        ("/api/models/practice/model", "hf_false", 401, ""),
        ("/api/models/practice/gated", "", 200, ""),
        ("/practice/gated/resolve/main/a", "", 401, "GatedRepo"),
        ("/practice/gated/resolve/main/a", "hf_out", 403, "GatedRepo"),
        ("/practice/gated/resolve/main/a", "hf_in", 307, ""),
        ("/api/models/practice/private", "", 401, "RepoNotFound"),
        (
            "/api/models/practice/private",
            "hf_out",
            404,
            "RepoNotFound",
        ),
        ("/api/models/practice/private", "hf_in", 200, ""),
        ("/api/models/practice/closed", "", 403, ""),
        ("/api/agent-harnesses", "", 404, ""),
    ];
    for (path, token, status, code) in cases {
        assert_eq!(
            ask(path, token),
            (status, code.to_owned()),
            "{path} as `{token}`"
        );
    }
    hub.tune(|settings| settings.code_on_401 = false);
    assert_eq!(ask("/api/models/practice/none", ""), (401, String::new()));
    let last = hub
        .requests()
        .into_iter()
        .rfind(|request| request.authorization().is_some());
    assert_eq!(last.unwrap().authorization(), Some("Bearer hf_in"));
}

#[test]
fn branches_move_and_repositories_are_renamed_while_it_runs() {
    let (hub, client) = start();
    let first = hub.head(ID, "main").unwrap();
    let second = hub.add_repo(&RepoSpec::new(ID).file("config.json", "{\"a\": 2}\n"));
    assert_ne!(first, second);
    let sha = |revision: &str| {
        let path = format!("/api/models/practice/model/revision/{revision}");
        client.get(&path).ok()["sha"].as_str().unwrap().to_owned()
    };
    assert_eq!([sha("main"), sha(&first)], [second.clone(), first.clone()]);
    assert!(hub.move_branch(ID, "main", &first));
    assert!(hub.move_tag(ID, "v1", &second));
    assert!(hub.move_branch(ID, "refs/pr/1", &second));
    assert_eq!(
        [sha("main"), sha("v1"), sha("refs%2Fpr%2F1")],
        [first, second.clone(), second]
    );
    let refs = client
        .get("/api/models/practice/model/refs?include_prs=1")
        .ok();
    assert_eq!(refs["tags"][0]["ref"], "refs/tags/v1");
    assert_eq!(refs["pullRequests"][0]["ref"], "refs/pr/1");

    assert!(hub.rename_repo(ID, "practice/renamed"));
    let reply = client.get("/api/models/practice/model/revision/main?blobs=true");
    let location = Some("/api/models/practice/renamed/revision/main?blobs=true");
    assert_eq!((reply.status, reply.header("location")), (307, location));
}

#[test]
fn metadata_can_be_falsified() {
    let (hub, client) = start();
    hub.fault(Fault::hub(
        "/api/models/*/tree/*",
        Misdeed::Json {
            pointer: "/0/path".to_owned(),
            value: "../../x".into(),
        },
    ));
    hub.fault(
        Fault::hub("*/resolve/*", Misdeed::header("X-Repo-Commit", "../..")).when(When::After(1)),
    );
    let tree = client
        .get("/api/models/practice/model/tree/main?recursive=1")
        .ok();
    assert_eq!(tree[0]["path"], "../../x");
    let commit = || {
        let reply = client.request(
            "HEAD",
            "/practice/model/resolve/main/config.json",
            &[],
            None,
        );
        reply.header("x-repo-commit").unwrap().to_owned()
    };
    assert_eq!(commit(), hub.head(ID, "main").unwrap());
    assert_eq!(commit(), "../..");
}

#[test]
fn other_processes_control_it_over_http() {
    let (hub, client) = start();
    let control = Client::new(&hub.control_endpoint());
    let body =
        json!({"path": "*/resolve/*", "when": {"first": 1}, "does": {"answer": {"status": 503}}});
    let id = control.post("/faults", Some(&body)).ok()["id"].clone();
    assert_eq!(
        client
            .get("/practice/model/resolve/main/config.json")
            .status,
        503
    );
    assert_eq!(
        client
            .get("/practice/model/resolve/main/config.json")
            .status,
        307
    );
    assert_eq!(control.get("/faults").ok()[0]["struck"], 1);
    assert_eq!(
        control
            .request("DELETE", &format!("/faults/{id}"), &[], None)
            .status,
        200
    );
    assert_eq!(
        control
            .get("/requests?path=*config.json")
            .ok()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(control.get("/counters").ok()["hub_requests"], 2);
    let tuned = control.request("PATCH", "/settings", &[], Some(&json!({"latency_ms": 1})));
    assert_eq!(tuned.ok()["latency_ms"], 1);
    assert_eq!(
        control
            .request("PATCH", "/settings", &[], Some(&json!({"latncy": 1})))
            .status,
        400
    );
    let new = json!({"id": "practice/new", "files": [{"path": "w.bin", "size": 10, "seed": 3}]});
    let commit = control.post("/repos", Some(&new)).ok()["commit"].clone();
    assert_eq!(client.get("/api/models/practice/new").ok()["sha"], commit);
    let door = |open: bool| json!({"place": "cdn", "open": open});
    let (cdn, path) = signed(&hub);
    assert_eq!(control.post("/doors", Some(&door(false))).status, 200);
    assert!(cdn.try_request("GET", &path, &[], None).is_err());
    assert_eq!(control.post("/doors", Some(&door(true))).status, 200);
    assert_eq!(cdn.get(&path).status, 200);
}

#[test]
fn the_program_says_its_address_and_ends_with_its_parent() {
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command(env!("CARGO_BIN_EXE_practicehub"))
        .args(["--repo", "a/b:2K:3", "--with-stdin", "--for", "120"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let endpoint = line.trim().strip_prefix("HF_ENDPOINT=").unwrap();
    let tree = Client::new(endpoint).get("/api/models/a/b/tree/main").ok();
    assert_eq!(tree.as_array().unwrap().len(), 4);
    assert_eq!(tree[1]["size"], 2000);
    drop(child.stdin.take());
    let status = wait_for(SHORT, "the program ends", || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn a_stream_of_events_is_read_as_it_comes() {
    let (hub, client) = start();
    let body = ": hello\n\nid: 7\nevent: job\ndata: {\"a\":1}\n\ndata:x\n\n".to_owned();
    let status = 200;
    let headers = Vec::new();
    hub.fault(Fault::hub(
        "/events",
        Misdeed::Answer {
            status,
            headers,
            body,
        },
    ));
    hub.fault(Fault::hub("/events", Misdeed::Chunked));
    hub.fault(Fault::hub(
        "/events",
        Misdeed::Drip {
            bytes: 7,
            every_ms: 1,
        },
    ));
    let mut stream = client.stream("/events", &[]);
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let first = stream.next_event().unwrap();
    assert_eq!(
        first,
        [
            field("id", "7"),
            field("event", "job"),
            field("data", "{\"a\":1}")
        ]
    );
    assert_eq!(stream.next_event().unwrap(), [field("data", "x")]);
    assert_eq!(stream.next_event(), None);
}
