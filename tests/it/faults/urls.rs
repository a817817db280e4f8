//! Group H: addresses that lead where they must not, against the guard as it is shipped.
//!
//! A network namespace has a public-looking address, many private ones and a DNS server of its own; the product runs in
//! it without any allowed network. Left out where namespaces cannot be made. What needs no network of its own is asked
//! of the service at its door.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use modelhaul::testing::Content;
use serde_json::{Value, json};

use super::kit::{Case, Invariants};
use super::namespace::{Namespace, PRIVATE, PUBLIC};
use crate::support::{FileServer, Ran, Sandbox, Served};
use crate::world::{quick, walk};

/// A sandbox with the configuration as it is shipped, but short pauses.
fn shipped() -> Sandbox {
    let sandbox = quick(Sandbox::new()).env("HF_DOWNLOAD_MAX_RETRIES", "2");
    let path = sandbox.path("home/.config/modelhaul/config.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        path,
        text + "download_timeout = '2s'\nmetadata_timeout = '2s'\n",
    )
    .unwrap();
    sandbox
}

/// Opens a case in a namespace, or leaves it out and says why.
fn open(number: &'static str, done: &'static str) -> Option<(Sandbox, Namespace, Case)> {
    let sandbox = shipped();
    match Namespace::make(&sandbox.path("")) {
        Ok(namespace) => Some((sandbox, namespace, Case::open(number, done))),
        Err(why) => {
            Case::left_out(
                number,
                done,
                format!("no network namespace can be made here: {why}"),
            );
            None
        }
    }
}

/// The product refused, and said so without an address in digits and without a word of the server.
#[track_caller]
fn assert_blocked(ran: &Ran, what: &str) {
    assert_ne!(ran.code, Some(0), "{what}: {ran:#?}");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("not public"), "{what}: {said}");
    assert!(!said.contains("SECRET"), "{what}: {said}");
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn h117_no_private_address_is_connected_to() {
    let Some((sandbox, namespace, case)) = open(
        "117",
        "files are registered at every private address on which a server listens",
    ) else {
        return;
    };
    for (number, address) in PRIVATE.iter().enumerate() {
        let ran = namespace.pull(
            &sandbox,
            &format!("m{number}"),
            &format!("http://{address}/file"),
        );
        assert_blocked(&ran, address);
        assert_eq!(ran.code, Some(2), "{address}: {ran:#?}");
    }
    let whole = namespace.pull(&sandbox, "good", &format!("http://{PUBLIC}/file"));
    assert_eq!(whole.code, Some(0), "{whole:#?}");
    assert_eq!(namespace.private(), Vec::<String>::new());
    case.pass(format!(
        "{} refused at registration, 0 connections; a public one came",
        PRIVATE.len()
    ));
}

#[test]
fn h118_no_name_leads_to_a_private_address() {
    let Some((sandbox, namespace, case)) = open(
        "118",
        "names lead to private addresses: plain, mixed with a public one, by an alias, in IPv6",
    ) else {
        return;
    };
    let names = [
        "private", "mixed", "alias", "loop", "meta", "unique", "mapped",
    ];
    for name in names {
        let ran = namespace.pull(&sandbox, name, &format!("http://{name}.test/file"));
        assert_blocked(&ran, name);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            !said.contains("10.1.2.3") && !said.contains("fd00"),
            "{said}"
        );
    }
    let whole = namespace.pull(&sandbox, "good", "http://good.test/file");
    assert_eq!(whole.code, Some(0), "{whole:#?}");
    assert_eq!(namespace.private(), Vec::<String>::new());
    case.pass(format!(
        "{} names blocked, 0 connections; a public name came",
        names.len()
    ));
}

#[test]
fn h119_no_spelling_hides_an_address() {
    let case = Case::open(
        "119",
        "loopback in every spelling, registered at the door of the service",
    );
    let sandbox = shipped();
    let service = sandbox.serve();
    let spellings = [
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "[::]",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
    ];
    for spelling in spellings {
        let file = json!({"url": format!("http://{spelling}/f"), "path": "f"});
        let reply = service.register(&json!({"model_id": "m", "files": [file]}));
        assert_eq!(reply.status, 422, "{spelling}: {}", reply.text());
        assert!(
            reply.text().contains("not public"),
            "{spelling}: {}",
            reply.text()
        );
    }
    // A name in disguise is a name: it is decided when it is connected to.
    for (id, url) in [
        ("percent", "http://%6cocalhost:1/f"),
        ("name", "http://localhost:1/f"),
    ] {
        let file = json!({"url": url, "path": "f"});
        assert_eq!(
            service
                .register(&json!({"model_id": id, "files": [file]}))
                .status,
            201
        );
        service.start(id);
        let status = service.wait_status(id, "failed", |status| status["state"] == "failed");
        assert_eq!(status["error"]["code"], "blocked_address", "{status:#}");
    }
    case.pass(format!("{} spellings and 2 names refused", spellings.len()));
}

#[test]
fn h120_special_networks_are_no_way_out() {
    let Some((sandbox, namespace, case)) = open(
        "120",
        "a public server sends the download to each special network, in digits and in wrappers",
    ) else {
        return;
    };
    let special = [
        "[fe80::1]",
        "224.0.0.1",
        "240.0.0.1",
        "0.1.2.3",
        "[::10.1.2.3]",
        "[2001::1]",
        "2130706433",
        "[::ffff:7f00:1]",
    ];
    let all = PRIVATE.iter().chain(&special);
    for (number, address) in all.clone().enumerate() {
        let to = hex(&format!("http://{address}/file"));
        let ran = namespace.pull(
            &sandbox,
            &format!("m{number}"),
            &format!("http://good.test/to/{to}"),
        );
        assert_blocked(&ran, address);
    }
    assert_eq!(namespace.private(), Vec::<String>::new());
    let next = hex(&format!("http://{PUBLIC}/file"));
    let whole = namespace.pull(&sandbox, "good", &format!("http://good.test/to/{next}"));
    assert_eq!(whole.code, Some(0), "{whole:#?}");
    case.pass(format!(
        "{} blocked, 0 connections; a public neighbour came",
        all.count()
    ));
}

#[test]
fn h122_every_hop_is_looked_at() {
    let Some((sandbox, namespace, case)) = open(
        "122",
        "a public server redirects to a private one at hop 1, at hop 3, and only when a download goes on",
    ) else {
        return;
    };
    for path in ["hop1", "hop3"] {
        let ran = namespace.pull(&sandbox, path, &format!("http://good.test/{path}"));
        assert_blocked(&ran, path);
    }
    let ran = namespace.pull(&sandbox, "resumed", "http://good.test/resumed");
    assert_blocked(&ran, "resumed");
    let begun = sandbox.db().value("SELECT sum(ranges <> '') FROM files");
    assert_eq!(begun, 1, "the download had begun");
    assert_eq!(namespace.private(), Vec::<String>::new());
    case.pass("blocked at that hop each time, 0 connections");
}

#[test]
fn h123_the_address_that_was_checked_is_the_one_that_is_connected_to() {
    let Some((sandbox, namespace, case)) = open(
        "123",
        "a name changes between a public address and loopback with each question, 200 tries",
    ) else {
        return;
    };
    let url = "http://flip.test/file#path=f";
    let added = namespace.modelhaul(&sandbox, &["models", "add", "flip", "--url", url]);
    assert_eq!(added.code, Some(0), "{added:#?}");
    let (mut came, mut blocked) = (0, 0);
    for _ in 0..200 {
        let ran = namespace.modelhaul(&sandbox, &["plan", "flip"]);
        if ran.code == Some(0) {
            came += 1;
        } else {
            assert_blocked(&ran, "flip");
            blocked += 1;
        }
    }
    assert_eq!(namespace.private(), Vec::<String>::new());
    assert!(
        came > 0 && blocked > 0 && namespace.public() > 0,
        "{came} {blocked}"
    );
    case.pass(format!(
        "{came} came from the public address, {blocked} were blocked, 0 connections to loopback"
    ));
}

#[test]
fn h124_errors_tell_nothing_about_the_network() {
    let Some((sandbox, namespace, case)) = open(
        "124",
        "a blocked, a refusing, a silent and a failing server are compared by their errors",
    ) else {
        return;
    };
    for (id, url) in [
        ("blocked", "http://private.test/file".to_owned()),
        ("refused", "http://good.test:81/file".to_owned()),
        ("silent", "http://good.test/silent".to_owned()),
        ("failing", "http://good.test/status500".to_owned()),
        ("unknown", "http://nowhere.test/file".to_owned()),
    ] {
        let ran = namespace.pull(&sandbox, id, &url);
        assert_ne!(ran.code, Some(0), "{id}: {ran:#?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        for secret in ["SECRET", "10.1.2.3", PUBLIC] {
            assert!(!said.contains(secret), "{id}: {said}");
        }
    }
    for row in sandbox.db().rows("SELECT error, remedy FROM jobs") {
        let text = row.to_string();
        assert!(
            !text.contains("SECRET") && !text.contains("10.1.2.3") && !text.contains(PUBLIC),
            "{text}"
        );
        assert!(row["remedy"].is_string(), "{text}");
    }
    case.pass("no body and no address that a name leads to is in an error");
}

#[test]
fn h125_only_the_web_is_fetched() {
    let case = Case::open(
        "125",
        "other schemes, and the API of the service itself, are registered",
    );
    let sandbox = shipped();
    let service = sandbox.serve();
    let own = service.http().url();
    for url in [
        "file:///etc/passwd",
        "ftp://h/f",
        "gopher://h/",
        "data:text/plain,x",
        "unix:/run/x",
        "ws://h/",
        "//h/f",
        own.as_str(),
    ] {
        let file = json!({"url": url, "path": "f"});
        let reply = service.register(&json!({"model_id": "m", "files": [file]}));
        assert_eq!(reply.status, 422, "{url}: {}", reply.text());
    }
    case.pass("422 for 8 addresses");
}

#[test]
fn h126_the_server_names_no_file() {
    let Some((sandbox, namespace, case)) = open(
        "126",
        "a server names `../../evil` in Content-Disposition; registrations name paths of every bad kind",
    ) else {
        return;
    };
    let invariants = Invariants::watch(&sandbox)
        .allow("artifacts/")
        .allow("connections.log")
        .allow("urls.py");
    let url = "http://good.test/named";
    let ran = namespace.modelhaul(&sandbox, &["models", "add", "named", "--url", url]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let folder = namespace.modelhaul(&sandbox, &["pull", "named"]).ok();
    assert_eq!(
        walk(Path::new(folder.trim()))
            .into_iter()
            .collect::<Vec<_>>(),
        ["named"]
    );
    let service = sandbox.serve();
    let bad = [
        "../evil",
        "..\\evil",
        "C:evil",
        "/evil",
        ".",
        "",
        "a/../b",
        "a\0b",
        "a//b",
        "nul",
        "com1.txt",
        "a.",
        "x:y",
        &"x".repeat(10_000),
    ];
    for path in bad {
        let file = json!({"url": "https://example.org/f", "path": path});
        let reply = service.register(&json!({"model_id": "bad", "files": [file]}));
        assert_eq!(reply.status, 422, "{path}: {}", reply.text());
    }
    let twins =
        json!([{"url": "https://h/a", "path": "a/F"}, {"url": "https://h/b", "path": "A/f"}]);
    assert_eq!(
        service
            .register(&json!({"model_id": "bad", "files": twins}))
            .status,
        422
    );
    invariants.check(&sandbox, Some(&service));
    case.pass(format!(
        "the registered name is used; {} paths and a pair of twins refused",
        bad.len()
    ));
}

/// A sandbox with a server on this machine from which files may come.
fn local() -> (Sandbox, FileServer, Content) {
    let (server, content) = (FileServer::start(), Content::generated(77, 300_000));
    server.serve("/f", Served::new(content.clone()));
    (
        crate::queue::urls::sandbox("max_retries = 2\n"),
        server,
        content,
    )
}

#[test]
fn h127_nothing_is_written_through_links() {
    let case = Case::open(
        "127",
        "links lie where the folder, blobs and entries of a model go",
    );
    let (sandbox, server, content) = local();
    let outside = sandbox.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "mine").unwrap();
    let service = sandbox.serve();
    let file = json!({"url": server.at("/f"), "path": "sub/f", "sha256": content.sha256()});
    let planted = |id: &str, plant: &dyn Fn(&Path)| -> Value {
        let reply = service.register(&json!({"model_id": id, "files": [file]}));
        assert_eq!(reply.status, 201, "{}", reply.text());
        let plan = service
            .http()
            .post(&format!("/api/v1/models/{id}/plan"), None)
            .ok();
        let snapshot = PathBuf::from(plan["path"].as_str().unwrap());
        plant(&snapshot);
        service.start(id);
        service.wait_status(id, "it ended", |status| {
            status["state"] == "failed" || status["status"] == "completed"
        })
    };
    let model = |snapshot: &Path| snapshot.ancestors().nth(2).unwrap().to_owned();
    let folder = planted("folder", &|snapshot| {
        fs::create_dir_all(model(snapshot).parent().unwrap()).unwrap();
        symlink(&outside, model(snapshot)).unwrap();
    });
    assert_eq!(folder["state"], "failed", "{folder:#}");
    let blobs = planted("blobs", &|snapshot| {
        fs::create_dir_all(model(snapshot)).unwrap();
        symlink(&outside, model(snapshot).join("blobs")).unwrap();
    });
    assert_eq!(blobs["state"], "failed", "{blobs:#}");
    let entry = planted("entry", &|snapshot| {
        fs::create_dir_all(snapshot.join("sub")).unwrap();
        symlink(outside.join("victim"), snapshot.join("sub/f")).unwrap();
    });
    assert_eq!(entry["status"], "completed", "{entry:#}");
    let sub = planted("sub", &|snapshot| {
        fs::create_dir_all(snapshot).unwrap();
        symlink(&outside, snapshot.join("sub")).unwrap();
    });
    assert_eq!(sub["state"], "failed", "{sub:#}");
    assert_eq!(walk(&outside).into_iter().collect::<Vec<_>>(), ["victim"]);
    assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "mine");
    case.pass("nothing was written through them; three jobs failed, one entry was replaced");
}

#[test]
fn h128_a_removal_stays_inside() {
    let case = Case::open(
        "128",
        "models are removed by odd ids, and one whose folder holds links to others",
    );
    let (sandbox, server, content) = local();
    let outside = sandbox.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "mine").unwrap();
    let service = sandbox.serve();
    let file = json!({"url": server.at("/f"), "path": "f", "sha256": content.sha256()});
    for id in ["..a", "one"] {
        let reply = service.register(&json!({"model_id": id, "files": [file]}));
        assert_eq!(reply.status, 201, "{}", reply.text());
        service.start(id);
    }
    service.wait_completed("..a");
    let status = service.wait_completed("one");
    let snapshot = PathBuf::from(status["cache"]["path"].as_str().unwrap());
    symlink(&outside, snapshot.join("more")).unwrap();
    symlink(outside.join("victim"), snapshot.parent().unwrap().join("x")).unwrap();
    let token = fs::read_to_string(sandbox.path("admin-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let remove = |id: &str| {
        let path = format!("/api/v1/models/{id}");
        let headers = [("Authorization", bearer.as_str())];
        service
            .http()
            .request("DELETE", &path, &headers, None)
            .status
    };
    for id in ["..%2f..%2foutside", "..", "%2e%2e", "a%2f..", "nobody"] {
        let status = remove(id);
        assert!((400..500).contains(&status), "{id}: {status}");
    }
    assert_eq!(remove("one"), 204);
    assert!(!snapshot.exists());
    service.wait_completed("..a");
    assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "mine");
    case.pass("only the model's own folder went; links were unlinked, not followed");
}
