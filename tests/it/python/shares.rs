//! Both sides at the same time: locks are respected, nothing is fetched twice, the end is right.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::json;

use crate::support::{SHORT, Venv, holds, wait_for};
use crate::world::{MODEL, WDV3, assert_tidy, hub, only, sandbox, wdv3};

/// Takes the lock of a blob as `huggingface_hub` does, says so, and keeps it until its input ends.
const HOLD: &str = "
import os, sys
from huggingface_hub.utils import WeakFileLock
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
with WeakFileLock(sys.argv[1]):
    print('held', flush=True)
    sys.stdin.read()
";

/// Downloads one file and says when.
const ONE: &str = "
import sys
from huggingface_hub import hf_hub_download
print(hf_hub_download(sys.argv[1], sys.argv[2]))
";

const ALL: &str = "
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], max_workers=2))
";

fn etag(path: &str) -> String {
    let spec = wdv3();
    let file = spec.files().iter().find(|file| file.path == path).unwrap();
    file.etag().to_owned()
}

#[test]
fn a_file_that_python_holds_is_waited_for() {
    for venv in Venv::all() {
        let hub = hub();
        let sandbox = sandbox(&hub);
        let lock = sandbox
            .cache()
            .join(".locks")
            .join(format!("models--{}", WDV3.replace('/', "--")))
            .join(format!("{}.lock", etag("model.onnx")));
        let mut python = venv
            .command(&sandbox, HOLD, &[&lock.display().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(python.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert_eq!(said, "held\n");

        let service = sandbox.serve();
        let body =
            json!({"model_id": "wd", "kind": "caption", "repo_id": WDV3, "template": "wdv3"});
        assert_eq!(service.register(&body).status, 201);
        assert_eq!(service.start("wd").status, 202);
        let status = service.wait_status("wd", "waits for the lock", |status| {
            status["waiting"]["reason"] == "cache_locked"
        });
        assert_eq!(status["status"], "downloading");
        assert_eq!(status["error"]["code"], "cache_locked", "{status:#}");
        assert_eq!(
            hub.requests_for("*model.onnx").len(),
            0,
            "not a byte of a file that another one downloads"
        );

        let mut stdin = python.stdin.take().unwrap();
        stdin.flush().unwrap();
        drop(stdin);
        assert!(python.wait().unwrap().success());
        service.wait_completed("wd");
        service.stop();
        assert_tidy(&sandbox);
    }
}

#[test]
fn python_waits_for_a_file_that_modelhaul_holds() {
    for venv in Venv::all() {
        let hub = hub();
        hub.tune(|settings| settings.rate_total = 2_000_000);
        let sandbox = sandbox(&hub);
        let service = sandbox.serve();
        let body =
            json!({"model_id": "wd", "kind": "caption", "repo_id": WDV3, "template": "wdv3"});
        service.register(&body).ok();
        service.start("wd").ok();
        service.wait_bytes("wd", 500_000);
        let path = venv.python(&sandbox, ONE, &[WDV3, "model.onnx"]).ok();
        service.wait_completed("wd");
        let tagger = only(&wdv3(), &["model.onnx", "selected_tags.csv"]);
        let commit = hub.head(WDV3, "main").unwrap();
        sandbox.assert_snapshot(&tagger, &commit);
        assert!(path.contains(&commit), "{path}");
        let sent = hub.bytes_sent(&format!("{WDV3}/model.onnx"));
        assert!(
            sent < MODEL + MODEL / 2,
            "{sent} of {MODEL} bytes were sent"
        );
        service.stop();
        assert_tidy(&sandbox);
    }
}

#[test]
fn both_download_the_same_repository_at_once() {
    for venv in Venv::all() {
        let hub = hub();
        hub.tune(|settings| settings.rate_total = 8_000_000);
        let sandbox = sandbox(&hub);
        let mut python = venv
            .command(&sandbox, ALL, &[WDV3])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut pull = sandbox
            .modelhaul(&["pull", WDV3])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert!(pull.wait().unwrap().success());
        assert!(python.wait().unwrap().success());
        let commit = hub.head(WDV3, "main").unwrap();
        sandbox.assert_snapshot(&wdv3(), &commit);
        assert_eq!(sandbox.cached_ref(WDV3, "main"), Some(commit));
        let mut expected: Vec<String> = wdv3()
            .files()
            .iter()
            .map(|file| file.etag().to_owned())
            .collect();
        expected.sort();
        assert_eq!(sandbox.blobs(WDV3), expected);
        wait_for(SHORT, "nothing is left", || {
            holds(std::panic::catch_unwind(|| assert_tidy(&sandbox)).is_ok())
        });
    }
}
