//! A rate in bytes per second, kept by waiting after each write.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::hold;

/// Lets bytes pass at a rate; shared by all who must share the rate.
#[derive(Debug, Default)]
pub(super) struct Pace {
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// Waits until `bytes` more have had their time at `rate`; 0 does not wait.
    pub(super) async fn pass(&self, bytes: u64, rate: u64) {
        if rate == 0 {
            return;
        }
        let cost = Duration::from_nanos(
            u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX),
        );
        let now = Instant::now();
        let until = {
            let mut free_at = hold(&self.free_at);
            let until = free_at.unwrap_or(now).max(now) + cost;
            *free_at = Some(until);
            until
        };
        sleep_until(until).await;
    }

    /// The largest write that keeps a rate smooth: a fiftieth of a second, but not less than one byte.
    pub(super) fn step(rate: u64) -> u64 {
        if rate == 0 {
            u64::MAX
        } else {
            (rate / 50).max(1)
        }
    }
}
