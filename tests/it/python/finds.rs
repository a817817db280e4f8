//! What one side downloaded, the other one finds: whole, without a request.

use serde_json::{Value, json};

use modelhaul::testing::RepoSpec;

use crate::support::{Sandbox, Venv};
use crate::world::{JTP2, WDV3, assert_tidy, hub, jtp2, only, sandbox, wdv3};

/// Looks at a repository as an app would, with the network switched off.
const LOOK: &str = "
import json, os, sys
os.environ['HF_HUB_OFFLINE'] = '1'
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache
repo, patterns, files = json.loads(sys.argv[1])
folder = snapshot_download(repo, local_files_only=True, allow_patterns=patterns)
for name in files:
    path = try_to_load_from_cache(repo, name)
    assert isinstance(path, str), (name, path)
    assert path == os.path.join(folder, name), (path, folder)
    assert hf_hub_download(repo, name) == path
    assert os.path.getsize(path) > 0
cache = scan_cache_dir()
# The old clients know no CACHEDIR.TAG and say so.
warnings = [str(w) for w in cache.warnings if 'CACHEDIR.TAG' not in str(w)]
assert not warnings, warnings
[found] = [r for r in cache.repos if r.repo_id == repo]
[revision] = found.revisions
assert 'main' in revision.refs, revision
print(json.dumps([folder, sorted(str(f.file_path.relative_to(revision.snapshot_path)) for f in revision.files)]))
";

fn look(venv: &Venv, sandbox: &Sandbox, repo: &str, patterns: &Value, files: &[&str]) {
    let question = json!([repo, patterns, files]).to_string();
    let answer = venv.python(sandbox, LOOK, &[&question]).ok();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let mut expected = files.to_vec();
    expected.sort_unstable();
    assert_eq!(answer[1], json!(expected));
}

fn paths(spec: &RepoSpec) -> Vec<&str> {
    spec.files().iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn python_finds_each_selection_that_was_pulled() {
    let onnx = only(&wdv3(), &["model.onnx"]);
    let tagger = only(&wdv3(), &["model.onnx", "selected_tags.csv"]);
    let pilot = only(
        &jtp2(),
        &["JTP_PILOT2/tags.json", "JTP_PILOT2/e3.safetensors"],
    );
    for venv in Venv::all() {
        let hub = hub();
        for (arguments, files, patterns) in [
            (&[WDV3, "-i", "*.onnx"][..], &onnx, json!(["*.onnx"])),
            (
                &[WDV3, "--template", "wdv3"],
                &tagger,
                json!(paths(&tagger)),
            ),
            (
                &[JTP2, "--template", "jtp2"],
                &pilot,
                json!(["JTP_PILOT2/*"]),
            ),
            (&[WDV3], &wdv3(), Value::Null),
            (&[JTP2], &jtp2(), Value::Null),
        ] {
            let sandbox = sandbox(&hub);
            let printed = sandbox.run(&[&["pull"], arguments].concat()).ok();
            let commit = hub.head(files.id(), "main").unwrap();
            assert!(printed.trim_end().ends_with(&commit), "{printed}");
            sandbox.assert_snapshot(files, &commit);
            hub.reset_records();
            look(&venv, &sandbox, files.id(), &patterns, &paths(files));
            assert_eq!(hub.counters().hub_requests, 0, "{arguments:?}");
            assert_tidy(&sandbox);
        }
    }
}

#[test]
fn a_listing_is_left_for_python_only_when_the_whole_commit_is_here() {
    let Some(venv) = Venv::hub2() else { return };
    let hub = hub();
    let sandbox = sandbox(&hub);
    let commit = hub.head(WDV3, "main").unwrap();
    let listing = sandbox
        .repo_folder(WDV3)
        .join("trees")
        .join(format!("{commit}.json"));
    sandbox.run(&["pull", WDV3, "-i", "*.onnx"]).ok();
    assert!(!listing.exists(), "a part is not the whole");
    sandbox.run(&["pull", WDV3]).ok();
    assert!(listing.exists());

    // Python takes the listing as the measure: it refuses a snapshot that lost a file.
    let link = sandbox.repo_folder(WDV3).join("snapshots").join(&commit);
    std::fs::remove_file(link.join("config.json")).unwrap();
    let script = "
import sys
from huggingface_hub import snapshot_download
try:
    snapshot_download(sys.argv[1], local_files_only=True)
except Exception as error:
    print(type(error).__name__)
";
    let named = venv.python(&sandbox, script, &[WDV3]).ok();
    assert_eq!(named.trim(), "IncompleteSnapshotError");
    // And so does modelhaul: the link comes back without a byte of the file.
    hub.reset_records();
    sandbox.run(&["pull", WDV3]).ok();
    sandbox.assert_snapshot(&wdv3(), &commit);
    assert_eq!(hub.counters().cdn_requests, 0);
}

#[test]
fn the_hashes_stand_python_s_own_check() {
    // The old client has no such command.
    let Some(venv) = Venv::hub2() else { return };
    let hub = hub();
    let sandbox = sandbox(&hub);
    sandbox.run(&["pull", JTP2]).ok();
    let verified = venv.hf(
        &sandbox,
        &[
            "cache",
            "verify",
            JTP2,
            "--fail-on-missing-files",
            "--fail-on-extra-files",
        ],
    );
    assert_eq!(verified.code, Some(0), "{verified:#?}");
}

/// Python downloads the tagger: some of it, or all.
const GET: &str = "
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], allow_patterns=sys.argv[2:] or None))
";

#[test]
fn what_python_downloaded_is_complete_without_a_request() {
    let tagger = ["model.onnx", "selected_tags.csv"];
    for venv in Venv::all() {
        for patterns in [&tagger[..], &[]] {
            let hub = hub();
            let mut sandbox = sandbox(&hub);
            // One registration before Python comes, one after.
            let add = |id: &str| {
                let line = [
                    "models",
                    "add",
                    id,
                    WDV3,
                    "--kind",
                    "caption",
                    "--template",
                    "wdv3",
                ];
                sandbox.run(&line).ok()
            };
            add("early");
            let folder = venv
                .python(&sandbox, GET, &[&[WDV3], patterns].concat())
                .ok();
            hub.reset_records();
            add("late");
            let service = sandbox.serve();
            let late = service.http().get("/api/v1/models/late").ok();
            assert_eq!(late["complete"]["files"], 2, "{late:#}");
            for id in ["late", "early"] {
                let status = service.status(id);
                assert_eq!(status["status"], "completed", "{status:#}");
                assert_eq!(status["state"], "completed");
                assert_eq!(status["cache"]["path"], folder.trim());
                assert_eq!(status["cache"]["verified"], false, "nobody compared hashes");
                assert_eq!(status["progress"]["percent"], 100.0);
                let started = service.start(id);
                assert_eq!(started.status, 200, "{}", started.text());
                assert_eq!(started.json()["created"], false);
            }
            service.stop();
            assert_eq!(hub.requests().len(), 0, "{:#?}", hub.requests());
            sandbox.set_env("HF_HUB_OFFLINE", "1");
            let pulled = sandbox.run(&["pull", "early"]).ok();
            assert_eq!(pulled, folder);
        }
    }
}

#[test]
fn what_python_left_unfinished_is_not_complete() {
    for venv in Venv::all() {
        let hub = hub();
        let sandbox = sandbox(&hub);
        venv.python(&sandbox, GET, &[WDV3, "selected_tags.csv"])
            .ok();
        sandbox
            .run(&["models", "add", "wd", WDV3, "--template", "wdv3"])
            .ok();
        let status = sandbox.run(&["status", "wd", "--format", "json"]).ok();
        let status: Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["status"], "not_started", "{status:#}");
        assert_eq!(status["cache"]["missing"], json!(["model.onnx"]));
        // The file that is here is not fetched again.
        hub.reset_records();
        sandbox.run(&["pull", "wd"]).ok();
        assert_eq!(hub.requests_for("*selected_tags.csv").len(), 0);
        let commit = hub.head(WDV3, "main").unwrap();
        let tagger = only(&wdv3(), &["model.onnx", "selected_tags.csv"]);
        sandbox.assert_snapshot(&tagger, &commit);
    }
}
