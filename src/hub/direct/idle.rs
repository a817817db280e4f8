//! Connections that wait for their next request.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::{Read as _, ReadBuf};

use super::connect::Stream;

/// How long a connection is kept without a use; servers close theirs after a minute or more.
const LONGEST: Duration = Duration::from_secs(50);
/// Connections that are kept for one place.
const MOST: usize = 64;

/// What is kept, by scheme, host and port; the one that was used last is used first.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<HashMap<String, Vec<(Instant, Stream)>>>);

impl Idle {
    /// A connection on which nothing has come since its last answer.
    pub(super) fn take(&self, place: &str) -> Option<Stream> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get_mut(place)?;
        while let Some((since, mut stream)) = kept.pop() {
            if since.elapsed() < LONGEST && is_quiet(&mut stream) {
                return Some(stream);
            }
        }
        all.remove(place);
        None
    }

    /// Keeps a connection.
    pub(super) fn keep(&self, place: String, stream: Stream) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Places that are not asked any more must not keep their connections for ever.
        all.retain(|_, kept| {
            kept.retain(|(since, _)| since.elapsed() < LONGEST);
            !kept.is_empty()
        });
        let kept = all.entry(place).or_default();
        if kept.len() < MOST {
            kept.push((Instant::now(), stream));
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
