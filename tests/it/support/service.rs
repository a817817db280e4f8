//! The service as a child process: started, asked, stopped in good and bad ways, never left behind.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::wait::{LONG, SHORT, holds, wait_for};
use super::{Client, Reply};

/// A running service. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    client: Client,
    log: PathBuf,
}

impl Service {
    /// Starts the command and waits for its first line, `listening on http://...`.
    #[track_caller]
    pub(crate) fn spawn(mut command: Command, folder: &Path) -> Self {
        static STARTED: AtomicU64 = AtomicU64::new(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = folder.join(format!("serve-{number}.log"));
        let mut file = File::create(&log).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (lines, first) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Only the first line is waited for.
                drop(lines.send(line.clone()));
                writeln!(file, "{line}").unwrap();
            }
        });
        let line = first.recv_timeout(LONG);
        let address = line
            .as_ref()
            .ok()
            .and_then(|line| line.strip_prefix("listening on http://"));
        let Some(address) = address else {
            drop(child.kill());
            let status = child.wait().unwrap();
            let text = fs::read_to_string(&log).unwrap_or_default();
            panic!("the service did not say where it listens: {line:?}, {status}\n{text}");
        };
        Self {
            client: Client::new(address.trim_end_matches('/')),
            child,
            log,
        }
    }

    /// A client for its API.
    pub(crate) fn http(&self) -> &Client {
        &self.client
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has printed and logged.
    pub(crate) fn logs(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Registers a model.
    #[track_caller]
    pub(crate) fn register(&self, body: &Value) -> Reply {
        self.client.post("/api/v1/models", Some(body))
    }

    /// Asks for a download.
    pub(crate) fn start(&self, model_id: &str) -> Reply {
        let path = format!("/api/model-download/{model_id}/start");
        self.client.post(&path, None)
    }

    /// The status object of a model.
    #[track_caller]
    pub(crate) fn status(&self, model_id: &str) -> Value {
        let path = format!("/api/model-download-status/{model_id}");
        self.client.get(&path).ok()
    }

    /// Waits until the status of a model satisfies a condition, and returns it.
    #[track_caller]
    pub(crate) fn wait_status(
        &self,
        model_id: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(LONG, what, || {
                last = self.status(model_id);
                condition(&last).then(|| last.clone())
            })
        }));
        asked.unwrap_or_else(|_| panic!("{model_id} never: {what}\n{last:#}\n{}", self.logs()))
    }

    /// Waits until a model is complete, and returns its status.
    #[track_caller]
    pub(crate) fn wait_completed(&self, model_id: &str) -> Value {
        self.wait_status(model_id, "completed", |status| {
            assert_ne!(status["state"], "failed", "{status:#}");
            status["status"] == "completed"
        })
    }

    /// Waits until so many bytes of a model are there.
    #[track_caller]
    pub(crate) fn wait_bytes(&self, model_id: &str, bytes: u64) -> Value {
        self.wait_status(model_id, "bytes came", |status| {
            status["progress"]["bytes_downloaded"].as_u64() >= Some(bytes)
        })
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and checks that it ends well and in time.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_exit(SHORT);
        assert!(status.success(), "{status}\n{}", self.logs());
    }

    /// Waits for its end, whatever brings it.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self, timeout: Duration) -> ExitStatus {
        wait_for(timeout, "the service ends", || {
            self.child.try_wait().unwrap()
        })
    }

    /// Freezes it; its locks and connections stay.
    pub(crate) fn sigstop(&self) {
        self.signal(Signal::STOP);
        wait_for(SHORT, "the service stands still", || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
            holds(stat.rsplit_once(") ").unwrap().1.starts_with('T'))
        });
    }

    /// Lets it go on.
    pub(crate) fn sigcont(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its memory in bytes.
    pub(crate) fn rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }

    /// How many files and sockets it holds open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended before; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sandbox;
    use super::*;

    /// A shell that says what the service says, and ends well on SIGTERM.
    fn stand_in(sandbox: &Sandbox) -> Service {
        let mut command = sandbox.command("/bin/sh");
        let script = "trap 'exit 0' TERM; echo listening on http://127.0.0.1:9; echo secret >&2; while :; do sleep 0.02; done";
        command.args(["-c", script]);
        Service::spawn(command, &sandbox.path(""))
    }

    #[test]
    fn a_service_is_watched_frozen_stopped_and_killed() {
        let sandbox = Sandbox::new();
        let service = stand_in(&sandbox);
        assert_eq!(service.http().url(), "http://127.0.0.1:9");
        assert!(service.rss() > 10_000 && service.open_files() >= 3);
        wait_for(SHORT, "the log has both streams", || {
            holds(service.logs().contains("secret") && service.logs().contains("listening"))
        });
        service.sigstop();
        service.sigcont();
        service.stop();

        let service = stand_in(&sandbox);
        let pid = service.pid();
        service.kill9();
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        let pid = stand_in(&sandbox).pid();
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "a drop kills");
    }

    #[test]
    #[should_panic(expected = "did not say where it listens")]
    fn a_service_that_dies_at_once_is_reported() {
        let sandbox = Sandbox::new();
        Service::spawn(sandbox.command("/bin/false"), &sandbox.path(""));
    }
}
