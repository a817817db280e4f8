//! Files by their addresses: the real service and a plain file server.

use std::fs;
use std::path::PathBuf;

use modelhaul::testing::Content;
use serde_json::{Value, json};

use super::kit::is_part;
use crate::support::{FileServer, LONG, Length, Sandbox, Served, Service, holds, wait_for};
use crate::world::{quick, walk};

const MIB: u64 = 1 << 20;

/// A sandbox whose files may come from this machine; `more` goes into the configuration.
pub(crate) fn sandbox(more: &str) -> Sandbox {
    let sandbox = quick(Sandbox::new());
    let path = sandbox.path("home/.config/modelhaul/config.toml");
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("artifact_networks = ['127.0.0.0/8']\ndownload_timeout = '2s'\n");
    text.push_str(more);
    fs::write(path, text).unwrap();
    sandbox
}

fn content(seed: u64, size: u64) -> Content {
    Content::generated(seed, size)
}

/// Registers one file and starts it.
#[track_caller]
fn begin(service: &Service, id: &str, file: &Value) {
    let reply = service.register(&json!({"model_id": id, "files": [file]}));
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(service.start(id).status, 202);
}

#[track_caller]
fn failed(service: &Service, id: &str) -> Value {
    service.wait_status(id, "failed", |status| status["state"] == "failed")
}

/// The bytes under the name that the status shows.
#[track_caller]
fn shown(status: &Value, path: &str) -> Vec<u8> {
    let folder = PathBuf::from(status["cache"]["path"].as_str().unwrap());
    fs::read(folder.join(path)).unwrap()
}

/// Files that lie anywhere below the managed folder under a final name.
fn finals(sandbox: &Sandbox) -> Vec<String> {
    let all = walk(&sandbox.path("artifacts")).into_iter();
    all.filter(|path| path.contains("/snapshots/") || path.contains("/blobs/"))
        .filter(|path| !is_part(path))
        .collect()
}

#[test]
fn a_file_with_a_hash_comes_whole_and_verified() {
    let server = FileServer::start();
    let (big, small) = (content(1, 9 * MIB + 7), content(2, 1000));
    server.serve("/big.bin", Served::new(big.clone()));
    server.serve("/small.txt", Served::new(small.clone()));
    server.serve("/empty", Served::new(Content::bytes("")));
    let sandbox = sandbox("");
    let service = sandbox.serve();
    let body = json!({"model_id": "org/art", "kind": "caption", "files": [
        {"url": server.at("/big.bin?X-Sig=canary"), "path": "w/big.bin", "sha256": big.sha256()},
        {"url": server.at("/small.txt"), "path": "small.txt", "sha256": small.sha256(), "size": 1000},
        {"url": server.at("/empty"), "path": "empty", "sha256": Content::bytes("").sha256()},
    ]});
    let plan = service.http().post("/api/v1/plan", Some(&body)).ok();
    assert_eq!(plan["totals"]["bytes_to_fetch"], 9 * MIB + 1007);
    assert!(
        plan["repo_id"].is_null() && plan["warnings"] == json!([]),
        "{plan:#}"
    );
    assert_eq!(service.register(&body).status, 201);
    assert_eq!(service.register(&body).status, 200);
    assert_eq!(service.start("org/art").status, 202);
    let status = service.wait_completed("org/art");
    assert_eq!(status["cache"]["verified"], true);
    assert_eq!(status["progress"]["bytes_total"], 9 * MIB + 1007);
    assert!(shown(&status, "w/big.bin") == big.read(0..u64::MAX).unwrap());
    assert!(shown(&status, "small.txt") == small.read(0..u64::MAX).unwrap());
    assert_eq!(shown(&status, "empty"), b"");
    let path = status["cache"]["path"].as_str().unwrap();
    assert!(
        path.starts_with(sandbox.path("artifacts").to_str().unwrap()),
        "{path}"
    );
    // Complete is complete: nothing more is asked.
    let asked = server.asked().len();
    assert_eq!(service.start("org/art").status, 200);
    assert_eq!(server.asked().len(), asked);
    // What may be a credential is in the row alone.
    let model = service.http().get("/api/v1/models/org/art").text();
    assert!(
        model.contains("big.bin?***") && !model.contains("canary"),
        "{model}"
    );
    let listed = sandbox.run(&["models", "ls", "--format", "json"]).ok();
    assert!(!listed.contains("canary") && !service.logs().contains("canary"));
    for request in server.asked() {
        let quiet = ["cookie", "referer", "authorization"];
        assert!(
            quiet.iter().all(|name| request.header(name).is_none()),
            "{request:?}"
        );
    }

    // A comparison finds what is wrong, and a repair fetches only that.
    let link = PathBuf::from(path).join("small.txt");
    let blob = fs::canonicalize(&link).unwrap();
    fs::write(&blob, vec![b'x'; 1000]).unwrap();
    let ran = sandbox.run(&["cache", "verify", "org/art"]);
    assert_eq!(ran.code, Some(32), "{ran:#?}");
    let before = server.sent();
    sandbox
        .run(&["cache", "verify", "org/art", "--repair"])
        .ok();
    assert!(server.sent() - before < 2000);
    let status = service.wait_completed("org/art");
    assert!(shown(&status, "small.txt") == small.read(0..u64::MAX).unwrap());

    // Its files go with the registration.
    drop(service);
    let removed = sandbox.run(&["models", "rm", "org/art"]).ok();
    assert!(removed.contains("and its files in"), "{removed}");
    assert_eq!(finals(&sandbox), Vec::<String>::new());
}

#[test]
fn without_a_hash_nothing_is_ever_verified() {
    let server = FileServer::start();
    let file = content(3, 3 * MIB);
    server.serve("/a", Served::new(file.clone()));
    let sandbox = sandbox("");
    let service = sandbox.serve();
    begin(&service, "m", &json!({"url": server.at("/a"), "path": "a"}));
    let status = service.wait_completed("m");
    assert_eq!(status["cache"]["verified"], false);
    assert!(shown(&status, "a") == file.read(0..u64::MAX).unwrap());
    let ran = sandbox.run(&["cache", "verify", "m"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(service.status("m")["cache"]["verified"], false);
    // Not by hand either.
    sandbox.db().execute("UPDATE files SET verified = 1");
    assert_eq!(sandbox.db().value("SELECT sum(verified) FROM files"), 0);
    let job = status["job_id"].as_str().unwrap();
    let files = service
        .http()
        .get(&format!("/api/v1/jobs/{job}/files"))
        .text();
    assert!(!files.contains("0000000000000000"), "{files}");
    let plan = service.http().post("/api/v1/models/m/plan", None).ok();
    assert_eq!(plan["warnings"][0]["code"], "unverified");
    assert_eq!(plan["totals"]["bytes_to_fetch"], 0);
}

/// Starts, kills in the middle, and goes on; answers what came after the kill.
fn killed_and_resumed(file: &Served, content: &Content, hash: bool) -> (u64, Value) {
    let server = FileServer::start();
    server.serve("/f", file.clone().rate(content.size() / 2));
    let sandbox = sandbox("checkpoint_interval = '100ms'\nmax_connections = 2\n");
    let service = sandbox.serve();
    let mut entry = json!({"url": server.at("/f"), "path": "f"});
    if hash {
        entry["sha256"] = json!(content.sha256());
    }
    begin(&service, "m", &entry);
    service.wait_bytes("m", content.size() / 2);
    wait_for(LONG, "a checkpoint is saved", || {
        holds(
            sandbox
                .db()
                .value("SELECT coalesce(sum(bytes_done), 0) FROM files")
                != 0,
        )
    });
    service.kill9();
    assert_eq!(finals(&sandbox), Vec::<String>::new());
    let before = server.sent();
    server.serve("/f", file.clone());
    let service = sandbox.serve();
    let status = service.wait_completed("m");
    assert!(shown(&status, "f") == content.read(0..u64::MAX).unwrap());
    assert_eq!(status["cache"]["verified"], hash);
    (server.sent() - before, status)
}

#[test]
fn a_killed_download_goes_on_with_a_strong_etag_or_a_hash() {
    let file = content(4, 24 * MIB);
    let (again, _) = killed_and_resumed(&Served::new(file.clone()), &file, true);
    assert!(again <= 14 * MIB, "{again}");
    let (again, _) = killed_and_resumed(&Served::new(file.clone()), &file, false);
    assert!(again <= 14 * MIB, "{again}");
    // A hash is enough where the server names no version.
    let (again, _) = killed_and_resumed(&Served::bare(file.clone()), &file, true);
    assert!(again <= 14 * MIB, "{again}");
    // A date counts only when the file was left alone for long enough.
    let old = (
        "Sat, 01 Nov 2025 10:00:00 GMT",
        "Sun, 02 Nov 2025 10:00:00 GMT",
    );
    let dated = Served::bare(file.clone())
        .header("last-modified", old.0)
        .header("date", old.1);
    let (again, _) = killed_and_resumed(&dated, &file, false);
    assert!(again <= 14 * MIB, "{again}");
}

#[test]
fn what_nothing_tells_apart_begins_anew() {
    let file = content(5, 16 * MIB);
    let weak = Served::bare(file.clone()).header("etag", "W/\"a\"");
    let (again, status) = killed_and_resumed(&weak, &file, false);
    assert!(again >= 16 * MIB, "{again}");
    assert_eq!(status["progress"]["bytes_reused"], 0);
}

#[test]
#[ignore = "1 GiB, killed in the middle, with and without a hash"]
fn a_gibibyte_is_killed_and_goes_on() {
    let file = content(6, 1024 * MIB);
    for hash in [true, false] {
        let (again, _) = killed_and_resumed(&Served::new(file.clone()), &file, hash);
        assert!(again <= 600 * MIB, "{again} bytes came after the kill");
    }
}

#[test]
fn a_server_without_ranges_is_read_as_one_stream() {
    let server = FileServer::start();
    let file = content(7, 12 * MIB);
    let sandbox = sandbox("");
    let service = sandbox.serve();
    for (id, served) in [
        ("etag", Served::new(file.clone())),
        ("bare", Served::bare(file.clone())),
    ] {
        let path = format!("/{id}");
        server.serve(&path, served.without_ranges());
        begin(
            &service,
            id,
            &json!({"url": server.at(&path), "path": "f", "sha256": file.sha256()}),
        );
        let status = service.wait_completed(id);
        assert_eq!(status["cache"]["verified"], true);
        assert!(shown(&status, "f") == file.read(0..u64::MAX).unwrap());
    }
    // A broken stream of a file without hash and version is never mended with another one.
    server.serve(
        "/cut",
        Served::bare(file.clone())
            .without_ranges()
            .cut_after(5 * MIB),
    );
    begin(
        &service,
        "cut",
        &json!({"url": server.at("/cut"), "path": "f"}),
    );
    service.wait_status("cut", "it waits", |status| status["state"] == "waiting");
    server.serve("/cut", Served::bare(content(8, 12 * MIB)).without_ranges());
    let status = service.wait_completed("cut");
    assert!(shown(&status, "f") == content(8, 12 * MIB).read(0..u64::MAX).unwrap());
}

#[test]
fn a_file_that_changes_between_attempts_begins_anew_and_says_so() {
    let server = FileServer::start();
    let (old, new) = (content(9, 20 * MIB), content(10, 20 * MIB));
    server.serve("/f", Served::new(old.clone()).rate(4 * MIB));
    let sandbox = sandbox("checkpoint_interval = '100ms'\nmax_connections = 1\n");
    let service = sandbox.serve();
    begin(&service, "m", &json!({"url": server.at("/f"), "path": "f"}));
    service.wait_bytes("m", 6 * MIB);
    server.serve("/f", Served::new(new.clone()));
    service.kill9();
    let service = sandbox.serve();
    let status = service.wait_completed("m");
    assert!(
        shown(&status, "f") == new.read(0..u64::MAX).unwrap(),
        "versions are mixed"
    );
    let told = sandbox
        .db()
        .value("SELECT detail FROM events WHERE kind = 'file_restarted'");
    assert_eq!(told, "f");
    assert!(service.logs().contains("begins anew"));
    let parts = walk(&sandbox.path("artifacts")).into_iter();
    assert_eq!(parts.filter(|path| is_part(path)).count(), 0);

    // Also within one attempt.
    let odd = content(11, 20 * MIB);
    server.serve("/g", Served::new(old).rate(4 * MIB));
    begin(&service, "g", &json!({"url": server.at("/g"), "path": "g"}));
    service.wait_bytes("g", 2 * MIB);
    server.serve("/g", Served::new(odd.clone()));
    let status = service.wait_completed("g");
    assert!(
        shown(&status, "g") == odd.read(0..u64::MAX).unwrap() || {
            // The one connection may have read all of the old version before it was asked again.
            shown(&status, "g") == content(9, 20 * MIB).read(0..u64::MAX).unwrap()
        }
    );
}

#[test]
fn lies_about_hash_and_length_fail_loudly() {
    let server = FileServer::start();
    let file = content(12, 2 * MIB);
    let sandbox = sandbox("max_retries = 2\n");
    let service = sandbox.serve();
    server.serve("/f", Served::new(file.clone()));
    let at = server.at("/f");
    begin(
        &service,
        "hash",
        &json!({"url": at, "path": "f", "sha256": "ab".repeat(32)}),
    );
    let status = failed(&service, "hash");
    assert_eq!(status["error"]["code"], "checksum_mismatch", "{status:#}");
    assert!(status["error"]["remedy"].is_string());
    let asked = server.asked();
    let whole: u64 = asked.iter().map(|asked| asked.sent).sum();
    assert!(
        (6 * MIB..7 * MIB).contains(&whole),
        "fetched again twice: {whole}"
    );

    begin(
        &service,
        "size",
        &json!({"url": at, "path": "f", "size": 5}),
    );
    let status = failed(&service, "size");
    assert_eq!(status["error"]["code"], "size_mismatch", "{status:#}");

    server.serve(
        "/long",
        Served::new(file.clone()).length(Length::Lie(3 * MIB)),
    );
    begin(
        &service,
        "long",
        &json!({"url": server.at("/long"), "path": "f"}),
    );
    let status = failed(&service, "long");
    assert_eq!(status["error"]["code"], "network", "{status:#}");

    server.serve(
        "/untold",
        Served::new(file.clone())
            .without_ranges()
            .length(Length::Untold),
    );
    let untold = server.at("/untold");
    begin(&service, "untold", &json!({"url": untold, "path": "f"}));
    let status = failed(&service, "untold");
    assert_eq!(status["error"]["code"], "not_supported", "{status:#}");
    assert!(status["error"]["remedy"].as_str().unwrap().contains("size"));
    begin(
        &service,
        "told",
        &json!({"url": untold, "path": "f", "size": 2 * MIB}),
    );
    let status = service.wait_completed("told");
    assert!(shown(&status, "f") == file.read(0..u64::MAX).unwrap());

    for (id, status_code, code) in [
        ("gone", 404, "file_not_found"),
        ("closed", 403, "forbidden"),
        ("odd", 418, "not_supported"),
    ] {
        let path = format!("/{id}");
        server.serve(&path, Served::new(file.clone()).status(status_code));
        begin(&service, id, &json!({"url": server.at(&path), "path": "f"}));
        let status = failed(&service, id);
        assert_eq!(status["error"]["code"], code, "{status:#}");
        assert!(!status.to_string().contains("SECRET"));
    }
    assert!(!service.logs().contains("SECRET"));
    server.serve(
        "/page",
        Served::bare(Content::bytes("<html>"))
            .without_ranges()
            .header("content-type", "text/html"),
    );
    begin(
        &service,
        "page",
        &json!({"url": server.at("/page"), "path": "f.bin"}),
    );
    assert_eq!(failed(&service, "page")["error"]["code"], "bad_response");
    assert!(
        finals(&sandbox).iter().all(|path| path.contains("told-")),
        "{:?}",
        finals(&sandbox)
    );
}

#[test]
fn a_credential_goes_to_its_own_origin_and_is_never_seen() {
    const SECRET: &str = "canary-of-the-server";
    let (server, other) = (FileServer::start(), FileServer::start());
    let file = content(13, 100_000);
    server.serve("/f", Served::new(file.clone()).needs("x-api-key", SECRET));
    other.serve("/f", Served::new(file.clone()));
    let to = other.at("/f");
    server.serve(
        "/away",
        Served::new(file.clone())
            .header("location", &to)
            .status(302),
    );
    let sandbox = sandbox(&format!(
        "\n[[credential]]\nname = 'mine'\nhost = '{}'\nheader = 'X-Api-Key'\ntoken_env = 'MINE'\n",
        server.origin()
    ))
    .env("MINE", SECRET);
    let service = sandbox.serve();
    let file = |path: &str| json!({"url": server.at(path), "path": "f", "credential": "mine"});
    begin(&service, "m", &file("/f"));
    service.wait_completed("m");
    begin(&service, "away", &file("/away"));
    service.wait_completed("away");
    let came = |server: &FileServer| {
        let asked = server.asked();
        assert!(!asked.is_empty());
        asked
            .iter()
            .filter(|asked| asked.header("x-api-key") == Some(SECRET))
            .count()
    };
    assert!(came(&server) >= 2);
    assert_eq!(came(&other), 0, "it went to another origin");
    for (id, file, field) in [
        (
            "no",
            json!({"url": server.at("/f"), "path": "f", "credential": "none"}),
            "credential",
        ),
        (
            "else",
            json!({"url": to, "path": "f", "credential": "mine"}),
            "credential",
        ),
        (
            "user",
            json!({"url": "http://me:pw@h/f", "path": "f"}),
            "credential",
        ),
    ] {
        let reply = service.register(&json!({"model_id": id, "files": [file]}));
        assert_eq!(reply.status, 422);
        assert!(
            reply.text().contains(field) && !reply.text().contains("pw@"),
            "{}",
            reply.text()
        );
    }
    begin(
        &service,
        "bare",
        &json!({"url": server.at("/f"), "path": "f"}),
    );
    let status = failed(&service, "bare");
    assert_eq!(status["error"]["code"], "token_missing", "{status:#}");
    drop(service);
    let shown = sandbox.run(&["config", "show"]).ok();
    assert!(shown.contains("mine for http://") && !shown.contains(SECRET));
    for path in walk(&sandbox.path("")) {
        let bytes = fs::read(sandbox.path(&path)).unwrap_or_default();
        let seen = bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes());
        assert!(!seen, "{path} holds the secret");
    }
}

#[test]
fn the_command_line_registers_pulls_and_purges() {
    let server = FileServer::start();
    let file = content(14, 8 * MIB);
    server.serve("/dir/f.bin", Served::new(file.clone()).cut_after(3 * MIB));
    let sandbox = sandbox("max_retries = 1\nmax_connections = 1\n");
    let url = server.at("/dir/f.bin");
    let added = [
        "models",
        "add",
        "cli",
        "--url",
        &url,
        "--sha256",
        file.sha256(),
    ];
    assert_eq!(sandbox.run(&added).ok().trim(), "added cli");
    let ran = sandbox.run(&["models", "add", "bad", "--url", "http://10.1.2.3/x"]);
    assert!(
        ran.code == Some(2) && ran.stderr.contains("not public"),
        "{ran:#?}"
    );
    let table = sandbox.run(&["plan", "cli"]).ok();
    assert!(
        table.contains("f.bin") && table.contains("folder"),
        "{table}"
    );
    server.serve("/dir/f.bin", Served::new(file.clone()));
    let path = sandbox.run(&["pull", "cli"]).ok();
    let bytes = fs::read(PathBuf::from(path.trim()).join("f.bin")).unwrap();
    assert!(bytes == file.read(0..u64::MAX).unwrap());

    // What is under way can be thrown away.
    server.serve("/slow", Served::new(file.clone()).rate(MIB));
    let service = sandbox.serve();
    begin(
        &service,
        "slow",
        &json!({"url": server.at("/slow"), "path": "s"}),
    );
    service.wait_bytes("slow", 2 * MIB);
    sandbox.run(&["clear", "slow", "--purge"]).ok();
    let parts = || {
        walk(&sandbox.path("artifacts"))
            .into_iter()
            .filter(|path| is_part(path))
            .count()
    };
    wait_for(LONG, "the part is gone", || holds(parts() == 0));
    let status = service.status("slow");
    assert_eq!(status["state"], "not_started", "{status:#}");
    // A new address of the same content goes on with what is here.
    server.serve("/moved", Served::new(file.clone()));
    let body = json!({"files": [{"url": server.at("/moved"), "path": "f.bin", "sha256": file.sha256()}], "model_id": "cli"});
    assert_eq!(service.register(&body).status, 409);
    let token = fs::read_to_string(sandbox.path("admin-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let put = service.http().request(
        "PUT",
        "/api/v1/models/cli",
        &[("Authorization", &bearer)],
        Some(&body),
    );
    assert_eq!(put.status, 200, "{}", put.text());
    let before = server.sent();
    assert_eq!(service.start("cli").status, 202);
    service.wait_completed("cli");
    assert!(server.sent() - before < MIB, "it was fetched again");
}

#[test]
fn a_file_of_this_machine_comes_from_allowed_folders_only() {
    let sandbox = sandbox("");
    let (allowed, other) = (sandbox.path("srv"), sandbox.path("other"));
    let body = content(5, 3 * MIB).read(0..3 * MIB).unwrap();
    for folder in [&allowed, &other] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("x.bin"), &body).unwrap();
    }
    std::os::unix::fs::symlink(other.join("x.bin"), allowed.join("out.bin")).unwrap();
    let config = sandbox.path("home/.config/modelhaul/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let roots = format!("{text}file_roots = ['{}']\n", allowed.display());
    fs::write(&config, roots).unwrap();
    let service = sandbox.serve();
    let file =
        |path: PathBuf| json!({"url": format!("file://{}", path.display()), "path": "x.bin"});
    begin(&service, "local", &file(allowed.join("x.bin")));
    let status = service.wait_completed("local");
    assert!(shown(&status, "x.bin") == body);
    let outside = json!({"model_id": "outside", "files": [file(other.join("x.bin"))]});
    let refused = service.register(&outside);
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("file_roots"), "{}", refused.text());
    begin(&service, "link", &file(allowed.join("out.bin")));
    let status = failed(&service, "link");
    assert_eq!(status["error"]["code"], "blocked_address", "{status:#}");
    service.stop();
}
