//! A network of its own: a namespace with a public-looking address, many private ones, and servers that log who connects.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{Ran, Sandbox};

const IP: &str = "/usr/sbin/ip";
pub(super) const PUBLIC: &str = "11.22.33.44";
/// Where services of a house, a cloud or this machine live.
pub(super) const PRIVATE: [&str; 14] = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.5.5",
    "192.168.7.7",
    "169.254.169.254",
    "100.64.1.1",
    "198.18.0.1",
    "192.0.2.1",
    "203.0.113.9",
    "[::1]",
    "[fd00::7]",
    "[::ffff:10.1.2.3]",
    "[64:ff9b::a01:203]",
    "[2002:a01:203::1]",
];

/// A namespace with its servers; it goes away with this.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
    servers: Option<Child>,
    log: PathBuf,
}

/// Runs a program to its end; the error is what it said.
fn run(command: &mut Command) -> Result<(), String> {
    let ran = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    ran.status.success().then_some(()).ok_or(said)
}

impl Namespace {
    /// Makes it, or says why it cannot be made here.
    pub(super) fn make(folder: &Path) -> Result<Self, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("modelhaul-{}-{number}", std::process::id());
        run(Command::new(IP).args(["netns", "add", &name]))?;
        let mut namespace = Self {
            log: folder.join("connections.log"),
            name,
            servers: None,
        };
        let own = Path::new("/etc/netns").join(&namespace.name);
        fs::create_dir_all(&own).map_err(|error| error.to_string())?;
        fs::write(own.join("resolv.conf"), "nameserver 11.22.33.53\n")
            .map_err(|error| error.to_string())?;
        let addresses = [PUBLIC, "11.22.33.53"].into_iter().chain(PRIVATE);
        namespace.ip(&["link", "set", "lo", "up"])?;
        for address in addresses
            .filter(|address| !matches!(*address, "127.0.0.1" | "[::1]" | "[::ffff:10.1.2.3]"))
        {
            let bare = address.trim_matches(['[', ']']);
            let bits = if bare.contains(':') { 128 } else { 32 };
            namespace.ip(&["addr", "add", &format!("{bare}/{bits}"), "dev", "lo"])?;
        }
        let script = folder.join("urls.py");
        fs::write(&script, include_str!("urls.py")).map_err(|error| error.to_string())?;
        let mut servers = Command::new(IP)
            .args(["netns", "exec", &namespace.name, "python3"])
            .arg(&script)
            .arg(&namespace.log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        let stdout = servers.stdout.take().ok_or("the servers have no output")?;
        namespace.servers = Some(servers);
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        (line.trim() == "ready")
            .then_some(namespace)
            .ok_or_else(|| "the servers did not begin".to_owned())
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        run(Command::new(IP).args(["-n", &self.name]).args(arguments))
    }

    /// Runs the product in it.
    pub(super) fn modelhaul(&self, sandbox: &Sandbox, arguments: &[&str]) -> Ran {
        let mut command = sandbox.command(IP);
        command
            .args(["netns", "exec", &self.name, env!("CARGO_BIN_EXE_modelhaul")])
            .args(arguments);
        command.output().unwrap().into()
    }

    /// Registers a file by its address and pulls it.
    pub(super) fn pull(&self, sandbox: &Sandbox, id: &str, url: &str) -> Ran {
        let url = format!("{url}#path=file.bin");
        let added = self.modelhaul(sandbox, &["models", "add", id, "--url", &url]);
        if added.code != Some(0) {
            return added;
        }
        self.modelhaul(sandbox, &["pull", id])
    }

    /// Connections and requests so far to addresses that are not public.
    pub(super) fn private(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines()
            .filter(|line| !line.starts_with(PUBLIC))
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn public(&self) -> usize {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(PUBLIC)).count()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(mut servers) = self.servers.take() {
            // The end of its standard input ends it.
            drop(servers.stdin.take());
            drop(servers.wait());
        }
        drop(run(Command::new(IP).args(["netns", "del", &self.name])));
        drop(fs::remove_dir_all(Path::new("/etc/netns").join(&self.name)));
    }
}
