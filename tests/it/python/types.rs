//! Data sets and spaces lie where Python looks for them.

use modelhaul::testing::RepoSpec;
use serde_json::{Value, json};

use crate::queue::kit::hub;
use crate::support::{Sandbox, Venv};

/// Finds a repository with the network switched off, and what the cache says of it.
const LOOK: &str = "
import json, os, sys
os.environ['HF_HUB_OFFLINE'] = '1'
from huggingface_hub import scan_cache_dir, snapshot_download
repo, kind = sys.argv[1:]
folder = snapshot_download(repo, repo_type=kind)
[found] = [r for r in scan_cache_dir().repos if (r.repo_id, r.repo_type) == (repo, kind)]
print(json.dumps([folder, sorted(os.listdir(folder))]))
";

#[test]
fn a_data_set_and_a_space_are_found_by_python() {
    let specs = ["datasets/me/words", "spaces/me/words", "me/words"].map(|id| {
        RepoSpec::new(id)
            .file("README.md", format!("{id}\n").as_str())
            .generated("data/train.parquet", 200_001)
    });
    let hub = hub(0, specs.clone());
    let sandbox = Sandbox::with(&hub);
    sandbox.run(&["pull", "-q", "datasets/me/words"]).ok();
    sandbox
        .run(&["pull", "-q", "me/words", "--type", "space"])
        .ok();
    sandbox.run(&["pull", "-q", "me/words"]).ok();
    for spec in &specs {
        sandbox.assert_snapshot(spec, &hub.head(spec.id(), "main").unwrap());
    }
    let models: Value =
        serde_json::from_str(&sandbox.run(&["models", "ls", "--format", "json"]).ok()).unwrap();
    let text = models.to_string();
    for id in ["datasets+me/words", "spaces+me/words", "\"me/words\""] {
        assert!(text.contains(id), "{text}");
    }
    for venv in Venv::all() {
        for (kind, first) in [
            ("dataset", "datasets--"),
            ("space", "spaces--"),
            ("model", "models--"),
        ] {
            let said = venv.python(&sandbox, LOOK, &["me/words", kind]).ok();
            let said: Value = serde_json::from_str(&said).unwrap();
            assert!(said[0].as_str().unwrap().contains(first), "{said}");
            assert_eq!(said[1], json!(["README.md", "data"]));
        }
    }
}
