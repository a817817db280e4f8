//! Real Python clients: virtual environments that are made once and kept under `target/venvs`.
//!
//! Without Python or without its package registry a test may leave its Python part out, and says so;
//! with `MODELHAUL_REQUIRE_PYTHON` set it fails instead, so that a full run cannot be green by omission.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Sandbox;
use super::sandbox::Ran;

/// A virtual environment.
#[derive(Debug, Clone)]
pub(crate) struct Venv(PathBuf);

impl Venv {
    /// The clients of today: shared blobs, tree files, httpx.
    pub(crate) fn hub2() -> Option<Self> {
        static READY: OnceLock<Option<Venv>> = OnceLock::new();
        READY
            .get_or_init(|| Self::make("hub2", "huggingface_hub==2.*"))
            .clone()
    }

    /// The last of the old clients, on requests.
    pub(crate) fn hub036() -> Option<Self> {
        static READY: OnceLock<Option<Venv>> = OnceLock::new();
        READY
            .get_or_init(|| Self::make("hub036", "huggingface_hub==0.36.*"))
            .clone()
    }

    /// The generator of Python clients, and a tester of documents.
    pub(crate) fn openapi() -> Option<Self> {
        static READY: OnceLock<Option<Venv>> = OnceLock::new();
        READY
            .get_or_init(|| {
                Self::make("openapi", "openapi-python-client==0.29.* schemathesis==4.*")
            })
            .clone()
    }

    /// A store that speaks S3.
    pub(crate) fn s3() -> Option<Self> {
        static READY: OnceLock<Option<Venv>> = OnceLock::new();
        READY
            .get_or_init(|| Self::make("s3", "moto[server]==5.*"))
            .clone()
    }

    /// A program of the environment.
    pub(crate) fn program(&self, sandbox: &Sandbox, name: &str, arguments: &[&str]) -> Command {
        let bin = self.0.join("bin");
        let mut command = sandbox.command(bin.join(name));
        // Programs of the environment start others of it.
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
        command.env("PATH", path).args(arguments);
        command
    }

    /// Both generations, those that can be had.
    pub(crate) fn all() -> Vec<Self> {
        [Self::hub2(), Self::hub036()]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Runs a script in the sandbox, with `HF_ENDPOINT` and `HF_HOME` set there.
    pub(crate) fn python(&self, sandbox: &Sandbox, script: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command(sandbox, script, arguments);
        command.output().unwrap().into()
    }

    /// The same as a command, for a process that is held or killed.
    pub(crate) fn command(&self, sandbox: &Sandbox, script: &str, arguments: &[&str]) -> Command {
        let mut command = sandbox.command(self.0.join("bin/python"));
        command
            .env("HF_HUB_DISABLE_TELEMETRY", "1")
            .env("HF_HUB_DISABLE_XET", "1")
            .env("HF_HUB_DISABLE_PROGRESS_BARS", "1")
            .args(["-c", script])
            .args(arguments);
        command
    }

    /// The `hf` command line, or `huggingface-cli` of the old client.
    pub(crate) fn hf(&self, sandbox: &Sandbox, arguments: &[&str]) -> Ran {
        let mut command = sandbox.command(self.0.join("bin/hf"));
        command.env("HF_HUB_DISABLE_XET", "1").args(arguments);
        command.output().unwrap().into()
    }

    fn make(name: &str, requirement: &str) -> Option<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .unwrap()
            .join("venvs");
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join(format!("{name}.lock"))).unwrap();
        lock.lock().unwrap();
        let path = folder.join(name);
        let mark = path.join("ready");
        if fs::read_to_string(&mark).is_ok_and(|made_for| made_for == requirement) {
            return Some(Self(path));
        }
        let made = run(
            "python3",
            &["-m", "venv", "--clear", &path.to_string_lossy()],
        )
        .and_then(|()| {
            let pip = path.join("bin/pip").to_string_lossy().into_owned();
            let requirements = requirement.split_whitespace();
            let arguments: Vec<&str> = ["install", "--quiet"]
                .into_iter()
                .chain(requirements)
                .collect();
            run(&pip, &arguments)
        });
        match made {
            Ok(()) => {
                fs::write(mark, requirement).unwrap();
                Some(Self(path))
            }
            Err(reason) => {
                left_out(&format!("{requirement} in Python: {reason}"));
                None
            }
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{program}: {}: {}", output.status, text.trim()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the variable speaks to the tests, not to the product"
)]
fn left_out(what: &str) {
    assert!(
        std::env::var_os("MODELHAUL_REQUIRE_PYTHON").is_none(),
        "this may not be left out: {what}"
    );
    eprintln!("left out: {what}");
}
