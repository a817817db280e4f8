//! A hub that can lie, a service before it, and everything that watches both: what most cases are made of.
//!
//! The pauses and timeouts of the product are shortened by its configuration file, so that minutes of the catalogue
//! become seconds; a case says so where it matters.

use std::fmt::Display;
use std::fs;

use modelhaul::testing::{Fault, HubConfig, Place, PracticeHub, Recorded, RepoSpec, Settings};
use serde_json::{Value, json};

use super::invariants::assert_clear;
use super::{Case, Health, Invariants, Ledger};
use crate::support::{Sandbox, Service};

/// The repository of a case that needs only one.
pub(crate) const ID: &str = "me/model";
/// Its big file.
pub(crate) const FILE: &str = "*big.bin";
/// The size of that file: two pieces over one connection.
pub(crate) const SIZE: u64 = 6 << 20;
/// A token that must never be seen.
const TOKEN: &str = "hf_CANARYfaultsCANARYfaults";

/// What a rig is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    specs: Vec<RepoSpec>,
    config: String,
    environment: Vec<(&'static str, String)>,
    rate: u64,
}

/// A case with its hub and its service.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) hub: PracticeHub,
    pub(crate) sandbox: Sandbox,
    specs: Vec<RepoSpec>,
    service: Option<Service>,
    health: Option<Health>,
    invariants: Invariants,
    ledger: Ledger,
    case: Case,
}

/// A repository with a small file and one of [`SIZE`].
pub(crate) fn model(id: &str) -> RepoSpec {
    RepoSpec::new(id)
        .generated("big.bin", SIZE)
        .file("config.json", "{}\n")
}

impl Setup {
    /// One repository, one connection, few and short pauses.
    pub(crate) fn new() -> Self {
        Self {
            specs: vec![model(ID)],
            config: "backoff = '50ms'\nbackoff_max = '1s'\ndownload_timeout = '2s'\nmetadata_timeout = '2s'\n"
                .to_owned(),
            environment: vec![
                ("HF_TOKEN", TOKEN.to_owned()),
                ("HF_DOWNLOAD_MAX_RETRIES", "4".to_owned()),
                ("MODELHAUL_MAX_CONNECTIONS", "1".to_owned()),
                ("MODELHAUL_LOG", "info,modelhaul=debug".to_owned()),
            ],
            rate: 0,
        }
    }

    /// These repositories in the place of the one.
    pub(crate) fn specs(mut self, specs: impl IntoIterator<Item = RepoSpec>) -> Self {
        self.specs = specs.into_iter().collect();
        self
    }

    /// Another configuration file.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.config);
        self
    }

    /// A variable of the service.
    pub(crate) fn env(mut self, name: &'static str, value: impl Display) -> Self {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_string()));
        self
    }

    /// Bytes per second of the hub.
    pub(crate) fn rate(mut self, rate: u64) -> Self {
        self.rate = rate;
        self
    }

    /// Opens the case: hub, service, registered models.
    #[track_caller]
    pub(crate) fn open(self, number: &'static str, done: &'static str) -> Rig {
        self.open_before(number, done, |_| {})
    }

    /// The same, with a word to the hub before the service is there.
    #[track_caller]
    pub(crate) fn open_before(
        self,
        number: &'static str,
        done: &'static str,
        prepare: impl FnOnce(&PracticeHub),
    ) -> Rig {
        let case = Case::open(number, done);
        let hub = PracticeHub::start(HubConfig {
            tokens: vec![TOKEN.to_owned()],
            settings: Settings {
                rate_total: self.rate,
                ..Settings::default()
            },
            ..HubConfig::with(self.specs.clone())
        })
        .unwrap();
        prepare(&hub);
        let mut sandbox = Sandbox::with(&hub);
        for (name, value) in &self.environment {
            sandbox.set_env(name, value);
        }
        let folder = sandbox.path("home/.config/modelhaul");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), &self.config).unwrap();
        let invariants = Invariants::watch(&sandbox).secret(TOKEN);
        let service = sandbox.serve();
        for spec in &self.specs {
            let body = json!({"model_id": spec.id(), "kind": "generic", "repo_id": spec.id()});
            service.register(&body).ok();
        }
        Rig {
            health: Some(Health::watch(&service)),
            invariants: invariants.idle(&service),
            service: Some(service),
            ledger: Ledger::default(),
            specs: self.specs,
            hub,
            sandbox,
            case,
        }
    }
}

impl Rig {
    /// A case with one repository.
    #[track_caller]
    pub(crate) fn open(number: &'static str, done: &'static str) -> Self {
        Setup::new().open(number, done)
    }

    /// The service.
    pub(crate) fn service(&self) -> &Service {
        self.service.as_ref().unwrap()
    }

    /// Names one more text that must not be seen.
    pub(crate) fn secret(mut self, text: &str) -> Self {
        self.invariants = self.invariants.secret(text);
        self
    }

    /// Asks for a download, and keeps the answer in the ledger.
    #[track_caller]
    pub(crate) fn start(&mut self, id: &str) {
        let reply = self.service().start(id);
        assert_eq!(reply.status, 202, "{}", reply.text());
        self.ledger.note(id, &reply);
    }

    /// Asks for the one model and waits for its success.
    #[track_caller]
    pub(crate) fn heals(&mut self) -> Value {
        self.start(ID);
        self.completes(ID)
    }

    /// Waits for success: every file has its bytes, was verified, and the ref names the commit.
    #[track_caller]
    pub(crate) fn completes(&self, id: &str) -> Value {
        let status = self.service().wait_completed(id);
        assert_eq!(status["cache"]["verified"], true, "{status:#}");
        let commit = status["cache"]["commit"].as_str().unwrap();
        let spec = self.specs.iter().find(|spec| spec.id() == id).unwrap();
        self.sandbox.assert_snapshot(spec, commit);
        assert_eq!(self.sandbox.cached_ref(id, "main").as_deref(), Some(commit));
        status
    }

    /// Asks for a model and waits for its failure with one of these codes; nothing of it is published.
    #[track_caller]
    pub(crate) fn fails(&mut self, id: &str, codes: &[&str]) -> Value {
        self.start(id);
        let status = self
            .service()
            .wait_status(id, "failed", |status| status["state"] == "failed");
        let code = status["error"]["code"].as_str().unwrap();
        assert!(codes.contains(&code), "{id}: not {codes:?}\n{status:#}");
        assert_clear(&status);
        assert_eq!(self.sandbox.cached_ref(id, "main"), None, "{id} has a ref");
        let snapshots = self.sandbox.repo_folder(id).join("snapshots");
        assert!(!snapshots.exists(), "{}", snapshots.display());
        status
    }

    /// Waits until a job waits for this reason.
    #[track_caller]
    pub(crate) fn waits(&self, id: &str, reasons: &[&str]) -> Value {
        self.service().wait_status(id, "waiting", |status| {
            assert_ne!(status["state"], "failed", "{status:#}");
            status["waiting"]["reason"]
                .as_str()
                .is_some_and(|reason| reasons.contains(&reason))
        })
    }

    /// Puts a fault on the storage's answers for the big file.
    pub(crate) fn cdn(
        &self,
        fault: impl FnOnce(Fault) -> Fault,
        does: modelhaul::testing::Misdeed,
    ) -> u64 {
        self.hub.fault(fault(Fault::cdn(FILE, does)))
    }

    /// Ends the service as a power cut would, and starts the next one.
    #[track_caller]
    pub(crate) fn crash(&mut self, meanwhile: impl FnOnce(&Self)) {
        self.health.take().unwrap().check();
        self.service.take().unwrap().kill9();
        meanwhile(self);
        let service = self.sandbox.serve();
        self.health = Some(Health::watch(&service));
        self.service = Some(service);
    }

    /// The requests to the storage that a glob means.
    pub(crate) fn fetches(&self, pattern: &str) -> Vec<Recorded> {
        let mut requests = self.hub.requests_for(pattern);
        requests.retain(|request| request.place == Place::Cdn);
        requests
    }

    /// Body bytes that the storage sent for the big file.
    pub(crate) fn sent(&self) -> u64 {
        self.fetches(FILE)
            .iter()
            .map(|request| request.bytes_sent)
            .sum()
    }

    /// Checks all invariants, and the case has passed.
    #[track_caller]
    pub(crate) fn pass(mut self, result: impl Display) {
        self.health.take().unwrap().check();
        self.ledger.check(&self.sandbox);
        self.invariants.check(&self.sandbox, self.service.as_ref());
        self.case.pass(result);
    }
}

/// The first byte that a request asked for.
pub(crate) fn range_start(request: &Recorded) -> u64 {
    let range = request
        .range()
        .and_then(|range| range.strip_prefix("bytes="));
    let start = range.and_then(|range| range.split_once('-'));
    start.map_or(0, |(start, _)| start.parse().unwrap())
}
