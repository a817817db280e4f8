//! What the tests of the queue share: a hub of known speed, models on it, and what rows and hub say about bytes.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use modelhaul::testing::{HubConfig, PracticeHub, Recorded, RepoSpec, Settings};
use serde_json::{Value, json};

use crate::support::{Reply, Sandbox, Service};

/// One MiB.
pub(crate) const MIB: u64 = 1 << 20;

/// A hub that sends so many bytes per second in all.
pub(crate) fn hub(rate: u64, repos: impl IntoIterator<Item = RepoSpec>) -> PracticeHub {
    let config = HubConfig {
        settings: Settings {
            rate_total: rate,
            ..Settings::default()
        },
        ..HubConfig::with(repos)
    };
    PracticeHub::start(config).unwrap()
}

/// A repository with one big file and a small one.
pub(crate) fn one_big(id: &str, size: u64) -> RepoSpec {
    RepoSpec::new(id)
        .file("config.json", "{}\n")
        .generated("big.bin", size)
}

/// Puts settings that have no variable into the configuration file.
pub(crate) fn configure(sandbox: &mut Sandbox, toml: &str) {
    let path = sandbox.path("modelhaul.toml");
    fs::write(&path, toml).unwrap();
    sandbox.set_env("MODELHAUL_CONFIG", &path.display().to_string());
}

/// A registration of the repository under its own name.
pub(crate) fn registration(id: &str) -> Value {
    json!({"model_id": id, "kind": "generic", "repo_id": id})
}

/// Registers and starts; answers the id of the job.
#[track_caller]
pub(crate) fn begin(service: &Service, id: &str) -> String {
    service.register(&registration(id)).ok();
    start(service, id)
}

/// Starts what is registered; answers the id of the job.
#[track_caller]
pub(crate) fn start(service: &Service, id: &str) -> String {
    let started = service.start(id).ok();
    assert_eq!(started["created"], true, "{started:#}");
    started["job_id"].as_str().unwrap().to_owned()
}

/// Asks for what only an administrator may do.
#[track_caller]
pub(crate) fn as_admin(
    sandbox: &Sandbox,
    service: &Service,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Reply {
    let token = fs::read_to_string(sandbox.path("admin-token")).unwrap();
    let authorization = format!("Bearer {}", token.trim());
    let headers = [("Authorization", authorization.as_str())];
    service.http().request(method, path, &headers, body)
}

/// What the database knows to be on disk, by repository and path.
pub(crate) fn saved(sandbox: &Sandbox) -> BTreeMap<String, Vec<Range<u64>>> {
    let rows = sandbox
        .db()
        .rows("SELECT repo_id || '/' || path AS path, size, state, ranges FROM files JOIN models USING (model_key)");
    let ranges = |row: &Value| -> Vec<Range<u64>> {
        if row["state"] == "done" {
            return vec![Range {
                start: 0,
                end: row["size"].as_u64().unwrap(),
            }];
        }
        let text = row["ranges"].as_str().unwrap();
        text.split(',')
            .filter_map(|range| range.split_once('-'))
            .map(|(start, end)| start.parse().unwrap()..end.parse().unwrap())
            .collect()
    };
    let rows = rows.iter();
    rows.map(|row| (row["path"].as_str().unwrap().to_owned(), ranges(row)))
        .collect()
}

/// The bytes of [`saved`].
pub(crate) fn saved_bytes(saved: &BTreeMap<String, Vec<Range<u64>>>) -> u64 {
    let ranges = saved.values().flatten();
    ranges.map(|range| range.end - range.start).sum()
}

/// The number of the newest request of the hub.
pub(crate) fn newest(hub: &PracticeHub) -> u64 {
    hub.requests().last().map_or(0, |record| record.number)
}

/// Checks that no request after `since` asked for a byte that was on disk then.
#[track_caller]
pub(crate) fn assert_not_fetched_again(
    hub: &PracticeHub,
    since: u64,
    saved: &BTreeMap<String, Vec<Range<u64>>>,
) {
    for record in hub.requests() {
        let Some((path, asked)) = asked(&record).filter(|_| record.number > since) else {
            continue;
        };
        for range in saved.get(&path).into_iter().flatten() {
            assert!(
                asked.end <= range.start || asked.start >= range.end,
                "{asked:?} of {path:?} was asked for, but {range:?} was on disk: {record:?}"
            );
        }
    }
}

/// The path and the bytes that a request asked for.
fn asked(record: &Recorded) -> Option<(String, Range<u64>)> {
    let object = record.object.clone()?;
    let (start, end) = record.range()?.strip_prefix("bytes=")?.split_once('-')?;
    Some((
        object,
        start.parse().unwrap()..end.parse::<u64>().unwrap() + 1,
    ))
}

/// Whether a name in `blobs` is that of an unfinished file.
pub(crate) fn is_part(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|kind| kind == "part")
}

/// Checks that the download is whole, and that no part, no running row and no used-up retry is left.
#[track_caller]
pub(crate) fn assert_whole(sandbox: &Sandbox, hub: &PracticeHub, spec: &RepoSpec) {
    let commit = hub.head(spec.id(), "main").unwrap();
    sandbox.assert_snapshot(spec, &commit);
    assert_eq!(
        sandbox.cached_ref(spec.id(), "main"),
        Some(commit),
        "the ref"
    );
    let blobs = sandbox.blobs(spec.id());
    assert_eq!(blobs.len(), spec.files().len(), "{blobs:?}");
    let db = sandbox.db();
    db.assert_sound();
    assert_eq!(
        db.value("SELECT count(*) FROM jobs WHERE state IN ('running', 'queued')"),
        0
    );
    assert_eq!(
        db.value("SELECT count(*) FROM files WHERE state <> 'done' OR part_name IS NOT NULL"),
        0
    );
}

/// A generator of test moments; the same seed gives the same moments.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// A new one; says its seed, which a failed test prints.
    pub(crate) fn new() -> Self {
        let seed = uuid::Uuid::now_v7().as_u64_pair().1;
        eprintln!("dice seed {seed}");
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }
}
