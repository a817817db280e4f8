//! Which connection does what next, and what becomes of a range when its stream ends.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::error::{SourceErrorKind, TransferError};
use super::piece::Piece;
use super::run::Run;
use super::schedule::{Ticket, piece_size};
use super::stream::{Ended, Fault, fetch};
use crate::domain::{Failure, FailureCode};

/// New bytes below which a try that failed brought only a crumb.
const CRUMB: u64 = 16 << 10;
/// Crumbs in a row that a file may come in: beyond them the run ends, and others have their turn.
const CRUMBS_MAX: u32 = 64;

impl Run {
    /// Gives work to every connection that may run.
    pub(super) fn dispatch(&mut self) {
        let now = Instant::now();
        // What is received ahead of the frontier comes to the hasher at once, so that much lag is no lag.
        let ahead = self.pace.longest(&self.options) * self.ramp.target() as u64;
        let lag = self.options.hash_lag.max(2 * ahead);
        self.shared.hash_lag.store(lag, Ordering::Relaxed);
        if self.hold_until.is_some_and(|until| now < until) {
            return;
        }
        self.hold_until = None;
        let most = self.ramp.target().min(self.shared.limiter.connections());
        while self.streams.len() < most {
            let Some((index, piece)) = self.assign(now).or_else(|| self.steal(now)) else {
                return;
            };
            let slot = &self.slots[index];
            let part = Arc::clone(slot.part.as_ref().expect("an active file has its part"));
            self.progress.current(index);
            self.streams.spawn(fetch(
                self.shared.clone(),
                Arc::clone(slot.source.as_ref().expect("an active file has its source")),
                part,
                piece,
            ));
        }
    }

    /// A range that nobody fetches: first of a file without a stream, then of the first file.
    fn assign(&mut self, now: Instant) -> Option<(usize, Arc<Piece>)> {
        let bounds = self.pace.shortest(&self.options)..=self.pace.longest(&self.options);
        let left = self.left_to_come();
        for idle_only in [true, false] {
            for index in self.active.clone() {
                let slot = &mut self.slots[index];
                if slot.hash.is_some() || (idle_only && !slot.streams.is_empty()) {
                    continue;
                }
                let size = piece_size(left, self.ramp.target(), bounds.clone());
                if let Some(piece) = slot.next_piece(now, size, &self.stop) {
                    return Some((index, piece));
                }
            }
        }
        None
    }

    /// Bytes of big files that have to come yet, those on their way included.
    fn left_to_come(&self) -> u64 {
        let active = self.active.iter().map(|index| {
            let slot = &self.slots[*index];
            let running: u64 = slot.streams.iter().map(|piece| piece.left()).sum();
            slot.plan.unassigned() + running
        });
        let waiting = self.waiting[1].iter();
        active.sum::<u64>()
            + waiting
                .map(|index| self.slots[*index].file.size)
                .sum::<u64>()
    }

    /// Half of the slowest piece, or all of one that fell silent.
    fn steal(&mut self, now: Instant) -> Option<(usize, Arc<Piece>)> {
        let splittable = self.active.iter().filter(|index| {
            // The streams of the others are about to end.
            let slot = &self.slots[**index];
            slot.hash.is_none() && !slot.plan.is_whole()
        });
        let running = splittable.flat_map(|index| {
            let pieces = self.slots[*index].streams.iter();
            pieces.map(move |piece| (*index, Arc::clone(piece)))
        });
        let running: Vec<_> = running.collect();
        for (index, piece) in &running {
            // Each take-over counts as a failure and the next one comes later: a dead server must not be asked
            // for ever, and a slow one must get the time to answer.
            let patience = self.options.takeover_after * (1 << piece.failures.min(8));
            if piece.failures + 1 < self.options.range_retries
                && let Some(range) = piece.take_over(now, patience)
            {
                tracing::debug!(file = %self.slots[*index].file.path, start = range.start, "A silent stream is replaced.");
                return Some((*index, self.begin(*index, range, piece.failures + 1)));
            }
        }
        if running.iter().any(|(_, piece)| piece.is_held_up(now)) {
            return None;
        }
        let left = |piece: &Arc<Piece>| piece.seconds_left(now).unwrap_or(0.0);
        let wait = self.pace.wait();
        let running = longest_first(running, |(_, piece)| left(piece));
        running.into_iter().find_map(|(left, (index, piece))| {
            // A rest that is nearly in is not worth a request.
            let worth = left > 0.05_f64.max(2.5 * wait);
            let range = worth
                .then(|| piece.split(self.options.steal_min, wait))
                .flatten()?;
            Some((index, self.begin(index, range, 0)))
        })
    }

    fn begin(&mut self, index: usize, range: Range<u64>, failures: u32) -> Arc<Piece> {
        let ticket = Ticket {
            range,
            failures,
            whole: false,
        };
        self.slots[index].begin(ticket, &self.stop)
    }

    /// Decides what becomes of the range of a stream that ended.
    pub(super) fn stream_ended(&mut self, ended: Ended) -> Result<(), TransferError> {
        let now = Instant::now();
        let index = ended.index;
        let small = self.is_small(index);
        let slot = &mut self.slots[index];
        slot.forget(&ended.piece);
        let rest = ended.piece.rest();
        // Short pieces say little about speed.
        if !small && let Some(shown) = ended.piece.shown(now) {
            self.pace.learn(shown);
        }
        match ended.result {
            Ok(()) => {
                slot.crumbs = 0;
                if small || ended.piece.waited_most(now) {
                    self.ramp.waited(now);
                }
                if !rest.is_empty() {
                    // Revoked on the way: the rest is still missing.
                    slot.plan.put_back(rest, ended.piece.failures, now);
                }
            }
            Err(Fault::Fenced) => return Err(TransferError::Fenced),
            Err(Fault::Disk(failure)) => return Err(TransferError::Failed(failure)),
            Err(Fault::Source(error)) => match error.kind {
                SourceErrorKind::Changed | SourceErrorKind::Permanent => {
                    return Err(TransferError::Failed(error.failure));
                }
                SourceErrorKind::RangeIgnored if ended.piece.whole => {
                    return Err(TransferError::Failed(error.failure));
                }
                SourceErrorKind::RangeIgnored => {
                    if !slot.plan.is_whole() {
                        tracing::info!(file = %slot.file.path, "The server ignores ranges; the file is read as one stream.");
                        slot.plan.make_whole(0, now);
                        slot.streams.iter().for_each(|piece| piece.revoked.cancel());
                    }
                }
                SourceErrorKind::Transient => {
                    let crumb = (1..CRUMB).contains(&ended.gained);
                    slot.crumbs = if crumb { slot.crumbs + 1 } else { 0 };
                    if slot.crumbs > CRUMBS_MAX {
                        return Err(TransferError::Failed(error.failure));
                    }
                    let failures = if ended.gained > 0 {
                        1
                    } else {
                        ended.piece.failures + 1
                    };
                    let due = now + self.pause(&error.failure, failures, now)?;
                    let slot = &mut self.slots[index];
                    tracing::debug!(file = %slot.file.path, failures, cause = %error.failure, "A range is tried again.");
                    slot.plan.put_back(rest, failures, due);
                }
            },
        }
        self.judge(index)
    }

    /// How long a failed range waits, or that waiting is over.
    fn pause(
        &mut self,
        failure: &Failure,
        failures: u32,
        now: Instant,
    ) -> Result<Duration, TransferError> {
        let asked = failure.retry_after.unwrap_or_default();
        if failures >= self.options.range_retries.max(1) || asked > self.options.retry_after_max {
            return Err(TransferError::Failed(failure.clone()));
        }
        let refused = failure.code == FailureCode::RateLimited || failure.retry_after.is_some();
        let pause = asked.max(self.options.backoff(failures));
        if refused {
            self.ramp.refused(now);
            self.hold_until = self.hold_until.max(Some(now + pause));
        }
        Ok(pause)
    }
}

/// Sorts by seconds left, most first. Each one is asked once: streams move on meanwhile, and a sort whose answers
/// change between two comparisons panics.
fn longest_first<T>(items: Vec<T>, seconds: impl Fn(&T) -> f64) -> Vec<(f64, T)> {
    let mut sorted: Vec<_> = items
        .into_iter()
        .map(|item| (seconds(&item), item))
        .collect();
    sorted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    sorted
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_moves_on_while_it_is_sorted_does_no_harm() {
        let asked = Cell::new(0_u32);
        for _ in 0..100 {
            // Never the same answer twice, and in no order.
            let moving = |_: &u32| {
                asked.set(
                    asked
                        .get()
                        .wrapping_mul(1_664_525)
                        .wrapping_add(1_013_904_223),
                );
                f64::from(asked.get())
            };
            let sorted = longest_first((0..200).collect(), moving);
            assert_eq!(sorted.len(), 200);
            assert!(sorted.is_sorted_by(|(a, _), (b, _)| a >= b));
        }
    }
}
