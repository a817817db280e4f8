//! What becomes of a job after a failed attempt: one pure function.
//!
//! Attempts without a new byte are counted and bounded; a new byte resets the count, but only more than a trickle
//! resets the pause. Causes that lie outside (a full disk, a foreign lock) wait without being counted.

use std::time::Duration;

use crate::domain::{Disposition, Failure, FailureCode, WaitReason};

/// A full disk is looked at again after this long.
const DISK_RECHECK: Duration = Duration::from_secs(5);
/// A file that another program downloads is asked for again after this long.
const LOCK_RECHECK: Duration = Duration::from_secs(1);
/// A switched-off or handler-less job is looked at again after this long; its cure wakes it earlier.
const IDLE_RECHECK: Duration = Duration::from_mins(1);

/// Bounds of the retries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// Consecutive attempts without a new byte before the job fails; at least 1.
    pub(crate) max_retries: u32,
    /// The pause after the first failed attempt; doubles with each further one.
    pub(crate) backoff: Duration,
    /// The longest pause, also when the server asks for more.
    pub(crate) backoff_max: Duration,
}

/// New bytes up to this many are a trickle: a server that gives a few to each attempt is not asked in a hot loop.
pub(crate) const TRICKLE: u64 = 256 << 10;

/// What becomes of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It has failed.
    Fail,
    /// It waits.
    Wait {
        /// Why.
        reason: WaitReason,
        /// How long.
        pause: Duration,
        /// The count of attempts without a new byte, to be stored.
        retries: u32,
    },
}

impl RetryPolicy {
    /// Decides after `failure`, with `retries` counted before this attempt. `progressed`: this attempt brought new
    /// bytes; `trickles`: attempts in a row up to this one that brought only a [`TRICKLE`].
    /// `jitter` in 0..1 spreads the pause over its upper half.
    pub(crate) fn decide(
        &self,
        failure: &Failure,
        retries: u32,
        progressed: bool,
        trickles: u32,
        jitter: f64,
    ) -> Decision {
        match failure.code.disposition() {
            Disposition::Permanent => Decision::Fail,
            Disposition::Wait(reason) => Decision::Wait {
                reason,
                pause: recheck(failure.code),
                retries,
            },
            Disposition::Retry(reason) => {
                let retries = if progressed {
                    0
                } else {
                    retries.saturating_add(1)
                };
                if retries >= self.max_retries {
                    return Decision::Fail;
                }
                let doublings = retries.max(trickles).saturating_sub(1).min(20);
                let full = self
                    .backoff
                    .saturating_mul(1 << doublings)
                    .min(self.backoff_max);
                let spread = full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
                let asked = failure.retry_after.unwrap_or(Duration::ZERO);
                Decision::Wait {
                    reason,
                    pause: spread.max(asked).min(self.backoff_max),
                    retries,
                }
            }
        }
    }
}

fn recheck(code: FailureCode) -> Duration {
    match code {
        FailureCode::DiskFull => DISK_RECHECK,
        FailureCode::CacheLocked => LOCK_RECHECK,
        _ => IDLE_RECHECK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_retries: 3,
        backoff: Duration::from_secs(2),
        backoff_max: Duration::from_mins(1),
    };

    fn pause(failure: &Failure, retries: u32, progressed: bool) -> Option<(Duration, u32)> {
        match POLICY.decide(failure, retries, progressed, 0, 1.0) {
            Decision::Fail => None,
            Decision::Wait { pause, retries, .. } => Some((pause, retries)),
        }
    }

    #[test]
    fn attempts_without_progress_are_bounded_and_back_off() {
        let failure = Failure::new(FailureCode::Timeout, "no byte came");
        assert_eq!(pause(&failure, 0, false), Some((Duration::from_secs(2), 1)));
        assert_eq!(pause(&failure, 1, false), Some((Duration::from_secs(4), 2)));
        assert_eq!(pause(&failure, 2, false), None);
    }

    #[test]
    fn a_new_byte_resets_the_count() {
        let failure = Failure::new(FailureCode::Network, "cut");
        assert_eq!(pause(&failure, 2, true), Some((Duration::from_secs(2), 0)));
    }

    #[test]
    fn a_trickle_resets_the_count_but_not_the_pause() {
        let failure = Failure::new(FailureCode::Network, "cut");
        let pauses: Vec<u64> = (1..=7)
            .map(
                |trickles| match POLICY.decide(&failure, 0, true, trickles, 1.0) {
                    Decision::Wait { pause, retries, .. } => {
                        assert_eq!(retries, 0);
                        pause.as_secs()
                    }
                    Decision::Fail => panic!("a new byte came"),
                },
            )
            .collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn the_server_may_ask_for_more_but_not_for_ever() {
        let ask = |seconds| {
            Failure::new(FailureCode::RateLimited, "slow down")
                .with_retry_after(Some(Duration::from_secs(seconds)))
        };
        assert_eq!(
            pause(&ask(30), 0, false),
            Some((Duration::from_secs(30), 1))
        );
        assert_eq!(
            pause(&ask(999_999_999), 0, false),
            Some((Duration::from_mins(1), 1))
        );
    }

    #[test]
    fn a_full_disk_waits_for_ever_and_a_missing_repository_not_at_all() {
        let full = Failure::new(FailureCode::DiskFull, "full");
        assert_eq!(pause(&full, 99, false), Some((DISK_RECHECK, 99)));
        assert_eq!(
            pause(&Failure::new(FailureCode::RepoNotFound, "gone"), 0, false),
            None
        );
    }

    #[test]
    fn jitter_keeps_to_the_upper_half() {
        let failure = Failure::new(FailureCode::Network, "cut");
        let Decision::Wait { pause, .. } = POLICY.decide(&failure, 0, false, 0, 0.0) else {
            panic!("waits")
        };
        assert_eq!(pause, Duration::from_secs(1));
    }
}
