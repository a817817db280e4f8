//! `modelhaul events`: the same objects, with a service and without one.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{SHORT, Sandbox, wait_for};
use crate::world::{WDV3, hub, sandbox};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

/// A command that goes on, killed when it is dropped.
struct Following(Child, BufReader<std::process::ChildStdout>);

impl Following {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut command = sandbox.modelhaul(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self(child, stdout)
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("`{line}`"))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_command_tells_what_happened_and_what_happens_without_a_service() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let mut following = Following::start(&sandbox, &["events", "--follow", "--format", "json"]);
    let first = following.next();
    assert_eq!(
        (
            &first["event"],
            first["data"]["jobs"].as_array().unwrap().len()
        ),
        (&"snapshot".into(), 0)
    );
    sandbox.run(&["pull", WDV3]).ok();
    let mut told = vec![first];
    let end = |line: &Value| line["data"]["to_state"] == "completed";
    while !end(told.last().unwrap()) {
        told.push(following.next());
    }
    let pid = Pid::from_raw(i32::try_from(following.0.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = wait_for(SHORT, "it ends with the signal", || {
        following.0.try_wait().unwrap()
    });
    assert!(status.success(), "{status}");

    let heard: Vec<&Value> = told.iter().filter(|line| line["event"] == "job").collect();
    assert_eq!(
        heard.last().unwrap()["data"]["status"]["state"],
        "completed"
    );
    // Afterwards the trail says the same.
    let after = told[0]["id"].as_str().unwrap();
    let past = lines(
        &sandbox
            .run(&["events", "--after", after, "--format", "json"])
            .ok(),
    );
    let ids =
        |lines: &[&Value]| -> Vec<Value> { lines.iter().map(|line| line["id"].clone()).collect() };
    let past: Vec<&Value> = past.iter().take(heard.len()).collect();
    assert_eq!(ids(&past), ids(&heard));
    let people = sandbox.run(&["events"]).ok();
    assert!(
        people.contains("running -> completed") && people.contains(WDV3),
        "{people}"
    );
    let wrong = sandbox.run(&["events", "--after", "x"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}
