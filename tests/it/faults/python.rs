//! Group E, Python beside us: several processes of both client generations and the service on the same files at once.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Instant;

use modelhaul::testing::RepoSpec;

use super::kit::{Case, Health, Invariants};
use super::scene::{MIB, hub, register};
use crate::support::{LONG, Sandbox, Venv, holds, wait_for};

/// Downloads everything, again when another process was in its way at the end.
const ALL: &str = "
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], max_workers=2))
";

/// Takes the lock of a blob as the client does, says so, and keeps it.
const HOLD: &str = "
import os, sys
from huggingface_hub.utils import WeakFileLock
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
with WeakFileLock(sys.argv[1]):
    print('held', flush=True)
    sys.stdin.read()
";

fn repo(id: &str) -> RepoSpec {
    RepoSpec::new(id)
        .file("config.json", "{}\n")
        .file("nested/tags.csv", "a,b\n1,2\n")
        .generated("model.onnx", 3 * MIB + 1)
        .generated("model.safetensors", 2 * MIB + 7)
}

/// One round: `each` processes of every generation, and the service in their midst.
fn round(venvs: &[Venv], each: usize, number: usize) {
    let spec = repo(&format!("org/round-{number}"));
    let hub = hub(4 * MIB, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    // Unfinished files of others, as a killed client leaves them.
    let blobs = sandbox.repo_folder(spec.id()).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let left = [
        "a".repeat(64) + ".incomplete",
        "b".repeat(40) + ".4f2a91c0.incomplete",
        "c".repeat(64) + ".tmp",
    ];
    for name in &left {
        fs::write(blobs.join(name), name.as_bytes()).unwrap();
    }
    register(&service, "m", spec.id());
    let mut children: Vec<Child> = Vec::new();
    for venv in venvs {
        for _ in 0..each {
            let mut command = venv.command(&sandbox, ALL, &[spec.id()]);
            children.push(
                command
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap(),
            );
        }
    }
    // In another round the service comes first, in another the clients.
    if number % 2 == 1 {
        wait_for(LONG, "a client has begun", || {
            holds(!hub.requests().is_empty())
        });
    }
    service.start("m").ok();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "round {number}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    service.wait_completed("m");
    let commit = hub.head(spec.id(), "main").unwrap();
    sandbox.assert_snapshot(&spec, &commit);
    assert_eq!(sandbox.cached_ref(spec.id(), "main"), Some(commit));
    let mut expected: Vec<String> = spec
        .files()
        .iter()
        .map(|file| file.etag().to_owned())
        .chain(left.clone())
        .collect();
    expected.sort();
    assert_eq!(sandbox.blobs(spec.id()), expected, "round {number}");
    for name in &left {
        assert_eq!(
            fs::read(blobs.join(name)).unwrap(),
            name.as_bytes(),
            "a file of others was touched"
        );
    }
    watched.check(&sandbox, Some(&service));
}

fn rounds(case: Case, each: usize, count: usize) {
    let venvs = Venv::all();
    if venvs.is_empty() {
        drop(case);
        Case::left_out(
            "E-python",
            "Python beside us",
            "no Python with huggingface_hub can be had here",
        );
        return;
    }
    for number in 0..count {
        round(&venvs, each, number);
    }
    case.pass(format_args!(
        "{count} rounds of {} Python processes and the service: right bytes for all",
        each * venvs.len()
    ));
}

#[test]
fn e99_python_and_the_service_download_the_same_at_once() {
    let case = Case::open(
        "E-python",
        "Python 2.x, 0.36 and the service on one repository at once, 3 rounds",
    );
    rounds(case, 1, 3);
}

#[test]
#[ignore = "takes some minutes"]
fn e99_many_python_processes_and_the_service_at_once() {
    let case = Case::open(
        "E-python-long",
        "three processes each of Python 2.x and 0.36 and the service, 30 rounds",
    );
    rounds(case, 3, 30);
}

#[test]
fn d68_a_killed_holder_of_a_lock_is_not_waited_for() {
    let case = Case::open(
        "68",
        "Python holds a blob's lock and is killed with SIGKILL",
    );
    let mut took = Vec::new();
    for (n, venv) in Venv::all().into_iter().enumerate() {
        let spec = repo(&format!("org/held-{n}"));
        let hub = hub(0, [spec.clone()]);
        let sandbox = Sandbox::with(&hub);
        let etag = spec
            .files()
            .iter()
            .find(|file| file.path == "model.onnx")
            .unwrap()
            .etag()
            .to_owned();
        let folder = format!("models--{}", spec.id().replace('/', "--"));
        let lock = sandbox
            .cache()
            .join(".locks")
            .join(folder)
            .join(format!("{etag}.lock"));
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
        let watched = Invariants::watch(&sandbox);
        let health = Health::watch(&service);
        register(&service, "m", spec.id());
        service.start("m").ok();
        service.wait_status("m", "waits for the lock", |status| {
            status["waiting"]["reason"] == "cache_locked"
        });
        assert!(
            hub.requests_for("*model.onnx").is_empty(),
            "not a byte of what another one downloads"
        );
        python.kill().unwrap();
        python.wait().unwrap();
        let since = Instant::now();
        wait_for(LONG, "the file is asked for", || {
            holds(!hub.requests_for("*model.onnx").is_empty())
        });
        took.push(since.elapsed());
        service.wait_completed("m");
        health.check();
        sandbox.assert_snapshot(&spec, &hub.head(spec.id(), "main").unwrap());
        watched.check(&sandbox, Some(&service));
    }
    // Two seconds are promised; one more is the busy machine's.
    assert!(took.iter().all(|time| time.as_secs() < 3), "{took:?}");
    if took.is_empty() {
        drop(case);
        Case::left_out(
            "68",
            "a killed holder of a lock",
            "no Python with huggingface_hub can be had here",
        );
    } else {
        case.pass(format_args!("went on after {took:.1?}"));
    }
}
