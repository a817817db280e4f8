//! The fault hub as a program: scripts that are read or refused, and downloaders that are pointed at it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::support::{Client, Sandbox};
use crate::world::quick;

/// The program, as long as this is held.
struct Hub {
    child: Child,
    endpoint: String,
    control: Client,
}

impl Hub {
    /// Starts it with a script.
    fn start(sandbox: &Sandbox, script: &Path) -> Self {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_faulthub"));
        command
            .args(["--for", "300", "--with-stdin", "--script"])
            .arg(script);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = |start: &str| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(start).unwrap().to_owned()
        };
        Self {
            endpoint: line("HF_ENDPOINT="),
            control: Client::new(&line("CONTROL=")),
            child,
        }
    }

    /// The requests that a glob means, as the control door tells them.
    fn requests(&self, path: &str) -> Vec<Value> {
        let records = self.control.get(&format!("/requests?path={path}")).ok();
        records.as_array().unwrap().clone()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Its end is its input's end; a kill serves when that fails.
        drop(self.child.stdin.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/faults")
        .join(name)
}

#[test]
fn a_bad_day_is_survived_and_every_request_is_on_record() {
    let mut sandbox = quick(Sandbox::new());
    let hub = Hub::start(&sandbox, &example("bad-day.toml"));
    sandbox.set_env("HF_ENDPOINT", &hub.endpoint);
    let folder = sandbox.run(&["pull", "practice/model"]).ok();
    let folder = Path::new(folder.trim());
    assert_eq!(fs::read(folder.join("empty.bin")).unwrap(), b"");
    assert_eq!(
        fs::metadata(folder.join("model.safetensors"))
            .unwrap()
            .len(),
        12_000_000
    );
    let config = fs::read_to_string(folder.join("config.json")).unwrap();
    assert_eq!(config, "{\"practice\": true}\n");

    assert_eq!(hub.requests("/api/models/*")[0]["status"], 429);
    let asked = hub.requests("*model.safetensors");
    let statuses: Vec<_> = asked
        .iter()
        .filter(|r| r["place"] == "cdn")
        .map(|r| r["status"].as_u64().unwrap())
        .collect();
    assert!(
        statuses.contains(&206) && statuses.contains(&403),
        "{statuses:?}"
    );
    let ranged = asked.iter().filter_map(|r| r["headers"].as_array());
    assert!(
        ranged.flatten().any(|pair| pair[0] == "range"),
        "{asked:#?}"
    );
    let struck = hub.control.get("/faults").ok();
    let struck: Vec<_> = struck
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["struck"].as_u64().unwrap())
        .collect();
    assert!(struck[..4].iter().all(|times| *times == 1), "{struck:?}");
    assert_eq!(struck[4], 0, "what is off does nothing");
}

#[test]
fn a_liar_gets_nothing_into_the_cache_until_the_script_is_changed() {
    let mut sandbox = quick(Sandbox::new()).env("HF_DOWNLOAD_MAX_RETRIES", "2");
    let hub = Hub::start(&sandbox, &example("liar.toml"));
    sandbox.set_env("HF_ENDPOINT", &hub.endpoint);
    let ran = sandbox.run(&["pull", "practice/liar"]);
    assert_eq!(ran.code, Some(32), "{ran:#?}");
    assert!(ran.stderr.contains("damaged.bin"), "{ran:#?}");
    assert_eq!(sandbox.cached_ref("practice/liar", "main"), None);
    // The same hub goes on with another script: the same repository, and no faults.
    let text = fs::read_to_string(example("liar.toml")).unwrap();
    let (honest, _) = text.split_once("[[faults]]").unwrap();
    assert_eq!(send(&hub.control, "/script", honest)["done"], true);
    sandbox.run(&["pull", "practice/liar"]).ok();
}

#[test]
fn a_fault_is_switched_while_it_runs() {
    let sandbox = Sandbox::new();
    let script = sandbox.path("script.toml");
    let text = "[[repos]]\nid = 'me/a'\nfiles = [{ path = 'f', text = 'x', lfs = false }]\n\
                [[faults]]\nname = 'down'\noff = true\npath = '/api/*'\ndoes = { answer = { status = 503 } }\n";
    fs::write(&script, text).unwrap();
    let hub = Hub::start(&sandbox, &script);
    let client = Client::new(&hub.endpoint);
    let status = || client.get("/api/models/me/a").status;
    assert_eq!(status(), 200);
    for on in [true, false] {
        hub.control
            .post("/switch", Some(&json!({"name": "down", "on": on})))
            .ok();
        assert_eq!(status(), if on { 503 } else { 200 });
    }
    let unknown = json!({"name": "up", "on": true});
    assert_eq!(hub.control.post("/switch", Some(&unknown)).status, 404);
    // A script that is wrong changes nothing.
    let reply = send(&hub.control, "/script", "sed = 7");
    assert!(
        reply["error"]
            .as_str()
            .unwrap()
            .contains("unknown field `sed`"),
        "{reply}"
    );
    assert_eq!(status(), 200);
}

#[test]
fn a_script_that_is_wrong_is_refused_with_the_place() {
    let sandbox = Sandbox::new();
    let script = sandbox.path("script.toml");
    for (text, part) in [
        ("seed = 7\nrepo = []", "line 2"),
        (
            "[[faults]]\npath = '*'\ndoes = 'explode'",
            "unknown variant `explode`",
        ),
        (
            "[[faults]]\npath = '*'\ndoes = { cut = { at = 3 } }",
            "unexpected keys in table: at",
        ),
        ("[[faults]]\npath = ''\ndoes = 'hangup'", "no path"),
        (
            "[[repos]]\nid = 'a/b/c'\nfiles = []",
            "no name of a repository",
        ),
        (
            "[[repos]]\nid = 'a/b'\nfiles = [{path = 'x'}, {path = 'x'}]",
            "`x` twice",
        ),
        (
            "[[repos]]\nid = 'a/b'\nfiles = [{path = 'x', text = '', size = 1}]",
            "beside it",
        ),
        ("[settings]\nrate = 1", "unknown field `rate`"),
    ] {
        fs::write(&script, text).unwrap();
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_faulthub"));
        let ran = command
            .args(["--check", "--script"])
            .arg(&script)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(2), "{text}");
        assert!(
            said.contains(part) && said.contains("script.toml"),
            "{text}: {said}"
        );
    }
    for name in ["bad-day.toml", "liar.toml"] {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_faulthub"));
        let ran = command
            .args(["--check", "--script"])
            .arg(example(name))
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_faulthub"));
    let ran = command
        .args(["--listen", "0.0.0.0:0", "--script", "x"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&ran.stderr).contains("only 127.0.0.1"));
}

/// Sends a text as it is; the small client of the tests speaks JSON only.
#[track_caller]
fn send(client: &Client, path: &str, text: &str) -> Value {
    use std::io::{Read as _, Write as _};
    let address = client.url();
    let mut stream = std::net::TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    let length = text.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}"
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (_, body) = reply.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}
