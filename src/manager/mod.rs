//! The use cases: what an embedding app and both doors (HTTP, command line) may ask of modelhaul.
//!
//! Answers come from rows and from a look into the cache; only dry runs and locks ask the hub, for metadata. What was
//! accepted is committed before the call returns.

mod access;
mod build;
mod cache;
mod census;
mod clear;
mod download;
mod error;
mod feed;
mod flow;
mod import;
mod jobs;
mod kept;
mod live;
mod lock;
mod lock_file;
mod options;
mod order;
mod outcome;
mod plan;
mod progress;
mod promote;
mod pulse;
mod queue;
mod register;
mod status;
mod templates;
mod verify;
mod webhooks;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::catalog::TemplateProblem;
use crate::clock::Clock;
use crate::domain::JobId;
use crate::queue::{Context, Role, Scheduler};

pub use crate::queue::{
    DownloadHandler, HandlerBody, HandlerClient, HandlerContext, HandlerError, HandlerProgress,
};
pub(crate) use access::Standing;
pub use error::ManagerError;
pub(crate) use feed::{Feed, PAGE};
pub use flow::{Span, Throughput, ThroughputPoint};
pub(crate) use live::Beginning;
pub use lock_file::{BadLockFile, LockFile, LockedFile, LockedModel};
pub use options::ManagerOptions;
pub use outcome::{
    Cleared, JobFilter, ReadyReport, RegisterOptions, Registered, RemovedFolder, Started, WorkScope,
};

pub use plan::{Comparison, Freshness};
pub(crate) use queue::LONGEST_QUEUE;
pub use templates::TemplateSummary;
pub(crate) use templates::known_source;

type Result<T> = std::result::Result<T, ManagerError>;

/// Registers models, queues their downloads, runs them one at a time, and answers how far they are.
///
/// Cheap to clone; all clones share one database and one worker. Dropping it stops nothing: end [`Self::run`] first.
#[derive(Clone)]
pub struct UnifiedModelDownloadManager {
    options: Arc<ManagerOptions>,
    context: Arc<Context>,
    scheduler: Arc<Scheduler>,
    clock: Arc<dyn Clock>,
    template_problems: Arc<[TemplateProblem]>,
    kept: Arc<Answers>,
    flow: Arc<flow::Flow>,
    /// Another word for each start.
    instance: Arc<str>,
    started_at: DateTime<Utc>,
}

/// What is answered from memory while nothing changes.
#[derive(Debug, Default)]
struct Answers {
    models: kept::KeptByModel<status::ModelView>,
    queue: kept::Kept<queue::QueueView>,
    overview: kept::Kept<queue::Overview>,
    tokens: kept::Kept<Vec<crate::domain::AccessToken>>,
}

impl fmt::Debug for UnifiedModelDownloadManager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UnifiedModelDownloadManager")
            .field("database", &self.options.database)
            .field("cache_dir", &self.options.cache_dir)
            .finish_non_exhaustive()
    }
}

impl UnifiedModelDownloadManager {
    /// Opens (and migrates) the database. Starts no work: see [`Self::run`].
    ///
    /// # Errors
    /// The database cannot be opened or is of a newer version, or an option cannot be used.
    pub async fn open(options: ManagerOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let (engines, problems) = build::engines(&options, &clock).await?;
        let context = Arc::new(Context::new(
            engines,
            build::queue_options(&options),
            Arc::clone(&clock),
        ));
        let scheduler = Arc::new(Scheduler::new(Arc::clone(&context)));
        Ok(Self {
            options: Arc::new(options),
            context,
            scheduler,
            template_problems: problems.into(),
            kept: Arc::default(),
            flow: Arc::default(),
            // The last hex digits are the random ones.
            instance: JobId::generate(clock.now()).to_string()[24..].into(),
            started_at: clock.now(),
            clock,
        })
    }

    /// Works until `stop`.
    ///
    /// Looks once, in the background, which registered models are in the cache already.
    /// Takes the lease (standing by while another process holds it), claims and runs jobs. On `stop` it checkpoints,
    /// gives the lease back and returns within 5 seconds.
    ///
    /// # Errors
    /// The database cannot be used at all.
    pub async fn run(&self, scope: WorkScope, stop: CancellationToken) -> Result<()> {
        let only = match scope {
            WorkScope::All => None,
            WorkScope::Job(id) => Some(id),
        };
        let beside = async {
            if only.is_none() {
                tokio::join!(
                    Box::pin(self.promote_all(&stop)),
                    Box::pin(self.tell_webhooks(&stop)),
                );
            }
            std::future::pending::<()>().await;
        };
        let worked = tokio::select! {
            worked = Box::pin(self.scheduler.run(only, &stop)) => worked,
            () = Box::pin(beside) => Ok(()),
            () = Box::pin(self.count_flow()) => Ok(()),
        };
        self.finish_flow().await;
        Ok(worked?)
    }

    /// Closes the database. Calls after this fail.
    pub async fn close(&self) {
        self.context.store.close().await;
    }

    /// Whether a row can be committed and a byte be written, and who works.
    pub async fn ready(&self) -> ReadyReport {
        let mut reasons = Vec::new();
        let database = self.context.store.can_commit().await;
        if let Err(error) = &database {
            reasons.push(format!("no row can be committed: {error}"));
        }
        let cache = Arc::clone(&self.context.cache);
        let look = move || (cache.can_write(), cache.space().ok());
        let (cache, space) = match tokio::task::spawn_blocking(look).await {
            Ok((outcome, space)) => (outcome.map_err(|error| error.to_string()), space),
            Err(error) => (Err(error.to_string()), None),
        };
        if let Err(error) = &cache {
            reasons.push(format!("no byte can be written to the cache: {error}"));
        }
        let role = match self.scheduler.role() {
            Role::Holder => "holder",
            Role::Standby => "standby",
            Role::Idle => "idle",
        };
        ReadyReport {
            ready: reasons.is_empty(),
            database: database.is_ok(),
            cache: cache.is_ok(),
            role,
            free_bytes: space.map(|space| space.bytes),
            reasons,
        }
    }

    /// The options it was opened with.
    pub fn options(&self) -> &ManagerOptions {
        &self.options
    }
}
