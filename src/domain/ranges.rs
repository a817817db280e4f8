//! Sets of byte ranges: which parts of a file are here, and which are missing.
//!
//! Invariant: ranges are half-open, not empty, sorted, and neither overlap nor touch.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// A set of bytes, kept as sorted, separate, half-open ranges. Text form: `0-100,200-300`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Range<u64>>,
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the bytes of `range`; adding twice changes nothing.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let first = self.ranges.partition_point(|r| r.end < range.start);
        let last = self.ranges.partition_point(|r| r.start <= range.end);
        let mut merged = range;
        if let Some(low) = self.ranges.get(first).filter(|_| first < last) {
            merged.start = merged.start.min(low.start);
            merged.end = merged.end.max(self.ranges[last - 1].end);
        }
        self.ranges.splice(first..last, [merged]);
    }

    /// Takes the bytes of `range` out.
    pub fn remove(&mut self, range: Range<u64>) {
        let mut kept = Vec::with_capacity(self.ranges.len() + 1);
        for r in self.ranges.drain(..) {
            let left = r.start..r.end.min(range.start);
            let right = r.start.max(range.end)..r.end;
            if range.start >= range.end || r.end <= range.start || r.start >= range.end {
                kept.push(r);
                continue;
            }
            kept.extend(
                [left, right]
                    .into_iter()
                    .filter(|part| part.start < part.end),
            );
        }
        self.ranges = kept;
    }

    /// How many bytes the set holds.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }

    /// Whether the set holds no byte.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().cloned()
    }

    /// The end of the bytes that are here without a gap from 0 on.
    pub fn frontier(&self) -> u64 {
        self.ranges
            .first()
            .filter(|r| r.start == 0)
            .map_or(0, |r| r.end)
    }

    /// What is missing of `0..size`, in order.
    pub fn gaps(&self, size: u64) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = 0;
        for r in &self.ranges {
            if r.start >= size {
                break;
            }
            if at < r.start {
                gaps.push(at..r.start);
            }
            at = r.end;
        }
        if at < size {
            gaps.push(at..size);
        }
        gaps
    }

    /// The same set without anything at or past `size`.
    #[must_use]
    pub fn clipped(mut self, size: u64) -> Self {
        self.remove(size..u64::MAX);
        self
    }

    /// The largest byte position plus one; 0 for the empty set.
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |r| r.end)
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, r) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{}-{}", r.start, r.end)?;
        }
        Ok(())
    }
}

impl FromStr for RangeSet {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut set = Self::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (start, end) = part.split_once('-').unwrap_or((part, ""));
            set.insert(start.parse()?..end.parse()?);
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_behaves_like_a_set_of_bytes(steps in prop::collection::vec((any::<bool>(), 0u64..64, 0u64..24), 0..24)) {
            let mut set = RangeSet::new();
            let mut model = [false; 96];
            for (add, start, length) in steps {
                let range = start..start + length;
                model[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].fill(add);
                if add { set.insert(range) } else { set.remove(range) }
            }
            prop_assert_eq!(set.len(), model.iter().filter(|here| **here).count() as u64);
            let ranges: Vec<_> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            let here = |at: u64| ranges.iter().any(|r| r.contains(&at));
            prop_assert!((0..96).all(|at| here(at) == model[usize::try_from(at).unwrap()]));
            let missing: RangeSet = set.gaps(96).into_iter().collect();
            prop_assert_eq!(missing.len() + set.len(), 96);
            prop_assert_eq!(set.to_string().parse::<RangeSet>().unwrap(), set);
        }
    }
}
