//! Connections that wait for their next request, or for their first.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::{Read as _, ReadBuf};
use tokio_util::task::AbortOnDropHandle;

use super::connect::Stream;

/// How long a connection is kept without a use; servers close theirs after a minute or more.
const LONGEST: Duration = Duration::from_secs(50);
/// Connections that are kept for one place.
const MOST: usize = 64;

/// What is kept, by scheme, host and port; the one that was used last is used first.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<HashMap<String, Vec<(Instant, Kept)>>>);

#[derive(Debug)]
enum Kept {
    Ready(Box<Stream>),
    /// Being made; none when that failed, which whoever needs one finds out again.
    Coming(AbortOnDropHandle<Option<Stream>>),
}

impl Idle {
    /// A connection on which nothing has come since its last answer; waits for one that is being made.
    pub(super) async fn take(&self, place: &str) -> Option<Stream> {
        while let Some((since, kept)) = self.pop(place) {
            let stream = match kept {
                Kept::Ready(stream) => Some(*stream),
                Kept::Coming(making) => making.await.ok().flatten(),
            };
            if since.elapsed() < LONGEST
                && let Some(mut stream) = stream
                && is_quiet(&mut stream)
            {
                return Some(stream);
            }
        }
        None
    }

    fn pop(&self, place: &str) -> Option<(Instant, Kept)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get_mut(place)?.pop();
        if kept.is_none() {
            all.remove(place);
        }
        kept
    }

    /// How many are kept for a place, those that are being made included.
    pub(super) fn count(&self, place: &str) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(place).map_or(0, Vec::len)
    }

    /// Keeps a connection.
    pub(super) fn keep(&self, place: String, stream: Stream) {
        self.push(place, Kept::Ready(Box::new(stream)));
    }

    /// Keeps a connection that is being made; those that are ready are used before it.
    pub(super) fn keep_coming(&self, place: String, making: AbortOnDropHandle<Option<Stream>>) {
        self.push(place, Kept::Coming(making));
    }

    fn push(&self, place: String, new: Kept) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Places that are not asked any more must not keep their connections for ever.
        all.retain(|_, kept| {
            kept.retain(|(since, _)| since.elapsed() < LONGEST);
            !kept.is_empty()
        });
        let kept = all.entry(place).or_default();
        if kept.len() < MOST {
            let at = match new {
                Kept::Ready(_) => kept.len(),
                Kept::Coming(_) => 0,
            };
            kept.insert(at, (Instant::now(), new));
        }
    }
}

/// Whether the other side has neither closed the connection nor sent what nobody asked for.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    let mut context = Context::from_waker(Waker::noop());
    let polled: Poll<_> = Pin::new(stream).poll_read(&mut context, buffer.unfilled());
    polled.is_pending()
}
