//! Which range of a file is fetched next: pure decisions, without clocks or tasks of their own.
//!
//! Invariant: a missing byte is in exactly one place: to do, waiting for another try, or with a stream.

use std::ops::{Range, RangeInclusive};

use tokio::time::Instant;

use crate::domain::RangeSet;

/// The missing ranges of one file that no stream has.
#[derive(Debug, Default)]
pub(super) struct Plan {
    size: u64,
    todo: RangeSet,
    again: Vec<Again>,
    whole: bool,
}

/// A range that failed and is due again later.
#[derive(Debug, Clone)]
struct Again {
    range: Range<u64>,
    failures: u32,
    due: Instant,
}

/// A range to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) range: Range<u64>,
    pub(super) failures: u32,
    pub(super) whole: bool,
}

impl Plan {
    /// Everything of `0..size` that is not in `have`.
    pub(super) fn new(size: u64, have: &RangeSet) -> Self {
        Self {
            size,
            todo: have.gaps(size).into_iter().collect(),
            again: Vec::new(),
            whole: false,
        }
    }

    /// From now on the file is one stream from 0; call it again to have that stream started once more.
    pub(super) fn make_whole(&mut self, failures: u32, due: Instant) {
        self.whole = true;
        self.todo = RangeSet::new();
        self.again = vec![Again {
            range: 0..self.size,
            failures,
            due,
        }];
    }

    /// Whether the file is one stream from 0.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Bytes that no stream has.
    pub(super) fn unassigned(&self) -> u64 {
        let again: u64 = self.again.iter().map(|a| a.range.end - a.range.start).sum();
        self.todo.len() + again
    }

    /// The first range in file order that may be fetched now, about `want` bytes long.
    pub(super) fn take(&mut self, now: Instant, want: u64) -> Option<Ticket> {
        let due = (0..self.again.len())
            .filter(|i| self.again[*i].due <= now)
            .min_by_key(|i| self.again[*i].range.start);
        let next = self.todo.iter().next();
        if let Some(i) = due
            && next
                .as_ref()
                .is_none_or(|gap| self.again[i].range.start < gap.start)
        {
            let again = self.again.swap_remove(i);
            return Some(Ticket {
                range: again.range,
                failures: again.failures,
                whole: self.whole,
            });
        }
        let gap = next?;
        let length = gap.end - gap.start;
        // A crumb at the end of a gap would cost a request of its own.
        let cut = if length <= want.saturating_add(want / 4) {
            length
        } else {
            want
        };
        let range = gap.start..gap.start + cut;
        self.todo.remove(range.clone());
        Some(Ticket {
            range,
            failures: 0,
            whole: false,
        })
    }

    /// Gives the rest of a failed range back.
    pub(super) fn put_back(&mut self, range: Range<u64>, failures: u32, due: Instant) {
        if self.whole {
            self.make_whole(failures, due);
        } else if range.start < range.end {
            self.again.push(Again {
                range,
                failures,
                due,
            });
        }
    }
}

/// The length of the next piece: half of what each connection has still to bring, within `bounds`.
///
/// `left` counts all bytes to come, those on their way too, so that connections that ask one after the other get equal
/// pieces: each request costs a wait, and few rounds of them cost few waits. Halves, so that the last round is short and
/// its hash is soon done.
pub(super) fn piece_size(left: u64, connections: usize, bounds: RangeInclusive<u64>) -> u64 {
    let share = left / (2 * connections.max(1) as u64);
    // Whole mebibytes keep pieces and writes aligned to pages.
    let share = share.next_multiple_of(1 << 20);
    share.clamp(*bounds.start(), *bounds.end().max(bounds.start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn pieces_come_in_file_order_and_cover_each_gap_once() {
        let have: RangeSet = "10-20,50-60".parse().unwrap();
        let mut plan = Plan::new(100, &have);
        let now = Instant::now();
        let mut seen = have;
        let mut last = 0;
        while let Some(ticket) = plan.take(now, 8) {
            assert!(ticket.range.start >= last);
            last = ticket.range.end;
            let before = seen.len();
            seen.insert(ticket.range.clone());
            assert_eq!(seen.len(), before + ticket.range.end - ticket.range.start);
        }
        assert_eq!(seen.to_string(), "0-100");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_range_waits_for_its_time_and_then_goes_first() {
        let mut plan = Plan::new(100, &RangeSet::new());
        let now = Instant::now();
        let first = plan.take(now, 10).unwrap();
        let later = now + std::time::Duration::from_secs(1);
        plan.put_back(4..first.range.end, 2, later);
        assert_eq!(plan.unassigned(), 96);
        assert_eq!(plan.take(now, 10).unwrap().range, 10..20);
        let again = plan.take(later, 10).unwrap();
        assert_eq!((again.range, again.failures), (4..10, 2));
    }

    #[tokio::test]
    async fn a_whole_file_is_one_ticket_from_zero() {
        let mut plan = Plan::new(100, &"0-50".parse().unwrap());
        let now = Instant::now();
        plan.make_whole(0, now);
        let ticket = plan.take(now, 10).unwrap();
        assert_eq!((ticket.range.clone(), ticket.whole), (0..100, true));
        assert_eq!(plan.take(now, 10), None);
        plan.put_back(30..100, 1, now);
        assert_eq!(plan.take(now, 10).unwrap().range, 0..100);
    }

    proptest! {
        #[test]
        fn pieces_shrink_and_stay_within_their_bounds(left in 0u64..1 << 42, connections in 1usize..64) {
            let bounds = 4 << 20..=32 << 20;
            let size = piece_size(left, connections, bounds.clone());
            prop_assert!(bounds.contains(&size));
            prop_assert!(piece_size(left / 2, connections, bounds) <= size);
        }
    }
}
