//! The housework of an idle holder: prune old history, sweep parts that crashes left, keep the WAL short.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::fetch::blocking;
use super::run::store_failure;
use crate::cache::PartName;
use crate::domain::Failure;

/// How often an idle holder does the housework.
const INTERVAL: Duration = Duration::from_mins(10);
/// A part that no row names is removed at this age: another database may have made it a moment ago.
const PART_AGE: Duration = Duration::from_hours(24);

/// Does the housework when it is due; `done` is when it was done last, on the monotonic clock.
pub(crate) async fn run_if_due(context: &Context, done: &mut Option<Duration>) {
    let now = context.clock.monotonic();
    if done.is_some_and(|at| now.saturating_sub(at) < INTERVAL) {
        return;
    }
    *done = Some(now);
    if let Err(failure) = run_once(context).await {
        tracing::warn!(%failure, "The housework failed.");
    }
}

/// Does the housework once.
pub(crate) async fn run_once(context: &Context) -> Result<(), Failure> {
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
    let named = context
        .store
        .all_parts()
        .await
        .map_err(|error| store_failure(&error))?;
    let keep: HashSet<PartName> = named
        .iter()
        .filter_map(|part| part.part_name.parse().ok())
        .collect();
    let cache = Arc::clone(&context.cache);
    let swept = blocking(move || {
        let mut files = cache.sweep_trash(now)?;
        for repo in cache.repos()? {
            files += cache.sweep_parts(&repo, &keep, PART_AGE, now)?.files;
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
