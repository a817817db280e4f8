//! What holds after every case, whatever was broken: the invariants I1 and I3 to I7 of the catalogue.
//!
//! `watch` looks at the sandbox before a case, `check` after it, with the service or without. I2 is in
//! [`super::Ledger`] and I8 in [`super::Health`], because both need to see the case while it runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use modelhaul::testing::SIGNATURE_MARK;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::support::{LONG, Sandbox, Service, holds, wait_for};
use crate::world::walk;

/// Where the product may write, as starts of paths in the sandbox; the logs are the tests' own.
const PLACES: [&str; 4] = ["hf/hub/", "modelhaul.db", "admin-token", "serve-"];
/// What connections in the pools of hub and database may add to the open files of an idle service.
const POOLED: usize = 40;

/// What the sandbox was like before a case, and what must not be seen after it.
#[derive(Debug)]
pub(crate) struct Invariants {
    /// Length and time of the last change of each file.
    before: BTreeMap<String, (u64, i64, i64)>,
    secrets: Vec<String>,
    allowed: Vec<String>,
    open_files: Option<usize>,
}

impl Invariants {
    /// Looks at the sandbox as it is now; signed links are secret from the start.
    pub(crate) fn watch(sandbox: &Sandbox) -> Self {
        Self {
            before: files(sandbox),
            secrets: vec![SIGNATURE_MARK.to_owned()],
            allowed: Vec::new(),
            open_files: None,
        }
    }

    /// Names a text that must not be seen in any file, log or answer.
    #[must_use]
    pub(crate) fn secret(mut self, text: &str) -> Self {
        self.secrets.push(text.to_owned());
        self
    }

    /// Allows files of the case itself, by the start of their path in the sandbox.
    #[must_use]
    pub(crate) fn allow(mut self, start: &str) -> Self {
        self.allowed.push(start.to_owned());
        self
    }

    /// Notes how many files the idle service holds open, to compare with the end.
    #[must_use]
    pub(crate) fn idle(mut self, service: &Service) -> Self {
        self.open_files = Some(service.open_files());
        self
    }

    /// Checks everything; without a service, what can be seen from the files.
    #[track_caller]
    pub(crate) fn check(&self, sandbox: &Sandbox, service: Option<&Service>) {
        sandbox.db().assert_sound();
        no_lie(sandbox);
        self.no_stray_write(sandbox);
        no_orphan(sandbox);
        errors_are_clear(sandbox);
        if let Some(service) = service {
            self.bounded(sandbox, service);
        }
        self.no_secret(sandbox, service);
    }

    /// I3: what is new or changed lies in the cache, beside the database, or is a log.
    #[track_caller]
    fn no_stray_write(&self, sandbox: &Sandbox) {
        for (path, facts) in files(sandbox) {
            let known = PLACES.iter().any(|place| path.starts_with(place))
                || self.allowed.iter().any(|place| path.starts_with(place));
            assert!(
                known || self.before.get(&path) == Some(&facts),
                "I3: {path} was written"
            );
        }
    }

    /// I4: no file and no answer holds a secret.
    #[track_caller]
    fn no_secret(&self, sandbox: &Sandbox, service: Option<&Service>) {
        for path in walk(&sandbox.path("")) {
            let full = sandbox.path(&path);
            let is_file = fs::symlink_metadata(&full).is_ok_and(|facts| facts.is_file());
            // What the case itself wrote may hold what it planted; blobs are the hub's bytes.
            let own = self.allowed.iter().any(|place| path.starts_with(place))
                || self.before.contains_key(&path) && !path.starts_with("modelhaul.db")
                || path.contains("/blobs/");
            if is_file && !own {
                self.silent(&path, &fs::read(full).unwrap());
            }
        }
        let Some(service) = service else { return };
        let command = fs::read(format!("/proc/{}/cmdline", service.pid())).unwrap();
        self.silent("the command line", &command);
        let rows = |sql| sandbox.db().rows(sql);
        let mut paths = vec![
            "/api/v1/queue".to_owned(),
            "/api/v1/models".to_owned(),
            "/api/v1/jobs".to_owned(),
            "/api/v1/cache".to_owned(),
        ];
        for row in rows("SELECT job_id FROM jobs ORDER BY job_key DESC LIMIT 5") {
            let job = row["job_id"].as_str().unwrap().to_owned();
            paths.extend(
                ["", "/files", "/events", "/attempts"]
                    .map(|end| format!("/api/v1/jobs/{job}{end}")),
            );
        }
        for row in rows("SELECT model_id FROM models ORDER BY model_key DESC LIMIT 5") {
            let model = row["model_id"].as_str().unwrap().replace('/', "%2F");
            paths.push(format!("/api/model-download-status/{model}"));
        }
        for path in paths {
            self.silent(&path, &service.http().get(&path).body);
        }
    }

    #[track_caller]
    fn silent(&self, name: &str, text: &[u8]) {
        for secret in &self.secrets {
            let found = text
                .windows(secret.len())
                .position(|window| window == secret.as_bytes());
            if let Some(at) = found {
                let around = &text[at.saturating_sub(200)..(at + 20).min(text.len())];
                panic!(
                    "I4: {name} holds a secret: …{}…",
                    String::from_utf8_lossy(around)
                );
            }
        }
    }

    /// I5: an idle service holds no file of the cache open, and about as many others as before.
    #[track_caller]
    fn bounded(&self, sandbox: &Sandbox, service: &Service) {
        let busy = "SELECT count(*) FROM jobs WHERE state = 'running'";
        if sandbox.db().value(busy) != 0 {
            return;
        }
        let cache = sandbox.cache();
        wait_for(
            LONG,
            "I5: an idle service closes the files of the cache",
            || {
                let open = fs::read_dir(format!("/proc/{}/fd", service.pid())).ok()?;
                let names = open
                    .flatten()
                    .filter_map(|entry| fs::read_link(entry.path()).ok());
                holds(!names.into_iter().any(|name| name.starts_with(&cache)))
            },
        );
        if let Some(before) = self.open_files {
            wait_for(LONG, "I5: open files are back near where they were", || {
                holds(service.open_files() <= before + POOLED)
            });
        }
    }
}

/// I1: what has a final name has the right bytes; what is completed can be found.
#[track_caller]
fn no_lie(sandbox: &Sandbox) {
    let cache = sandbox.cache();
    if !cache.exists() {
        return;
    }
    for path in walk(&cache) {
        let Some((_, name)) = path.split_once("/blobs/") else {
            continue;
        };
        if matches!(name.len(), 40 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let found = digest(&cache.join(&path), name.len());
            assert_eq!(
                found, name,
                "I1: {path} under its final name has other bytes"
            );
        }
    }
    let completed = sandbox.db().rows(
        "SELECT m.model_id, m.repo_id, m.revision, m.ready_commit, f.path, f.size, f.digest, f.state, f.verified
         FROM models m JOIN jobs j ON j.job_key = (SELECT max(job_key) FROM jobs WHERE model_key = m.model_key)
         JOIN files f ON f.job_key = j.job_key AND f.commit_sha = m.ready_commit
         WHERE j.state = 'completed' AND j.kind = 'download' AND m.origin = 'hub' AND m.ready_at_ms IS NOT NULL",
    );
    for row in &completed {
        let text = |key: &str| row[key].as_str().unwrap();
        assert_eq!(row["state"], "done", "I1: {row}");
        let folder = sandbox.repo_folder(text("repo_id"));
        let file = folder
            .join("snapshots")
            .join(text("ready_commit"))
            .join(text("path"));
        let facts =
            fs::metadata(&file).unwrap_or_else(|error| panic!("I1: {}: {error}", file.display()));
        assert_eq!(row["size"], facts.len(), "I1: {row}");
        let digest_of = digest(&file, text("digest").len());
        assert_eq!(row["digest"], digest_of.as_str(), "I1: {row}");
        let revision = text("revision");
        if revision != text("ready_commit") {
            let named = sandbox.cached_ref(text("repo_id"), revision);
            let named = named.unwrap_or_else(|| panic!("I1: no ref {revision}: {row}"));
            assert!(named.len() == 40, "I1: the ref {revision} holds `{named}`");
        }
    }
}

/// I5: every unfinished file in the cache belongs to a row that can go on with it, and none to a completed job.
#[track_caller]
fn no_orphan(sandbox: &Sandbox) {
    if sandbox
        .db()
        .value("SELECT count(*) FROM jobs WHERE state = 'running'")
        != 0
    {
        return;
    }
    let parts: Vec<String> = fs::read_dir(sandbox.cache())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_dir(entry.path().join("blobs")).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "part"))
        .collect();
    let known = sandbox.db().rows(
        "SELECT f.part_name, j.state FROM files f LEFT JOIN jobs j USING (job_key) WHERE f.part_name IS NOT NULL",
    );
    for part in parts {
        let row = known.iter().find(|row| row["part_name"] == part.as_str());
        let row = row.unwrap_or_else(|| panic!("I5: no row knows {part}"));
        assert_ne!(row["state"], "completed", "I5: {part} was left behind");
    }
}

/// I6: a job that failed has a code, a sentence and the next step.
#[track_caller]
fn errors_are_clear(sandbox: &Sandbox) {
    let failed = sandbox
        .db()
        .rows("SELECT error_code, error, remedy FROM jobs WHERE state = 'failed'");
    for row in failed {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        assert!(!text("error_code").is_empty(), "I6: no code: {row}");
        assert!(
            text("error").len() > 10 && text("error").len() < 2000,
            "I6: no sentence: {row}"
        );
        assert!(!text("remedy").is_empty(), "I6: no next step: {row}");
    }
}

/// The answer of a status about a failed job: code, sentence, next step, and whether trying again may help.
#[track_caller]
pub(crate) fn assert_clear(status: &Value) {
    let error = &status["error"];
    for key in ["code", "message", "remedy"] {
        assert!(
            error[key].as_str().is_some_and(|text| !text.is_empty()),
            "I6: no {key}: {status:#}"
        );
    }
    assert!(error["retryable"].is_boolean(), "I6: {status:#}");
}

fn files(sandbox: &Sandbox) -> BTreeMap<String, (u64, i64, i64)> {
    let root = sandbox.path("");
    let paths = walk(&root).into_iter();
    paths
        .filter_map(|path| {
            let facts = fs::symlink_metadata(root.join(&path)).ok()?;
            Some((path, (facts.len(), facts.mtime(), facts.mtime_nsec())))
        })
        .collect()
}

/// The digest that a blob's name of this length stands for: git's sha1 of a blob, or sha256.
fn digest(path: &Path, length: usize) -> String {
    let mut file = fs::File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let mut buffer = vec![0; 1 << 16];
    let mut feed = |sink: &mut dyn FnMut(&[u8])| {
        loop {
            let count = file.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            sink(&buffer[..count]);
        }
    };
    let hash = if length == 40 {
        let mut hash = Sha1::new();
        hash.update(format!("blob {size}\0"));
        feed(&mut |bytes| hash.update(bytes));
        hash.finalize().to_vec()
    } else {
        let mut hash = Sha256::new();
        feed(&mut |bytes| hash.update(bytes));
        hash.finalize().to_vec()
    };
    hash.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
