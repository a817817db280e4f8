//! The global speed limit: a token bucket that all streams of the process share.
//!
//! Streams are served in the order in which they ask, and a changed limit takes effect at once, also for the
//! stream that is waiting. Without a limit it costs one atomic read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

/// No limit, as the atomic holds it.
const UNLIMITED: u64 = u64::MAX;

/// What a connection brings at least before another one is opened, in bytes per second, while there is a limit.
const CONNECTION: u64 = 1_000_000;

/// A read takes at most this part of a second's bytes, but not less than this many bytes.
const AT_ONCE: u64 = 50;
const LEAST_AT_ONCE: u64 = 4096;

/// A speed limit in bytes per second that may be changed while it is in use.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limit: AtomicU64,
    /// How often the limit was changed.
    changes: AtomicU64,
    changed: Notify,
    /// The bucket; held by the stream that waits, the others queue for it in order.
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Bytes that may pass now; negative after a large chunk passed on credit.
    tokens: f64,
    filled_at: Instant,
}

impl RateLimiter {
    /// A limit in bytes per second; `None` or zero means no limit.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self {
            limit: AtomicU64::new(Self::encode(limit)),
            changes: AtomicU64::new(0),
            changed: Notify::new(),
            bucket: Mutex::new(Bucket {
                tokens: 0.0,
                filled_at: Instant::now(),
            }),
        }
    }

    /// Changes the limit for all streams from now on.
    pub(crate) fn set_limit(&self, limit: Option<u64>) {
        let limit = Self::encode(limit);
        if self.limit.swap(limit, Ordering::AcqRel) != limit {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        self.changed.notify_one();
    }

    /// The limit in force.
    pub(crate) fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Ordering::Acquire)).filter(|limit| *limit != UNLIMITED)
    }

    /// The most connections that are worth having under the limit: each receives a chunk before it waits, and more lies in
    /// its socket, so that many connections would overdraw a low limit for as long as they start.
    pub(super) fn connections(&self) -> usize {
        let limit = self.limit.load(Ordering::Acquire);
        usize::try_from(limit.div_ceil(CONNECTION)).unwrap_or(usize::MAX)
    }

    /// The most bytes to read before asking [`Self::acquire`] for them: larger reads would come in bursts.
    pub(super) fn most_at_once(&self) -> u64 {
        match self.limit.load(Ordering::Acquire) {
            UNLIMITED => UNLIMITED,
            limit => (limit / AT_ONCE).max(LEAST_AT_ONCE),
        }
    }

    /// Waits until `bytes` may pass. Dropping the future gives the place in the queue up.
    ///
    /// What was received under another limit has passed: under a low one it would hold everybody up for seconds.
    pub(crate) async fn acquire(&self, bytes: usize) {
        if self.limit.load(Ordering::Acquire) == UNLIMITED {
            return;
        }
        let changes = self.changes.load(Ordering::Acquire);
        let mut bucket = self.bucket.lock().await;
        loop {
            if self.changes.load(Ordering::Acquire) != changes {
                bucket.tokens = bucket.tokens.max(0.0);
                bucket.filled_at = Instant::now();
                return;
            }
            let limit = self.limit.load(Ordering::Acquire);
            if limit == UNLIMITED {
                bucket.tokens = 0.0;
                bucket.filled_at = Instant::now();
                return;
            }
            let missing = bucket.pass(rate(limit), bytes);
            let Some(wait) = missing else { return };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn encode(limit: Option<u64>) -> u64 {
        limit.filter(|limit| *limit > 0).unwrap_or(UNLIMITED)
    }
}

impl Bucket {
    /// Takes the bytes when the bucket is not in debt; else answers how long the debt lasts.
    fn pass(&mut self, rate: f64, bytes: usize) -> Option<Duration> {
        let now = Instant::now();
        // A twentieth of a second may be saved up: enough for timers that fire late, too little for a burst.
        let most = rate / 20.0;
        let earned = now.duration_since(self.filled_at).as_secs_f64() * rate;
        self.tokens = (self.tokens + earned).min(most);
        self.filled_at = now;
        if self.tokens >= 0.0 {
            self.tokens -= rate_of(bytes);
            return None;
        }
        // A debt made under a high limit must not hold everybody for hours under a low one.
        self.tokens = self.tokens.max(-rate * 60.0);
        Some(Duration::from_secs_f64(-self.tokens / rate).max(Duration::from_millis(1)))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "speeds below 2^52 bytes per second are exact"
)]
fn rate(limit: u64) -> f64 {
    limit as f64
}

fn rate_of(bytes: usize) -> f64 {
    u32::try_from(bytes).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    #[test]
    fn a_low_limit_needs_few_connections() {
        let most = |limit| RateLimiter::new(limit).connections();
        assert_eq!((most(Some(1)), most(Some(1_000_000))), (1, 1));
        assert_eq!((most(Some(5_500_000)), most(Some(500_000_000))), (6, 500));
        assert!(most(None) > 1 << 20);
    }

    async fn seconds_for(
        limiter: &Arc<RateLimiter>,
        streams: usize,
        chunks: usize,
        bytes: usize,
    ) -> f64 {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..streams {
            let limiter = Arc::clone(limiter);
            tasks.spawn(async move {
                for _ in 0..chunks {
                    limiter.acquire(bytes).await;
                }
            });
        }
        tasks.join_all().await;
        start.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_kept_within_two_percent() {
        for (streams, chunks, bytes) in [(1, 1000, 10_000), (8, 125, 10_000), (4, 10, 250_000)] {
            let limiter = Arc::new(RateLimiter::new(Some(1_000_000)));
            let seconds = seconds_for(&limiter, streams, chunks, bytes).await;
            // The last chunk passes on credit, so that one is not waited for.
            let expected = 10.0 - f64::from(u32::try_from(bytes).unwrap()) / 1e6;
            assert!(
                (seconds - expected).abs() < 0.2,
                "{seconds} for {streams} streams"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_high_limit_is_kept_within_two_percent_by_many_streams() {
        let limiter = Arc::new(RateLimiter::new(Some(500_000_000)));
        let seconds = seconds_for(&limiter, 16, 5000, 1 << 16).await;
        let expected = 16.0 * 5000.0 * 65_536.0 / 5e8;
        assert!((seconds / expected - 1.0).abs() < 0.02, "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_is_no_burst_later() {
        let limiter = Arc::new(RateLimiter::new(Some(1_000_000)));
        limiter.acquire(1).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        let seconds = seconds_for(&limiter, 4, 100, 10_000).await;
        assert!((3.9..4.0).contains(&seconds), "{seconds} for 4 MB");
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_limit_holds_at_once_up_and_down() {
        let limiter = Arc::new(RateLimiter::new(Some(500_000_000)));
        for limit in [1_000_000, 100_000_000, 5_000_000] {
            seconds_for(&limiter, 8, 10, 10_000).await;
            limiter.set_limit(Some(limit));
            let rounds = usize::try_from(limit / 80_000).unwrap();
            let seconds = seconds_for(&limiter, 8, rounds, 10_000).await;
            // A tenth of a second of the new limit may be saved up or still owed.
            assert!((seconds - 1.0).abs() < 0.15, "{seconds} at {limit}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_under_another_limit_is_not_charged_to_the_new_one() {
        let limiter = Arc::new(RateLimiter::new(Some(500_000_000)));
        limiter.acquire(400_000_000).await;
        let mut waiting = JoinSet::new();
        for _ in 0..18 {
            let limiter = Arc::clone(&limiter);
            waiting.spawn(async move { limiter.acquire(450_000).await });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let start = Instant::now();
        limiter.set_limit(Some(1_000_000));
        waiting.join_all().await;
        assert!(start.elapsed() < Duration::from_millis(50));
        let seconds = seconds_for(&limiter, 2, 50, 10_000).await;
        assert!((0.9..1.1).contains(&seconds), "{seconds} for 1 MB");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_without_a_limit() {
        let limiter = Arc::new(RateLimiter::new(None));
        assert_eq!(limiter.limit(), None);
        assert!(seconds_for(&limiter, 4, 1000, 1 << 20).await < f64::EPSILON);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_share_the_limit_evenly() {
        let limiter = Arc::new(RateLimiter::new(Some(1_000_000)));
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let limiter = Arc::clone(&limiter);
            tasks.spawn(async move {
                let start = Instant::now();
                let mut passed = 0_u32;
                while start.elapsed() < Duration::from_secs(10) {
                    limiter.acquire(10_000).await;
                    passed += 1;
                }
                passed
            });
        }
        let passed = tasks.join_all().await;
        let (low, high) = (passed.iter().min().unwrap(), passed.iter().max().unwrap());
        assert!(high - low <= 3, "{passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_limit_reaches_the_stream_that_waits() {
        let limiter = Arc::new(RateLimiter::new(Some(1000)));
        limiter.acquire(50_000).await;
        let waiting = Arc::clone(&limiter);
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        tasks.spawn(async move { waiting.acquire(1).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        limiter.set_limit(None);
        tasks.join_all().await;
        assert!(
            start.elapsed() < Duration::from_millis(1100),
            "{:?}",
            start.elapsed()
        );
        limiter.set_limit(Some(2_000_000));
        assert_eq!(limiter.limit(), Some(2_000_000));
        let seconds = seconds_for(&limiter, 2, 100, 100_000).await;
        assert!((seconds - 10.0).abs() < 0.2, "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_waiter_does_not_block_the_next_one() {
        let limiter = RateLimiter::new(Some(1000));
        limiter.acquire(10_000).await;
        let short = Duration::from_millis(10);
        assert!(
            tokio::time::timeout(short, limiter.acquire(1))
                .await
                .is_err()
        );
        let start = Instant::now();
        limiter.acquire(1).await;
        assert!((start.elapsed().as_secs_f64() - 10.0).abs() < 0.1);
    }
}
