//! How many wrong tokens are answered in full: past that they get a short "later", and the log one line.
//!
//! It counts over all callers and never touches the right token.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The span over which wrong tokens are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Wrong tokens in one span that are answered in full.
const FREE: u32 = 20;

/// Counts wrong tokens.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Option<(Instant, u32)>>);

impl Throttle {
    /// Counts a wrong token; the seconds to wait when there were too many.
    pub(super) fn count(&self) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (since, count) = match *window {
            Some((since, count)) if now.duration_since(since) < WINDOW => {
                (since, count.saturating_add(1))
            }
            _ => (now, 1),
        };
        *window = Some((since, count));
        if count == 1 {
            tracing::warn!("A request carried a wrong admin token.");
        } else if count == FREE + 1 {
            tracing::warn!(
                count,
                "Many requests carry a wrong admin token; they are put off."
            );
        }
        let left = WINDOW.saturating_sub(now.duration_since(since));
        (count > FREE).then(|| left.as_secs().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_wrong_tokens_are_put_off_until_the_span_is_over() {
        let throttle = Throttle::default();
        for _ in 0..FREE {
            assert_eq!(throttle.count(), None);
        }
        assert_eq!(throttle.count(), Some(10));
        tokio::time::advance(WINDOW).await;
        assert_eq!(throttle.count(), None);
    }
}
