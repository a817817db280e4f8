//! What every part of the queue shares.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use super::handlers::Handlers;
use super::live::Live;
use super::past::Past;
use super::retry::RetryPolicy;
use super::sightings::Sightings;
use crate::cache::Cache;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::domain::{LimitStatus, Schedule};
use crate::hub::{Hub, Web};
use crate::metrics::Metrics;
use crate::store::{Settings, Store};
use crate::transfer::{Engine, RateLimiter};

/// Numbers that the queue is given.
#[derive(Debug, Clone)]
pub(crate) struct QueueOptions {
    /// The database file; the lock lies beside it.
    pub(crate) database: PathBuf,
    /// Make no request.
    pub(crate) offline: bool,
    /// Run no job.
    pub(crate) downloads_disabled: bool,
    /// Bytes per second over all connections, unless the settings row says another number.
    pub(crate) bandwidth_limit: Option<u64>,
    /// Windows of the week that hold downloads back.
    pub(crate) schedule: Schedule,
    /// Bounds of the retries.
    pub(crate) retry: RetryPolicy,
    /// Free bytes that downloads leave alone.
    pub(crate) disk_floor: u64,
}

/// The engines; made by whoever knows the configuration.
#[derive(Debug)]
pub(crate) struct Engines {
    pub(crate) store: Store,
    pub(crate) hub: Hub,
    pub(crate) web: Web,
    pub(crate) cache: Cache,
    pub(crate) artifacts: Cache,
    pub(crate) catalog: Catalog,
    pub(crate) transfer: Engine,
    pub(crate) limiter: Arc<RateLimiter>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The engines and the shared state; one per manager.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) options: QueueOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    pub(crate) hub: Hub,
    /// Files of servers that are not the hub.
    pub(crate) web: Web,
    pub(crate) cache: Arc<Cache>,
    /// The managed folder of models that do not come from the hub, in the same layout.
    pub(crate) artifacts: Arc<Cache>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) engine: Engine,
    pub(crate) limiter: Arc<RateLimiter>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) handlers: Handlers,
    pub(crate) live: Live,
    pub(crate) past: Past,
    pub(crate) sightings: Sightings,
    /// Told when a row changed in this process: a job came, a flag was set, a job ended.
    pub(crate) changed: Notify,
}

impl Context {
    pub(crate) fn new(engines: Engines, options: QueueOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            options,
            clock,
            store: engines.store,
            hub: engines.hub,
            web: engines.web,
            cache: Arc::new(engines.cache),
            artifacts: Arc::new(engines.artifacts),
            catalog: Arc::new(engines.catalog),
            engine: engines.transfer,
            limiter: engines.limiter,
            metrics: engines.metrics,
            handlers: Handlers::default(),
            live: Live::default(),
            past: Past::default(),
            sightings: Sightings::default(),
            changed: Notify::new(),
        }
    }

    /// The bandwidth limit in force now, and its reason.
    pub(crate) fn limit(&self, settings: &Settings) -> LimitStatus {
        LimitStatus::of(
            settings.bandwidth_limit,
            &self.options.schedule,
            self.options.bandwidth_limit,
            self.clock.now(),
        )
    }
}
