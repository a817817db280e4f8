//! A hub, a CDN or a network that lies: the service heals or says exactly what is wrong, and nothing untrue gets a
//! final name.

mod bytes;
mod metadata;
mod secrets;

use serde_json::{Value, json};

use modelhaul::testing::{PracticeHub, RepoSpec};

use crate::support::{Sandbox, Service};
use crate::world::{assert_tidy, assert_whole, quick, wdv3};

/// A service before a hub, with one registered model of everything in a repository.
struct Scene {
    hub: PracticeHub,
    sandbox: Sandbox,
    service: Service,
}

impl Scene {
    /// A service with the repository registered as `m`; few retries, so that an end comes soon.
    fn of(hub: PracticeHub, repo: &str) -> Self {
        let sandbox = quick(Sandbox::with(&hub)).env("HF_DOWNLOAD_MAX_RETRIES", "3");
        Self::within(hub, sandbox, repo)
    }

    fn within(hub: PracticeHub, sandbox: Sandbox, repo: &str) -> Self {
        let service = sandbox.serve();
        let body =
            json!({"model_id": "m", "kind": "generic", "repo_id": repo, "template": "everything"});
        let made = service.register(&body);
        assert_eq!(made.status, 201, "{}", made.text());
        Self {
            hub,
            sandbox,
            service,
        }
    }

    /// Starts the download and waits for its success.
    #[track_caller]
    fn heals(&self) -> Value {
        self.service.start("m").ok();
        self.service.wait_completed("m")
    }

    /// Starts the download and waits for its failure with this code.
    #[track_caller]
    fn fails(&self, code: &str) -> Value {
        self.service.start("m").ok();
        let status = self
            .service
            .wait_status("m", "failed", |status| status["state"] == "failed");
        assert_eq!(status["error"]["code"], code, "{status:#}");
        assert_eq!(status["status"], "not_started");
        status["error"].clone()
    }

    /// No snapshot and no ref of this repository can be seen.
    #[track_caller]
    fn assert_not_published(&self, repo: &str) {
        assert_eq!(self.sandbox.cached_ref(repo, "main"), None);
        let snapshots = self.sandbox.repo_folder(repo).join("snapshots");
        assert!(!snapshots.exists(), "{}", snapshots.display());
        assert_whole(&self.sandbox, &[&wdv3()]);
    }

    /// After a success: the snapshot is right and nothing is left beside it.
    #[track_caller]
    fn assert_right(&self, spec: &RepoSpec, commit: &str) {
        self.sandbox.assert_snapshot(spec, commit);
        assert_tidy(&self.sandbox);
    }
}
