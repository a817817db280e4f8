//! What this process remembers of the earlier attempts of jobs that are not over; only hints, so a restart may lose it.
//!
//! The rows know what was tried and what failed. This is what they need not keep: how often in a row a server gave
//! only a trickle, and that the hub answered while a token was sent.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::retry::TRICKLE;
use crate::domain::JobId;

/// The past of unfinished jobs.
#[derive(Debug, Default)]
pub(crate) struct Past {
    jobs: Mutex<HashMap<JobId, Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    trickles: u32,
    token_worked: bool,
}

impl Past {
    /// Counts an attempt that brought so many new bytes; answers how many in a row up to it brought only a trickle.
    pub(crate) fn attempt(&self, id: JobId, new_bytes: u64) -> u32 {
        let mut jobs = self.jobs();
        let memory = jobs.entry(id).or_default();
        memory.trickles = if (1..=TRICKLE).contains(&new_bytes) {
            memory.trickles.saturating_add(1)
        } else {
            0
        };
        memory.trickles
    }

    /// Notes that the hub answered a request that carried a token.
    pub(crate) fn token_worked(&self, id: JobId) {
        self.jobs().entry(id).or_default().token_worked = true;
    }

    /// Whether it ever did.
    pub(crate) fn had_token(&self, id: JobId) -> bool {
        self.jobs().get(&id).is_some_and(|job| job.token_worked)
    }

    /// Forgets a job that is over.
    pub(crate) fn forget(&self, id: JobId) {
        self.jobs().remove(&id);
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Memory>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn only_trickles_in_a_row_count() {
        let past = Past::default();
        let id = JobId::generate(DateTime::UNIX_EPOCH);
        let counts = [1, 5, TRICKLE, TRICKLE + 1, 1, 0, 1].map(|bytes| past.attempt(id, bytes));
        assert_eq!(counts, [1, 2, 3, 0, 1, 0, 1]);
        past.forget(id);
        assert_eq!(past.attempt(id, 1), 1);
    }
}
