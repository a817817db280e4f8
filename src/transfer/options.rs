//! The engine's settings, with defaults that were measured.
//!
//! Sizes are bytes. Nothing here is read from the environment.

use std::sync::Arc;
use std::time::Duration;

use super::keeper::FileTask;

/// Smaller writes cost more processor time than the memory is worth.
const LEAST_BUFFER: usize = 128 << 10;

/// Buffers are a multiple of this.
const ALIGNED: usize = 64 << 10;

/// Connections that a run with a big file may use, or a third of all where that is more: a big file brings its
/// bandwidth with few, and each one needs buffers.
pub(crate) const BIG_CONNECTIONS: usize = 18;

/// How the engine works.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Most connections at once; at least 1. All of them only for small files: see [`BIG_CONNECTIONS`].
    pub(crate) max_connections: usize,
    /// Connections at the start; grows while the total speed grows, and at once while answers are late.
    pub(crate) initial_connections: usize,
    /// Big files that are worked on at once while they have ranges to give; at least 1.
    pub(crate) file_concurrency: usize,
    /// Files up to this size are fetched by one request.
    pub(crate) small_file: u64,
    /// The largest piece. Large ones waste less time between requests.
    pub(crate) max_piece: u64,
    /// The smallest piece, used near the end so that connections finish together.
    pub(crate) min_piece: u64,
    /// A piece with less than this left is not split any more.
    pub(crate) steal_min: u64,
    /// A piece without a byte for this long is taken over by an idle connection.
    pub(crate) takeover_after: Duration,
    /// The largest buffer, and so the largest write.
    pub(crate) buffer_size: usize,
    /// Bytes of all buffers together; buffers get smaller when there are many connections, down to 128 KiB.
    pub(crate) buffer_total: usize,
    /// Received bytes that may wait for the hasher before the file's streams pause; more with many connections.
    pub(crate) hash_lag: u64,
    /// How often received data is synced and recorded, and the longest that bytes stay in a buffer.
    pub(crate) checkpoint_interval: Duration,
    /// Written bytes that are synced before the interval is over, so that the last sync is short; recorded with the interval.
    pub(crate) writeback_bytes: u64,
    /// Longest time without a byte on one stream.
    pub(crate) stall_timeout: Duration,
    /// Longest time for a source to answer; a backstop behind the source's own timeouts.
    pub(crate) open_timeout: Duration,
    /// Consecutive failures of a range without a new byte before the run fails; at least 1.
    pub(crate) range_retries: u32,
    /// The first pause after a failure of a range; doubles up to `backoff_max`.
    pub(crate) backoff_min: Duration,
    /// The longest pause of a range.
    pub(crate) backoff_max: Duration,
    /// The longest pause that a server may ask for; beyond it the run fails with that failure.
    pub(crate) retry_after_max: Duration,
    /// The pause before a locked file is asked for again.
    pub(crate) lock_retry: Duration,
    /// How long locked files are waited for once nothing else is left to do.
    pub(crate) lock_patience: Duration,
    /// The longest that stopping may take for the last checkpoint.
    pub(crate) stop_patience: Duration,
    /// Most disk writes and syncs at once.
    pub(crate) disk_threads: usize,
    /// Most files that are hashed at once.
    pub(crate) hash_threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 50,
            initial_connections: 4,
            file_concurrency: 4,
            small_file: 1 << 20,
            max_piece: 32 << 20,
            min_piece: 4 << 20,
            steal_min: 2 << 20,
            takeover_after: Duration::from_secs(2),
            buffer_size: 1 << 20,
            buffer_total: 16 << 20,
            hash_lag: 64 << 20,
            checkpoint_interval: Duration::from_millis(500),
            writeback_bytes: 32 << 20,
            stall_timeout: Duration::from_secs(10),
            open_timeout: Duration::from_mins(1),
            range_retries: 5,
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(10),
            lock_retry: Duration::from_secs(1),
            lock_patience: Duration::from_secs(10),
            stop_patience: Duration::from_secs(3),
            disk_threads: 4,
            hash_threads: std::thread::available_parallelism()
                .map_or(2, usize::from)
                .min(4),
        }
    }
}

impl Options {
    /// The settings for these files: fewer connections when one of them is big.
    pub(super) fn for_run(self: &Arc<Self>, files: &[FileTask]) -> Arc<Self> {
        let most = BIG_CONNECTIONS.max(self.max_connections / 3);
        if most >= self.max_connections || files.iter().all(|file| file.size <= self.small_file) {
            return Arc::clone(self);
        }
        Arc::new(Self {
            max_connections: most,
            ..(**self).clone()
        })
    }

    /// The bytes of one buffer: two for each connection fit into `buffer_total`.
    pub(super) fn buffer_bytes(&self) -> usize {
        let fair = self.buffer_total / (2 * self.max_connections.max(1));
        // Whole pages, many of them: a page that two writes share is written twice.
        let fair = fair / ALIGNED * ALIGNED;
        fair.clamp(LEAST_BUFFER, self.buffer_size.max(LEAST_BUFFER))
            .min(self.buffer_size.max(1))
    }

    /// The pause after the `failures`-th failure in a row.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let doubled = self
            .backoff_min
            .saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.backoff_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_all_connections_fit_into_the_budget() {
        for max_connections in [1, 4, 8, 16, 32, 64] {
            let options = Options {
                max_connections,
                ..Options::default()
            };
            let most = options.buffer_total.max(2 * LEAST_BUFFER * max_connections);
            assert!(options.buffer_bytes() * 2 * max_connections <= most);
            assert!(options.buffer_bytes() >= LEAST_BUFFER, "{max_connections}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let options = Options::default();
        assert_eq!(options.backoff(1), Duration::from_millis(200));
        assert_eq!(options.backoff(3), Duration::from_millis(800));
        assert_eq!(options.backoff(40), Duration::from_secs(5));
    }
}
