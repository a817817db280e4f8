//! Turns the options into engines.

use std::sync::Arc;

use super::{ManagerError, ManagerOptions};
use crate::cache::Cache;
use crate::catalog::{Catalog, TemplateProblem};
use crate::clock::Clock;
use crate::domain::WaitReason;
use crate::hub::{Hub, HubError, HubOptions, Tls, TokenSource, Web, WebOptions};
use crate::metrics::Metrics;
use crate::queue::{Engines, QueueOptions, RetryPolicy, blocking};
use crate::store::Store;
use crate::transfer::{Engine, Options, RateLimiter};

/// The engines, and what is wrong with the user's templates.
///
/// The database is opened, and perhaps made, while certificates and templates are read.
pub(super) async fn engines(
    options: &ManagerOptions,
    clock: &Arc<dyn Clock>,
) -> Result<(Engines, Vec<TemplateProblem>), ManagerError> {
    let metrics = Arc::new(Metrics::default());
    metrics.begin(WaitReason::ALL.iter().map(|reason| reason.as_str()));
    let (told, time, counts) = (options.clone(), Arc::clone(clock), Arc::clone(&metrics));
    let reading = blocking(move || {
        let (hub, web) = clients(&told, &time, &counts)?;
        let (catalog, problems) = Catalog::load(told.template_dir.as_deref());
        Ok::<_, HubError>((hub, web, catalog, problems))
    });
    let (store, read) = tokio::join!(Store::open(&options.database), reading);
    let store = store?;
    let (hub, web, catalog, problems) = read?.map_err(|error| error.failure())?;
    let transfer = Options {
        max_connections: options.max_connections,
        stall_timeout: options.download_timeout,
        checkpoint_interval: options.checkpoint_interval,
        ..Options::default()
    };
    let limiter = Arc::new(RateLimiter::new(options.bandwidth_limit));
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

/// The clients of the hub and of other servers, with the same certificates.
fn clients(
    options: &ManagerOptions,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<(Hub, Web), HubError> {
    let tls = Tls::of_the_system()?;
    let hub = Hub::new(HubOptions {
        endpoint: options.endpoint.clone(),
        mirrors: options.mirrors.clone(),
        tls: tls.clone(),
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
        metrics: Arc::clone(metrics),
    })?;
    let web = Web::new(WebOptions {
        offline: options.offline,
        networks: options.artifact_networks.clone(),
        roots: options.file_roots.clone(),
        credentials: options.credentials.clone(),
        tls,
        metadata_timeout: options.metadata_timeout,
        read_timeout: options.download_timeout,
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
    });
    Ok((hub, web))
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
