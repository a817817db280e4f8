//! Turns the options into engines.

use std::sync::Arc;

use super::{ManagerError, ManagerOptions};
use crate::cache::Cache;
use crate::catalog::{Catalog, TemplateProblem};
use crate::clock::Clock;
use crate::domain::WaitReason;
use crate::hub::{Hub, HubOptions, TokenSource, Web, WebOptions};
use crate::metrics::Metrics;
use crate::queue::{Engines, QueueOptions, RetryPolicy};
use crate::store::Store;
use crate::transfer::{Engine, Options, RateLimiter};

/// The engines, and what is wrong with the user's templates.
pub(super) async fn engines(
    store: Store,
    options: &ManagerOptions,
    clock: &Arc<dyn Clock>,
) -> Result<(Engines, Vec<TemplateProblem>), ManagerError> {
    let metrics = Arc::new(Metrics::default());
    metrics.begin(WaitReason::ALL.iter().map(|reason| reason.as_str()));
    let hub = Hub::new(HubOptions {
        endpoint: options.endpoint.clone(),
        mirrors: options.mirrors.clone(),
        tokens: TokenSource {
            given: options.token.clone(),
            path: options.token_path.clone(),
        },
        metadata_timeout: options.metadata_timeout,
        read_timeout: options.download_timeout,
        proxy: options.proxy.clone(),
        no_proxy: options.no_proxy.clone(),
        offline: options.offline,
        clock: Arc::clone(clock),
        metrics: Arc::clone(&metrics),
    })
    .map_err(|error| error.failure())?;
    let web = Web::new(WebOptions {
        offline: options.offline,
        networks: options.artifact_networks.clone(),
        roots: options.file_roots.clone(),
        credentials: options.credentials.clone(),
        metadata_timeout: options.metadata_timeout,
        read_timeout: options.download_timeout,
        clock: Arc::clone(clock),
        metrics: Arc::clone(&metrics),
    })
    .map_err(|error| error.failure())?;
    let transfer = Options {
        max_connections: options.max_connections,
        stall_timeout: options.download_timeout,
        checkpoint_interval: options.checkpoint_interval,
        ..Options::default()
    };
    let limiter = Arc::new(RateLimiter::new(options.bandwidth_limit));
    let folder = options.template_dir.clone();
    let (catalog, problems) =
        crate::queue::blocking(move || Catalog::load(folder.as_deref())).await?;
    let engines = Engines {
        store,
        hub,
        web,
        cache: Cache::new(options.cache_dir.clone()),
        artifacts: Cache::new(options.artifact_dir.clone()),
        catalog,
        transfer: Engine::new(transfer, Arc::clone(&limiter)),
        limiter,
        metrics,
    };
    Ok((engines, problems))
}

pub(super) fn queue_options(options: &ManagerOptions) -> QueueOptions {
    QueueOptions {
        database: options.database.clone(),
        offline: options.offline,
        downloads_disabled: options.downloads_disabled,
        bandwidth_limit: options.bandwidth_limit,
        schedule: options.schedule.clone(),
        retry: RetryPolicy {
            max_retries: options.max_retries.max(1),
            backoff: options.backoff,
            backoff_max: options.backoff_max,
        },
        disk_floor: options.disk_floor,
    }
}
