//! The housework of an idle holder: prune old history, sweep parts that crashes left, keep the WAL short.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::fetch::blocking;
use super::run::store_failure;
use crate::cache::PartName;
use crate::domain::Failure;

/// How often an idle holder does the housework.
const INTERVAL: Duration = Duration::from_mins(10);
/// How long after taking the lease it is done first.
const SETTLE: Duration = Duration::from_secs(5);
/// A part that no row names is removed at this age: another database may have made it a moment ago.
const PART_AGE: Duration = Duration::from_hours(24);

/// When the housework of this holder is due.
#[derive(Debug)]
pub(crate) struct Housework {
    /// On the monotonic clock.
    due: Duration,
}

impl Housework {
    /// Due a moment after `now`, the beginning of the lease: work that waits goes first, and a holder that leaves
    /// after one short job leaves it to a later one.
    pub(crate) fn new(now: Duration) -> Self {
        Self { due: now + SETTLE }
    }

    /// Does it when it is due, up to the next step after `stop`.
    pub(crate) async fn run_if_due(&mut self, context: &Context, stop: &CancellationToken) {
        let now = context.clock.monotonic();
        if now < self.due {
            return;
        }
        self.due = now + INTERVAL;
        if let Err(failure) = run_once(context, stop).await {
            tracing::warn!(%failure, "The housework failed.");
        }
    }
}

/// Does the housework once; leaves out what is left when `stop` is given meanwhile.
async fn run_once(context: &Context, stop: &CancellationToken) -> Result<(), Failure> {
    if stop.is_cancelled() {
        return Ok(());
    }
    let now = context.clock.now();
    let pruned = context
        .store
        .prune(now)
        .await
        .map_err(|error| store_failure(&error))?;
    context
        .store
        .checkpoint_wal()
        .await
        .map_err(|error| store_failure(&error))?;
    context.store.refill_reserve().await;
    if stop.is_cancelled() {
        return Ok(());
    }
    let named = context
        .store
        .all_parts()
        .await
        .map_err(|error| store_failure(&error))?;
    let keep: HashSet<PartName> = named
        .iter()
        .filter_map(|part| part.part_name.parse().ok())
        .collect();
    let caches = [Arc::clone(&context.cache), Arc::clone(&context.artifacts)];
    let swept = blocking(move || {
        let mut files = 0;
        for cache in caches {
            files += cache.sweep_trash(now)?;
            for repo in cache.repos()? {
                files += cache.sweep_parts(&repo, &keep, PART_AGE, now)?.files;
            }
        }
        Ok(files)
    })
    .await?
    .map_err(|error: crate::cache::CacheError| error.failure())?;
    if pruned + swept > 0 {
        tracing::info!(
            rows = pruned,
            parts = swept,
            "The housework removed what was old."
        );
    }
    Ok(())
}
