//! A world of its own for one test: folders that go away, and an environment without the host's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use modelhaul::testing::{PracticeHub, RepoSpec};
use tempfile::TempDir;

use super::{Db, Service};

/// Folders and environment of one test.
#[derive(Debug)]
pub(crate) struct Sandbox {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// What became of a finished command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// The standard output, after a check that the command succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }
}

impl Sandbox {
    /// A sandbox whose hub is unreachable.
    pub(crate) fn new() -> Self {
        // Nobody listens on the discard port.
        Self::at("http://127.0.0.1:9")
    }

    /// A sandbox that talks to this hub.
    pub(crate) fn with(hub: &PracticeHub) -> Self {
        Self::at(&hub.endpoint())
    }

    fn at(endpoint: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("modelhaul-it-")
            .tempdir()
            .unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        let mut sandbox = Self {
            folder,
            environment: Vec::new(),
        };
        let path = |name: &str| sandbox.path(name).display().to_string();
        let fixed = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME", path("home")),
            ("XDG_CONFIG_HOME", path("home/.config")),
            ("XDG_DATA_HOME", path("home/.local/share")),
            ("HF_HOME", path("hf")),
            ("HF_ENDPOINT", endpoint.to_owned()),
            ("MODELHAUL_DB", path("modelhaul.db")),
            ("NO_COLOR", "1".to_owned()),
            ("RUST_BACKTRACE", "1".to_owned()),
        ];
        sandbox
            .environment
            .extend(fixed.map(|(name, value)| (name.to_owned(), value)));
        sandbox
    }

    /// Sets a variable for every process that is started later.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.set_env(name, value);
        self
    }

    /// The same on a sandbox that is in use.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A path in the sandbox.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The Hugging Face cache.
    pub(crate) fn cache(&self) -> PathBuf {
        self.path("hf/hub")
    }

    /// The folder of a repository in the cache.
    pub(crate) fn repo_folder(&self, id: &str) -> PathBuf {
        let other = ["datasets/", "spaces/"]
            .iter()
            .any(|kind| id.starts_with(kind));
        let typed = if other {
            id.to_owned()
        } else {
            format!("models/{id}")
        };
        self.cache().join(typed.replace('/', "--"))
    }

    /// The names in a repository's `blobs`, sorted; empty when there is no such folder.
    pub(crate) fn blobs(&self, id: &str) -> Vec<String> {
        let entries = fs::read_dir(self.repo_folder(id).join("blobs"));
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The commit that a ref in the cache names.
    pub(crate) fn cached_ref(&self, id: &str, revision: &str) -> Option<String> {
        fs::read_to_string(self.repo_folder(id).join("refs").join(revision)).ok()
    }

    /// Checks that a snapshot holds exactly these bytes under these names.
    #[track_caller]
    pub(crate) fn assert_snapshot(&self, spec: &RepoSpec, commit: &str) {
        let folder = self.repo_folder(spec.id()).join("snapshots").join(commit);
        for file in spec.files() {
            let path = folder.join(&file.path);
            let bytes =
                fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let expected = file.content.read(0..u64::MAX).unwrap();
            assert!(bytes == expected, "{} differs", path.display());
            let blob = fs::canonicalize(&path).unwrap();
            let name = blob.file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(
                name,
                file.etag(),
                "{} leads to another blob",
                path.display()
            );
        }
    }

    /// The database.
    pub(crate) fn db(&self) -> Db {
        self.db_at("modelhaul.db")
    }

    /// The database of an app.
    pub(crate) fn db_at(&self, name: &str) -> Db {
        Db::new(&self.path(name))
    }

    /// A command in this environment and nothing of the host's.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .envs(self.environment.iter().cloned())
            .current_dir(self.folder.path());
        command
    }

    /// The product as a command.
    pub(crate) fn modelhaul(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_modelhaul"));
        command.args(arguments);
        command
    }

    /// Runs the product to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.modelhaul(arguments).output().unwrap().into()
    }

    /// Starts the service on a free port.
    #[track_caller]
    pub(crate) fn serve(&self) -> Service {
        self.serve_with(&[])
    }

    /// Starts the service on a free port, with further arguments.
    #[track_caller]
    pub(crate) fn serve_with(&self, arguments: &[&str]) -> Service {
        let mut command = self.modelhaul(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments);
        Service::spawn(command, self.folder.path())
    }
}
