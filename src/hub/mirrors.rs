//! The hub and its mirrors: the bytes of a file come from the first of them that works.
//!
//! Invariant: which commit is meant, which files it has and what they hash to is asked of the hub alone; a mirror gives
//! bytes, and whether they are right is decided by the hub's digests. A token goes to the hub only.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::fetch_error::FetchError;
use super::range_body::RangeBody;
use super::reader::RangeReader;
use crate::domain::{FailureCode, RepoPath};

/// After a failure others go before for so long; doubles up to `LONGEST` with each one in a row.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(10);

/// How a place has done lately; shared by all files.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    avoided_until: Option<Instant>,
}

impl Health {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, now: Instant) {
        let mut state = self.lock();
        // Several connections fail together: that counts once.
        if state.avoided_until.is_some_and(|until| now < until) {
            return;
        }
        let pause = FIRST
            .saturating_mul(1 << state.failures.min(16))
            .min(LONGEST);
        state.failures += 1;
        state.avoided_until = Some(now + pause);
    }

    fn works(&self) {
        let mut state = self.lock();
        if state.failures > 0
            && state
                .avoided_until
                .is_none_or(|until| Instant::now() >= until)
        {
            *state = State::default();
        }
    }

    /// Until when others go before; none when it may be asked.
    fn avoided(&self, now: Instant) -> Option<Instant> {
        self.lock().avoided_until.filter(|until| now < *until)
    }
}

/// Reads ranges of one file, at the hub or at a mirror.
#[derive(Debug)]
pub(crate) struct FileReader {
    /// The hub first, then the mirrors in their order.
    places: Vec<(RangeReader, Arc<Health>)>,
}

/// The bytes of a range.
#[derive(Debug)]
pub(crate) struct FileBody {
    body: RangeBody,
    /// None when there is no other place.
    health: Option<Arc<Health>>,
}

impl FileReader {
    pub(super) fn new(places: Vec<(RangeReader, Arc<Health>)>) -> Self {
        Self { places }
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &RepoPath {
        self.places[0].0.path()
    }

    /// Asks for the bytes `range.start..range.end`, as [`RangeReader::open`] does: where all went well lately, and
    /// elsewhere when that fails. When all fail, the hub's own word counts.
    pub(crate) async fn open(&self, range: Range<u64>) -> Result<FileBody, FetchError> {
        let alone = self.places.len() == 1;
        let mut error: Option<(usize, FetchError)> = None;
        for index in self.order(Instant::now()) {
            let (reader, health) = &self.places[index];
            match reader.open(range.clone()).await {
                Ok(body) => {
                    health.works();
                    return Ok(FileBody {
                        body,
                        health: (!alone).then(|| Arc::clone(health)),
                    });
                }
                Err(failed) if alone => return Err(failed),
                // What the hub says of the file holds for its mirrors too.
                Err(failed) if index == 0 && !is_of_the_place(&failed) => return Err(failed),
                Err(failed) => {
                    tracing::info!(file = %self.path(), error = %failed, "Bytes are asked for elsewhere.");
                    health.failed(Instant::now());
                    if error.as_ref().is_none_or(|(of, _)| index < *of) {
                        error = Some((index, failed));
                    }
                }
            }
        }
        let (_, error) = error.expect("there is at least one place");
        Err(error)
    }

    /// Those that work in their order, then those that failed, the longest ago first.
    fn order(&self, now: Instant) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.sort_by_key(|index| self.places[*index].1.avoided(now));
        order
    }
}

/// Whether another place may do better: trouble on the way or at the server, not what the hub says of the file.
fn is_of_the_place(error: &FetchError) -> bool {
    matches!(
        error.code(),
        FailureCode::HubUnreachable
            | FailureCode::Network
            | FailureCode::Timeout
            | FailureCode::ServerError
            | FailureCode::RateLimited
    )
}

impl FileBody {
    /// As [`RangeBody::poll_read`]; a failure is remembered of the place.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, FetchError>> {
        let read = self.body.poll_read(context, buffer);
        if let (Poll::Ready(Err(_)), Some(health)) = (&read, &self.health) {
            health.failed(Instant::now());
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_is_avoided_longer_each_time_until_it_works() {
        let health = Health::default();
        let now = Instant::now();
        assert_eq!(health.avoided(now), None);
        health.failed(now);
        health.failed(now + Duration::from_secs(1));
        assert_eq!(health.avoided(now), Some(now + FIRST));
        let later = now + FIRST;
        assert_eq!(health.avoided(later), None);
        health.failed(later);
        assert_eq!(health.avoided(later), Some(later + 2 * FIRST));
        tokio::time::advance(3 * FIRST).await;
        health.works();
        health.failed(Instant::now());
        assert_eq!(health.avoided(Instant::now()), Some(Instant::now() + FIRST));
        for _ in 0..40 {
            tokio::time::advance(LONGEST).await;
            health.failed(Instant::now());
        }
        let until = health.avoided(Instant::now()).unwrap();
        assert_eq!(until, Instant::now() + LONGEST);
    }

    #[test]
    fn what_the_hub_says_of_a_file_sends_nobody_elsewhere() {
        let url = || "https://hub.test/x".to_owned();
        let changed = FetchError::Changed {
            url: url(),
            what: "the size",
            expected: "1".to_owned(),
            got: "2".to_owned(),
        };
        for of_the_file in [changed, FetchError::RangeIgnored { url: url() }] {
            assert!(!is_of_the_place(&of_the_file), "{of_the_file:?}");
        }
        let status = |status| FetchError::Status { url: url(), status };
        assert!(is_of_the_place(&status(502)) && !is_of_the_place(&status(404)));
    }
}
