//! The API against a model of a hundred lines: random requests to a real service, and every answer must be one that
//! the model allows. What the worker does meanwhile is unknown, so the model keeps all that may be true.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::{Value, json};

use modelhaul::testing::{HubConfig, PracticeHub, RepoSpec};

use super::kit::{Case, Invariants, Ledger};
use super::scene::as_admin;
use crate::support::{Reply, Sandbox, Service};
use crate::world::quick;

/// What a client may ask about one of three models; the third one's repository does not exist.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Register,
    RegisterOther,
    Start,
    Cancel,
    Pause,
    Resume,
    Retry,
    Clear,
    Purge,
    Delete,
    Status,
    /// Until nothing is left to do.
    Wait,
}

/// The last job of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    None,
    Active {
        paused: bool,
    },
    /// Completed between a start's look at the cache and its row: that start gets a job, which finds everything.
    Landing,
    Completed,
    Failed,
    /// Asked to stop; what it has reached before it hears of that, success or failure, counts.
    Cancelling,
    Cancelled,
}

/// One thing that may be true of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Truth {
    registered: bool,
    job: Job,
    /// Whether all files are in the cache: they outlive job and registration.
    cached: bool,
}

fn asks() -> impl Strategy<Value = Vec<(usize, Ask)>> {
    let ask = prop_oneof![
        3 => Just(Ask::Register),
        1 => Just(Ask::RegisterOther),
        5 => Just(Ask::Start),
        3 => Just(Ask::Cancel),
        2 => Just(Ask::Pause),
        2 => Just(Ask::Resume),
        2 => Just(Ask::Retry),
        2 => Just(Ask::Clear),
        1 => Just(Ask::Purge),
        2 => Just(Ask::Delete),
        4 => Just(Ask::Status),
        2 => Just(Ask::Wait),
    ];
    proptest::collection::vec((0..3usize, ask), 5..40)
}

impl Truth {
    /// What the worker may have made of it since: a job that is not held ends by itself.
    fn later(self, exists: bool) -> Vec<Self> {
        // A pause or a cancel that comes in the last moment comes too late.
        let done = Self {
            job: if exists { Job::Completed } else { Job::Failed },
            cached: self.cached || exists,
            ..self
        };
        let cancelled = Self {
            job: Job::Cancelled,
            ..self
        };
        match self.job {
            Job::Active { .. } if exists => {
                let landing = Self {
                    job: Job::Landing,
                    ..done
                };
                vec![self, done, landing]
            }
            Job::Active { .. } => vec![self, done],
            Job::Cancelling => vec![self, done, cancelled],
            _ => vec![self],
        }
    }

    /// The truth after an answer, or none when the answer would be wrong.
    fn after(self, ask: Ask, status: u16, body: &Value) -> Option<Self> {
        let Self {
            registered,
            job,
            cached,
        } = self;
        let (active, changed) = (matches!(job, Job::Active { .. }), &body["changed"]);
        let with = |job| Some(Self { job, ..self });
        if !registered && !matches!(ask, Ask::Register | Ask::RegisterOther) {
            return (status == 404 && body["code"] == "unknown_model").then_some(self);
        }
        if job == Job::Landing {
            let again = matches!(ask, Ask::Start | Ask::Retry) && status == 202;
            let job = Job::Active { paused: false };
            return (again && body["created"] == true).then_some(Self { job, ..self });
        }
        match (ask, status) {
            (Ask::Register | Ask::RegisterOther, 201) if !registered => Some(Self {
                registered: true,
                job: Job::None,
                cached,
            }),
            (Ask::Register, 200) | (Ask::RegisterOther, 409) if registered => Some(self),
            (Ask::Start | Ask::Retry, 200) if cached => Some(self),
            (Ask::Start, 202) if active => (body["created"] == false).then_some(self),
            (Ask::Retry, 202) if active => with(Job::Active {
                paused: job == Job::Active { paused: true },
            }),
            (Ask::Retry, 202) if job == Job::Failed => with(Job::Active { paused: false }),
            (Ask::Start | Ask::Retry, 202) if !cached && !active => (body["created"] == true)
                .then_some(Self {
                    job: Job::Active { paused: false },
                    ..self
                }),
            (Ask::Cancel, 200) if active => (*changed == true).then_some(Self {
                job: Job::Cancelling,
                ..self
            }),
            // Who asks for it again gets another job, when this one has ended.
            (Ask::Start | Ask::Retry, _) if job == Job::Cancelling => None,
            (Ask::Cancel | Ask::Pause | Ask::Resume, 200) | (Ask::Delete, 409)
                if job == Job::Cancelling =>
            {
                Some(self)
            }
            (Ask::Pause, 200) if active => with(Job::Active { paused: true }),
            (Ask::Resume, 200) if active => with(Job::Active { paused: false }),
            (Ask::Cancel | Ask::Pause | Ask::Resume, 200) => {
                (*changed == false && body["job"].is_null()).then_some(self)
            }
            // Completed and cancelled jobs are history; clear leaves them or forgets them.
            (Ask::Clear | Ask::Purge, 200) => with(Job::None),
            (Ask::Delete, 204) if !active => Some(Self {
                registered: false,
                job: Job::None,
                cached,
            }),
            (Ask::Delete, 409) if active => Some(self),
            (Ask::Status | Ask::Wait, 200) => self.fits(body).then_some(self),
            _ => None,
        }
    }

    /// Whether a status object may be said of it.
    fn fits(self, status: &Value) -> bool {
        let state = status["state"].as_str().unwrap_or_default();
        let short = status["status"].as_str().unwrap_or_default();
        if short == "completed" {
            return self.cached && state == "completed";
        }
        match self.job {
            Job::None => {
                short == "not_started"
                    && ["not_started", "cancelled", "completed"].contains(&state)
                    && !self.cached
            }
            Job::Active { paused: true } => {
                short == "downloading" && ["paused", "running"].contains(&state)
            }
            Job::Active { paused: false } => {
                short == "downloading" && ["queued", "running", "waiting"].contains(&state)
            }
            Job::Landing | Job::Completed => false,
            Job::Failed => short == "not_started" && state == "failed",
            // A running job needs a moment to let go.
            Job::Cancelling => state == "running",
            Job::Cancelled => state == "cancelled" && !self.cached,
        }
    }
}

/// The service under test; each sequence has models and repositories of its own.
struct World {
    hub: PracticeHub,
    sandbox: Sandbox,
    service: Service,
    sequence: std::cell::Cell<usize>,
}

impl World {
    fn new() -> Self {
        let hub = PracticeHub::start(HubConfig::default()).unwrap();
        let sandbox = quick(Sandbox::with(&hub));
        let service = sandbox.serve();
        Self {
            hub,
            sandbox,
            service,
            sequence: std::cell::Cell::new(0),
        }
    }

    fn ask(&self, id: &str, ask: Ask) -> Reply {
        let http = self.service.http();
        let act = |action: &str| http.post(&format!("/api/v1/models/{id}/{action}"), None);
        let admin = |method: &str, path: String| {
            as_admin(&self.sandbox, &self.service, method, &path, None)
        };
        match ask {
            Ask::Register => self.service.register(&json!({"model_id": id, "kind": "generic", "repo_id": format!("org/{id}")})),
            Ask::RegisterOther => self.service.register(&json!({"model_id": id, "kind": "generic", "repo_id": format!("org/{id}"), "allow_patterns": ["*"]})),
            Ask::Start => self.service.start(id),
            Ask::Cancel => act("cancel"),
            Ask::Pause => act("pause"),
            Ask::Resume => act("resume"),
            Ask::Retry => act("retry"),
            Ask::Clear => admin("POST", format!("/api/model-download/{id}/clear")),
            Ask::Purge => admin("POST", format!("/api/model-download/{id}/clear?purge=true")),
            Ask::Delete => admin("DELETE", format!("/api/v1/models/{id}")),
            Ask::Status => http.get(&format!("/api/model-download-status/{id}")),
            Ask::Wait => http.get(&format!("/api/v1/models/{id}/wait?timeout=1")),
        }
    }

    fn play(&self, asks: &[(usize, Ask)]) -> Result<(), TestCaseError> {
        let number = self.sequence.replace(self.sequence.get() + 1);
        let ids: Vec<String> = (0..3).map(|n| format!("s{number}-m{n}")).collect();
        for id in &ids[..2] {
            let spec = RepoSpec::new(&format!("org/{id}"))
                .file("config.json", id.clone().into_bytes())
                .generated("a.bin", 70_001);
            self.hub.add_repo(&spec);
        }
        let nothing = Truth {
            registered: false,
            job: Job::None,
            cached: false,
        };
        let mut truths = [vec![nothing], vec![nothing], vec![nothing]];
        let mut ledger = Ledger::default();
        for (step, &(model, ask)) in asks.iter().enumerate() {
            // Registering otherwise is only another registration when the first one is there.
            let ask = match ask {
                Ask::RegisterOther if truths[model].iter().any(|truth| !truth.registered) => {
                    Ask::Register
                }
                ask => ask,
            };
            let before = truths[model].clone();
            let reply = self.ask(&ids[model], ask);
            if matches!(ask, Ask::Start | Ask::Retry) {
                ledger.note(&ids[model], &reply);
            }
            let body = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
            let mut after: Vec<Truth> = before
                .iter()
                .flat_map(|truth| truth.later(model < 2))
                .filter_map(|truth| truth.after(ask, reply.status, &body))
                .collect();
            after.sort_unstable();
            after.dedup();
            prop_assert!(
                !after.is_empty(),
                "step {step}: {ask:?} of {} answered {} {body:#}, but {before:?}",
                ids[model],
                reply.status
            );
            truths[model] = after;
        }
        // Whatever was asked, everything comes to an end and can be asked for again.
        for (model, id) in ids.iter().enumerate() {
            // One whose registration is gone may have left a part, which the next job of its files takes up or removes.
            if truths[model].iter().all(|truth| !truth.registered) {
                self.ask(id, Ask::Register);
            }
            self.ask(id, Ask::Resume);
            self.ask(id, Ask::Start);
            self.ask(id, Ask::Resume);
            let end = self.service.wait_status(id, "an end", |status| {
                matches!(status["state"].as_str(), Some("completed" | "failed"))
            });
            prop_assert_eq!(
                &end["state"],
                if model < 2 { "completed" } else { "failed" },
                "{:#}",
                end
            );
        }
        let once = "SELECT count(*) FROM (SELECT 1 FROM jobs j JOIN events e USING (job_key)
                     WHERE e.to_state IN ('completed', 'cancelled') GROUP BY j.job_key HAVING count(*) > 1)";
        prop_assert_eq!(self.sandbox.db().value(once), 0, "a job ended twice");
        Ok(())
    }
}

/// Plays sequences; a failure names the seed and the shortest sequence that fails.
fn sequences(case: Case, count: u32) {
    let world = World::new();
    let watched = Invariants::watch(&world.sandbox);
    let seed: [u8; 32] = std::array::from_fn(|n| uuid::Uuid::new_v4().as_bytes()[n % 16]);
    eprintln!("seed {seed:?}");
    let config = Config {
        cases: count,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    match runner.run(&asks(), |asks| world.play(&asks)) {
        Ok(()) => {}
        Err(TestError::Fail(reason, asks)) => panic!("seed {seed:?}\n{asks:#?}\n{reason}"),
        Err(TestError::Abort(reason)) => panic!("seed {seed:?}: {reason}"),
    }
    watched.check(&world.sandbox, Some(&world.service));
    case.pass(format_args!(
        "{count} sequences, every answer was one that the model allows"
    ));
}

#[test]
fn e_the_api_answers_as_a_small_model_does() {
    sequences(
        Case::open(
            "E-model",
            "random requests to a real service, compared with a small model, 12 sequences",
        ),
        12,
    );
}

#[test]
#[ignore = "takes ten minutes"]
fn e_the_api_answers_as_a_small_model_does_for_long() {
    sequences(
        Case::open(
            "E-model-long",
            "random requests to a real service, compared with a small model, 400 sequences",
        ),
        400,
    );
}
