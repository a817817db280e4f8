//! `cache ls`, `cache verify` and `cache rm` over a cache that several programs filled, beside `huggingface_hub`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use modelhaul::testing::{HubConfig, PracticeHub, RepoSpec};
use serde_json::{Value, json};

use crate::support::{Ran, Sandbox, Venv};

const ID: &str = "practice/cached";
const OTHER: &str = "practice/other";
const XET: &str = "aa11111111111111111111111111111111111111111111111111111111111111";

/// The first commit of the repository; the second one changes one file and keeps the big one.
fn first() -> RepoSpec {
    RepoSpec::new(ID)
        .file("config.json", "{\"v\": 1}")
        .file("sub/copy.json", "{\"v\": 1}")
        .generated("model.bin", 1_000_001)
}

fn second() -> RepoSpec {
    RepoSpec::new(ID)
        .file("config.json", "{\"v\": 2}")
        .generated("model.bin", 1_000_001)
        .generated("new.bin", 500_001)
}

fn hub() -> PracticeHub {
    let other = RepoSpec::new(OTHER).generated("w.bin", 300_000);
    PracticeHub::start(HubConfig::with([first(), other])).unwrap()
}

/// Downloads both commits by the product; answers them.
fn two_revisions(hub: &PracticeHub, sandbox: &Sandbox) -> (String, String) {
    let old = hub.head(ID, "main").unwrap();
    sandbox.run(&["pull", "-q", ID]).ok();
    let new = hub.add_repo(&second());
    sandbox.run(&["pull", "-q", ID]).ok();
    (old, new)
}

#[track_caller]
fn ls(sandbox: &Sandbox) -> Value {
    let text = sandbox.run(&["cache", "ls", "--format", "json"]).ok();
    serde_json::from_str(&text).unwrap()
}

fn blob(sandbox: &Sandbox, spec: &RepoSpec, path: &str) -> PathBuf {
    let file = spec.files().iter().find(|file| file.path == path).unwrap();
    sandbox
        .repo_folder(spec.id())
        .join("blobs")
        .join(file.etag())
}

/// A repository of the layout that newer clients make: its blob is a link into the shared store.
fn add_shared(sandbox: &Sandbox, folder: &str) {
    let payload = sandbox.cache().join("blobs/aa").join(XET);
    if !payload.exists() {
        fs::create_dir_all(payload.parent().unwrap()).unwrap();
        fs::write(
            sandbox.cache().join("blobs/.huggingface-shared-blobs"),
            "1\n",
        )
        .unwrap();
        fs::write(&payload, vec![7; 40_000]).unwrap();
    }
    let (etag, commit) = ("b".repeat(64), "c".repeat(40));
    let repo = sandbox.cache().join(folder);
    for name in ["blobs", "refs"] {
        fs::create_dir_all(repo.join(name)).unwrap();
    }
    let snapshot = repo.join("snapshots").join(&commit);
    fs::create_dir_all(&snapshot).unwrap();
    let store = format!("../../blobs/aa/{XET}");
    symlink(store, repo.join("blobs").join(&etag)).unwrap();
    symlink(format!("../../blobs/{etag}"), snapshot.join("x.bin")).unwrap();
    fs::write(repo.join("refs/main"), commit).unwrap();
    let manifest = payload.with_file_name(format!("{XET}.refs"));
    let mut lines = fs::read_to_string(&manifest).unwrap_or_default();
    lines.extend([folder, "/blobs/", &etag, "\n"]);
    fs::write(manifest, lines).unwrap();
}

const SCAN: &str = "
import json
from huggingface_hub import scan_cache_dir
info = scan_cache_dir()
assert not info.warnings, info.warnings
print(json.dumps({
    'size_on_disk': info.size_on_disk,
    'repos': {r.repo_type + '/' + r.repo_id: {
        'size_on_disk': r.size_on_disk, 'files': r.nb_files,
        'last_modified': int(r.last_modified),
        'revisions': {v.commit_hash: [v.size_on_disk, v.nb_files, sorted(v.refs)] for v in r.revisions},
    } for r in info.repos},
}))
";

/// The report in the shape of the script's answer.
fn as_python(report: &Value) -> Value {
    let repos = report["repos"].as_array().unwrap().iter().map(|repo| {
        let revisions = repo["revisions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|revision| {
                let facts = json!([
                    revision["size_on_disk"],
                    revision["files"],
                    revision["refs"]
                ]);
                (revision["commit"].as_str().unwrap().to_owned(), facts)
            });
        let id = |name: &str| repo[name].as_str().unwrap();
        let written = chrono_seconds(id("last_modified"));
        let facts = json!({
            "size_on_disk": repo["size_on_disk"], "files": repo["files"], "last_modified": written,
            "revisions": revisions.collect::<serde_json::Map<_, _>>(),
        });
        (format!("{}/{}", id("repo_type"), id("repo_id")), facts)
    });
    json!({"size_on_disk": report["size_on_disk"], "repos": repos.collect::<serde_json::Map<_, _>>()})
}

fn chrono_seconds(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text)
        .unwrap()
        .timestamp()
}

#[test]
fn sizes_refs_and_times_are_those_of_scan_cache_dir() {
    let Some(venv) = Venv::hub2() else { return };
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    two_revisions(&hub, &sandbox);
    sandbox.run(&["cache", "verify", ID]).ok();
    let script =
        "from huggingface_hub import snapshot_download; snapshot_download('practice/other')";
    venv.python(&sandbox, script, &[]).ok();
    add_shared(&sandbox, "models--practice--one");
    add_shared(&sandbox, "datasets--practice--two");
    let scanned: Value = serde_json::from_str(&venv.python(&sandbox, SCAN, &[]).ok()).unwrap();
    let report = ls(&sandbox);
    assert_eq!(as_python(&report), scanned);
    let repo = |id: &str| {
        let mut repos = report["repos"].as_array().unwrap().iter();
        repos.find(|repo| repo["repo_id"] == id).unwrap().clone()
    };
    let sum: u64 = report["repos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["size_on_disk"].as_u64().unwrap())
        .sum();
    assert_eq!(
        sum - report["size_on_disk"].as_u64().unwrap(),
        40_000,
        "shared content counts once"
    );
    let owned = repo(ID)["revisions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["refs"] == json!(["main"]))
        .unwrap()
        .clone();
    assert_eq!(
        (&owned["models"], &owned["complete"], &owned["verified"]),
        (&json!([ID]), &json!(true), &json!(true))
    );
    assert_eq!(repo(OTHER)["revisions"][0]["models"], json!([]));

    // What only this program looks for does not disturb the numbers.
    let blobs = sandbox.repo_folder(OTHER).join("blobs");
    fs::write(
        blobs.join(format!("{}.0123abcd.part", "d".repeat(64))),
        "part",
    )
    .unwrap();
    fs::write(
        blobs.join(format!("{}.incomplete", "e".repeat(64))),
        "foreign",
    )
    .unwrap();
    fs::write(blobs.join("f".repeat(64)), "unlinked").unwrap();
    let report = ls(&sandbox);
    assert_eq!(as_python(&report), scanned);
    assert_eq!(
        report["repos"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["partial"].as_array().unwrap().len())
            .sum::<usize>(),
        2
    );
    assert!(report["partial_size"].as_u64().unwrap() > 0);
    let table = sandbox.run(&["cache", "ls"]).ok();
    assert!(
        table.contains("dataset/practice/two") && table.contains("unfinished  practice/other"),
        "{table}"
    );
}

#[test]
fn a_revision_goes_and_what_another_one_needs_stays() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    let (old, new) = two_revisions(&hub, &sandbox);
    let target = format!("{ID}@{old}");
    // Without a terminal nobody can be asked.
    assert_eq!(sandbox.run(&["cache", "rm", &target]).code, Some(2));
    let before = ls(&sandbox);
    let text = sandbox
        .run(&["cache", "rm", &target, "--dry-run", "--format", "json"])
        .ok();
    let planned: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        planned["freed_size"], 8,
        "only the old config, which two names share: {planned:#}"
    );
    assert_eq!(ls(&sandbox), before, "a dry run touches nothing");
    let text = sandbox
        .run(&["cache", "rm", &target, "--yes", "--format", "json"])
        .ok();
    let removed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&removed["freed_size"], &removed["dry_run"]),
        (&json!(8), &json!(false))
    );
    assert!(!blob(&sandbox, &first(), "config.json").exists());
    sandbox.assert_snapshot(&second(), &new);
    assert_eq!(sandbox.cached_ref(ID, "main"), Some(new));
    assert_eq!(
        sandbox
            .run(&["status", ID, "--format", "json"])
            .ok()
            .matches("\"completed\"")
            .count(),
        2
    );
    assert_eq!(
        sandbox.run(&["cache", "rm", &target, "--yes"]).code,
        Some(3),
        "it is gone"
    );
    let left: Vec<_> = fs::read_dir(sandbox.cache().join(".locks"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().ends_with(".trash")),
        "{left:?}"
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the host's own python3 is found by its PATH"
)]
fn a_terminal_sees_what_would_go_and_nothing_goes() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    let (old, _) = two_revisions(&hub, &sandbox);
    let before = ls(&sandbox);
    let on_a_terminal =
        "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut command = sandbox.command("python3");
    command.args(["-c", on_a_terminal, env!("CARGO_BIN_EXE_modelhaul")]);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.args(["cache", "rm", &format!("{ID}@{old}")]);
    let shown = Ran::from(command.output().unwrap()).ok();
    assert!(
        shown.contains("would remove") && shown.contains("add --yes"),
        "{shown}"
    );
    assert_eq!(ls(&sandbox), before, "nobody said yes");
}

#[test]
fn a_whole_repository_goes_with_its_parts_and_its_registration_knows() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    two_revisions(&hub, &sandbox);
    let part = sandbox
        .repo_folder(ID)
        .join("blobs")
        .join(format!("{}.0123abcd.part", "d".repeat(64)));
    fs::write(part, "part").unwrap();
    let text = sandbox.run(&["cache", "rm", ID, "--yes"]).ok();
    assert!(
        text.contains("with the repository's folder") && text.contains(&format!("used by {ID}")),
        "{text}"
    );
    assert!(!sandbox.repo_folder(ID).exists());
    let status: Value =
        serde_json::from_str(&sandbox.run(&["status", ID, "--format", "json"]).ok()).unwrap();
    assert_eq!(
        (&status["status"], &status["cache"]["state"]),
        (&json!("not_started"), &json!("absent"))
    );
    assert_eq!(
        sandbox
            .db()
            .value("SELECT count(*) FROM models WHERE ready_at_ms IS NOT NULL"),
        0
    );
    sandbox.run(&["pull", "-q", ID]).ok();
    sandbox.assert_snapshot(&second(), &hub.head(ID, "main").unwrap());
    sandbox.db().assert_sound();
}

#[test]
fn shared_content_stays_until_its_last_user_goes_and_links_are_not_followed() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    add_shared(&sandbox, "models--practice--one");
    add_shared(&sandbox, "datasets--practice--two");
    let payload = sandbox.cache().join("blobs/aa").join(XET);
    let manifest = payload.with_file_name(format!("{XET}.refs"));
    let freed = |target: &str| {
        let text = sandbox
            .run(&["cache", "rm", target, "--yes", "--format", "json"])
            .ok();
        serde_json::from_str::<Value>(&text).unwrap()["freed_size"].clone()
    };
    assert_eq!(freed("practice/one"), 0);
    assert!(payload.exists());
    assert_eq!(fs::read_to_string(&manifest).unwrap().lines().count(), 1);
    assert_eq!(freed("dataset/practice/two"), 40_000);
    assert!(!payload.exists() && !manifest.exists());

    // Without a manifest nobody knows who else uses it.
    add_shared(&sandbox, "models--practice--one");
    fs::remove_file(&manifest).unwrap();
    assert_eq!(freed("practice/one"), 0);
    assert!(payload.exists());

    // A file that somebody linked into a snapshot from elsewhere is not the cache's to delete.
    let mine = sandbox.path("home/mine.bin");
    fs::write(&mine, "mine").unwrap();
    let snapshot = sandbox
        .repo_folder("practice/odd")
        .join("snapshots")
        .join("a".repeat(40));
    fs::create_dir_all(snapshot.join("sub")).unwrap();
    symlink(&mine, snapshot.join("sub/linked.bin")).unwrap();
    symlink(sandbox.path("home"), snapshot.join("folder")).unwrap();
    freed("practice/odd");
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    assert!(!sandbox.repo_folder("practice/odd").exists());
}

#[test]
fn nothing_goes_while_a_job_is_active_or_another_program_holds_a_lock() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub).env("MODELHAUL_ADMIN_TOKEN", "a-token-for-the-tests");
    let (old, _) = two_revisions(&hub, &sandbox);
    let service = sandbox.serve();
    sandbox.db().execute("UPDATE settings SET paused = 1");
    let path = format!("/api/v1/models/{}/verify", ID.replace('/', "%2F"));
    assert_eq!(service.http().post(&path, None).status, 202);
    let remove = |query: &str, token: Option<&str>| {
        let value = format!("Bearer {}", token.unwrap_or_default());
        let headers = [("Authorization", value.as_str())];
        let headers = if token.is_some() { &headers[..] } else { &[] };
        service.http().request(
            "DELETE",
            &format!("/api/v1/cache/{ID}/{old}{query}"),
            headers,
            None,
        )
    };
    let token = Some("a-token-for-the-tests");
    assert_eq!(remove("", None).status, 401);
    assert_eq!(remove("?dry_run=true", token).ok()["freed_size"], 8);
    let refused = remove("", token);
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (409, &json!("model_busy"))
    );
    assert_eq!(sandbox.run(&["cache", "rm", ID, "--yes"]).code, Some(75));
    let cancel = format!("/api/v1/models/{}/cancel", ID.replace('/', "%2F"));
    service.http().post(&cancel, None).ok();

    let etag = first().files()[0].etag().to_owned();
    let lock = lock_file(&sandbox, &etag);
    lock.try_lock().unwrap();
    let refused = remove("", token);
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (503, &json!("cache_locked"))
    );
    assert!(blob(&sandbox, &first(), "config.json").exists());
    lock.unlock().unwrap();
    assert_eq!(remove("", token).ok()["freed_size"], 8);
    assert_eq!(remove("", token).status, 404);
    let report = service.http().get("/api/v1/cache").ok();
    assert_eq!(report["repos"][0]["revisions"].as_array().unwrap().len(), 1);
    let asked = service.http().request(
        "POST",
        "/api/v1/cache/verify",
        &[("Authorization", "Bearer a-token-for-the-tests")],
        None,
    );
    assert_eq!(
        (asked.status, &asked.json()["jobs"][0]["created"]),
        (202, &json!(true))
    );
}

fn lock_file(sandbox: &Sandbox, etag: &str) -> fs::File {
    let folder = sandbox
        .cache()
        .join(".locks")
        .join(format!("models--{}", ID.replace('/', "--")));
    fs::create_dir_all(&folder).unwrap();
    fs::File::create(folder.join(format!("{etag}.lock"))).unwrap()
}

fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[1] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_command_line_verifies_what_is_registered_and_what_is_not_and_repairs() {
    let hub = hub();
    let sandbox = Sandbox::with(&hub);
    sandbox.run(&["pull", "-q", ID]).ok();
    // A snapshot that no registration speaks of.
    let commit = hub.head(OTHER, "main").unwrap();
    sandbox.run(&["pull", "-q", OTHER]).ok();
    sandbox.run(&["models", "rm", OTHER]).ok();
    let text = sandbox.run(&["cache", "verify"]).ok();
    assert!(text.contains(&format!("{ID}: 3 files are right")), "{text}");
    assert!(
        text.contains(&format!("{OTHER}@{commit}: 1 files are right")),
        "{text}"
    );

    spoil(&blob(&sandbox, &first(), "model.bin"));
    let ran = sandbox.run(&["cache", "verify", ID, "--format", "json"]);
    assert_eq!(ran.code, Some(32), "{ran:#?}");
    assert!(ran.stderr.contains("model.bin"), "{ran:#?}");
    hub.reset_records();
    sandbox.run(&["cache", "verify", ID, "--repair"]).ok();
    assert_eq!(hub.requests_for(&format!("{ID}/config.json")).len(), 0);
    assert!(hub.counters().cdn_bytes >= 1_000_001);
    sandbox.assert_snapshot(&first(), &hub.head(ID, "main").unwrap());

    let other = RepoSpec::new(OTHER).generated("w.bin", 300_000);
    spoil(&blob(&sandbox, &other, "w.bin"));
    assert_eq!(sandbox.run(&["cache", "verify", OTHER]).code, Some(32));
    assert_eq!(
        sandbox.run(&["cache", "verify", OTHER, "--repair"]).code,
        Some(2)
    );
    assert_eq!(
        sandbox.run(&["cache", "verify", "nobody/none"]).code,
        Some(3)
    );
}
