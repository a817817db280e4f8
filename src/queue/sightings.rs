//! Since when foreign locks have been seen, so that waiting says for how long.
//!
//! Attempts come and go while a lock stays; what they saw is kept here, by path, for this process only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// A lock that was not met for so long counts as a new one.
const FORGOTTEN: TimeDelta = TimeDelta::minutes(2);

/// The locks that were met.
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<BTreeMap<PathBuf, Seen>>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    first: DateTime<Utc>,
    last: DateTime<Utc>,
}

impl Sightings {
    /// Notes that a lock is held by another program at `now`; answers since when it has been.
    pub(crate) fn met(&self, path: &Path, now: DateTime<Utc>) -> DateTime<Utc> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, seen| now - seen.last < FORGOTTEN);
        let here = seen.entry(path.to_owned()).or_insert(Seen {
            first: now,
            last: now,
        });
        here.last = now;
        here.first
    }

    /// Notes that a lock could be had.
    pub(crate) fn gone(&self, path: &Path) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sight_counts_until_the_lock_is_had_or_forgotten() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let (sightings, path) = (Sightings::default(), Path::new("a.lock"));
        assert_eq!(sightings.met(path, at(0)), at(0));
        assert_eq!(sightings.met(path, at(100)), at(0));
        assert_eq!(sightings.met(Path::new("b.lock"), at(110)), at(110));
        assert_eq!(sightings.met(path, at(210)), at(0));
        sightings.gone(path);
        assert_eq!(sightings.met(path, at(220)), at(220));
        assert_eq!(sightings.met(path, at(999)), at(999));
    }
}
