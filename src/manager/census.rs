//! The numbers for monitoring, when somebody asks.

use std::sync::Arc;

use super::{Result, UnifiedModelDownloadManager};
use crate::metrics::{Census, Metrics};
use crate::queue::Role;

impl UnifiedModelDownloadManager {
    /// All metrics as text (`OpenMetrics`).
    pub(crate) async fn metrics_text(&self) -> Result<String> {
        let context = &self.context;
        let counts = context.store.counts().await?;
        let overview = self.overview().await?;
        let cache = Arc::clone(&context.cache);
        let space = crate::queue::blocking(move || cache.space()).await?;
        let waited = counts.oldest.map(|since| self.clock.now() - since);
        Ok(context.metrics.text(&Census {
            jobs: counts
                .jobs
                .iter()
                .map(|(state, jobs)| (state.as_str(), *jobs))
                .collect(),
            oldest_age: waited
                .and_then(|waited| waited.to_std().ok())
                .unwrap_or_default(),
            cache_bytes: counts.ready_bytes,
            disk_free: space.ok().map(|space| space.bytes),
            lease_held: self.scheduler.role() == Role::Holder,
            rate_limit: overview.summary.limit.bytes_per_second,
            queue_held: overview.held,
        }))
    }

    /// What is counted while the service runs.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.context.metrics
    }
}
