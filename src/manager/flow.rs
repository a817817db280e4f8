//! How fast it went: bytes of each second, kept in memory for a while and in the database for a day.
//!
//! Only the process whose worker receives writes, every ten seconds and at its end, and only when something came; a
//! kill costs the curve its last ten seconds, nothing else.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::{Result, UnifiedModelDownloadManager};
use crate::store::{Received, STEPS};

const SECOND: Duration = Duration::from_secs(1);
/// Seconds between two writes.
const WRITE_EVERY: i64 = 10;
/// Seconds that are remembered for whoever asks how fast the last ones were.
const REMEMBERED: usize = 30;

/// A span that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Five minutes in seconds.
    FiveMinutes,
    /// An hour in steps of ten seconds.
    Hour,
    /// A day in steps of two minutes.
    Day,
}

impl Span {
    /// Length of a step and of the whole, in seconds.
    fn lengths(self) -> (i64, i64) {
        let [minutes, hour, day] = STEPS;
        match self {
            Self::FiveMinutes => minutes,
            Self::Hour => hour,
            Self::Day => day,
        }
    }
}

/// How fast a step was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ThroughputPoint {
    /// Its beginning, in seconds since the Unix epoch.
    pub t: i64,
    /// Bytes per second on the mean; of the last step, over the part of it that is over.
    pub bytes_per_second: u64,
}

/// How fast it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Throughput {
    /// Length of a step in seconds.
    pub step_seconds: i64,
    /// The limit in bytes per second that holds now.
    pub bandwidth_limit: Option<u64>,
    /// Every step of the span, oldest first, also those in which nothing came.
    pub points: Vec<ThroughputPoint>,
}

/// What was received and is not written yet, and the last seconds.
#[derive(Debug, Default)]
pub(super) struct Flow(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// The count of the process at the last look.
    total: u64,
    /// Bytes by length and beginning of the step.
    unwritten: BTreeMap<(i64, i64), u64>,
    /// The last seconds at which it was looked, with their bytes.
    seconds: BTreeMap<i64, u64>,
}

impl Flow {
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what came until now for the second that ends now.
    fn count(&self, total: u64, now: i64) {
        let mut counted = self.lock();
        let bytes = total.saturating_sub(counted.total);
        counted.total = total;
        let at = now - 1;
        *counted.seconds.entry(at).or_default() += bytes;
        while counted.seconds.len() > REMEMBERED {
            counted.seconds.pop_first();
        }
        if bytes > 0 {
            for (step, _) in STEPS {
                *counted
                    .unwritten
                    .entry((step, at - at.rem_euclid(step)))
                    .or_default() += bytes;
            }
        }
    }

    /// Bytes of a second, when this process has counted it and its worker may have received something.
    pub(super) fn second(&self, at: i64) -> Option<u64> {
        let counted = self.lock();
        (counted.total > 0)
            .then(|| counted.seconds.get(&at).copied())
            .flatten()
    }

    fn take(&self) -> Vec<Received> {
        let unwritten = std::mem::take(&mut self.lock().unwritten);
        let received = unwritten.into_iter();
        received
            .map(|((step, at), bytes)| Received { step, at, bytes })
            .collect()
    }

    fn give_back(&self, received: &[Received]) {
        let mut counted = self.lock();
        for one in received {
            *counted.unwritten.entry((one.step, one.at)).or_default() += one.bytes;
        }
    }

    fn unwritten(&self, step: i64) -> Vec<(i64, u64)> {
        let counted = self.lock();
        let of_step = counted.unwritten.range((step, i64::MIN)..=(step, i64::MAX));
        of_step.map(|(&(_, at), &bytes)| (at, bytes)).collect()
    }
}

impl UnifiedModelDownloadManager {
    /// Counts each second what this process received, until it is dropped.
    pub(super) async fn count_flow(&self) {
        let mut ticks = tokio::time::interval(SECOND);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut written = self.clock.now().timestamp();
        loop {
            ticks.tick().await;
            let now = self.clock.now().timestamp();
            self.flow.count(self.context.live.received(), now);
            if (now - written).abs() >= WRITE_EVERY {
                written = now;
                self.write_flow().await;
            }
        }
    }

    /// Counts what came since the last second, and writes all: the work is over.
    pub(super) async fn finish_flow(&self) {
        let now = self.clock.now().timestamp();
        self.flow.count(self.context.live.received(), now + 1);
        self.write_flow().await;
    }

    /// Writes what was counted; what cannot be written is tried again with the next ones.
    async fn write_flow(&self) {
        let now = self.clock.now().timestamp();
        let received = self.flow.take();
        if received.is_empty() {
            return;
        }
        if let Err(error) = self.context.store.add_received(&received, now).await {
            tracing::debug!(%error, "The throughput cannot be written.");
            // Bounded: steps that are too old to be shown are not kept for it.
            let young = |one: &&Received| {
                STEPS
                    .iter()
                    .any(|(step, kept)| *step == one.step && one.at >= now - kept)
            };
            let young: Vec<Received> = received.iter().filter(young).copied().collect();
            self.flow.give_back(&young);
        }
    }

    /// How fast it went within the span that ends now.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn throughput(&self, span: Span) -> Result<Throughput> {
        let (step, length) = span.lengths();
        let now = self.clock.now().timestamp();
        let last = now - now.rem_euclid(step);
        let first = last - length + step;
        let mut steps: BTreeMap<i64, u64> = BTreeMap::new();
        // What is written before what is not: what is written in between is missed this once, never counted twice.
        for one in self.context.store.received(step, first).await? {
            *steps.entry(one.at).or_default() += one.bytes;
        }
        for (at, bytes) in self.flow.unwritten(step) {
            *steps.entry(at).or_default() += bytes;
        }
        let settings = self.context.store.settings().await?;
        let count = usize::try_from(length / step).unwrap_or(0);
        let begins = std::iter::successors(Some(first), |at| Some(at + step)).take(count);
        let points = begins.map(|at| {
            let over = (now - at).clamp(1, step).unsigned_abs();
            ThroughputPoint {
                t: at,
                bytes_per_second: steps.get(&at).copied().unwrap_or(0) / over,
            }
        });
        Ok(Throughput {
            step_seconds: step,
            bandwidth_limit: settings.bandwidth_limit.or(self.options.bandwidth_limit),
            points: points.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_once_in_each_length_of_step() {
        let flow = Flow::default();
        flow.count(0, 1000);
        assert_eq!(flow.second(999), None, "nothing was ever received here");
        flow.count(500, 1001);
        flow.count(500, 1002);
        flow.count(700, 1003);
        assert_eq!(
            (flow.second(1000), flow.second(1001), flow.second(1002)),
            (Some(500), Some(0), Some(200))
        );
        assert_eq!(flow.unwritten(1), [(1000, 500), (1002, 200)]);
        assert_eq!(flow.unwritten(10), [(1000, 700)]);
        assert_eq!(flow.unwritten(120), [(960, 700)]);
        let received = flow.take();
        assert_eq!((received.len(), flow.unwritten(10)), (4, vec![]));
        flow.give_back(&received);
        flow.count(701, 1004);
        assert_eq!(flow.unwritten(10), [(1000, 701)]);
    }

    #[test]
    fn only_the_last_seconds_are_remembered() {
        let flow = Flow::default();
        for second in 0..1000 {
            flow.count(1, second);
        }
        assert_eq!(flow.lock().seconds.len(), REMEMBERED);
        assert_eq!(flow.unwritten(1), [(-1, 1)]);
    }
}
