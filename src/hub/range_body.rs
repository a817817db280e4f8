//! The bytes of one range as they come.
//!
//! Invariant: never more bytes than the range has, and an end only when all of them came. A pause of the
//! caller between two calls is not held against the server.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::fetch_error::{BrokenAt, FetchError};
use super::location::Cell;
use super::reply::Content;
use super::text::root_cause;

/// How long the end of a body without a length may take after its last byte.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// The body of an answer to a range; dropping it closes the connection unless it was read to its end.
#[derive(Debug)]
pub(crate) struct RangeBody {
    content: Option<Content>,
    url: String,
    expected: u64,
    got: u64,
    known_length: bool,
    read_timeout: Duration,
    silence: Silence,
    cell: Arc<Cell>,
}

impl RangeBody {
    pub(super) fn new(
        content: Content,
        url: String,
        expected: u64,
        known_length: bool,
        read_timeout: Duration,
        cell: Arc<Cell>,
    ) -> Self {
        Self {
            content: Some(content),
            url,
            expected,
            got: 0,
            known_length,
            read_timeout,
            silence: Silence::default(),
            cell,
        }
    }

    /// Reads the next bytes into `buffer`, which has room; 0 after the last one of the range.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, FetchError>> {
        let Some(content) = self.content.as_mut() else {
            return Poll::Ready(Ok(0));
        };
        let left = self.expected - self.got;
        if left == 0 && self.known_length {
            self.content = None;
            return Poll::Ready(Ok(0));
        }
        let mut beyond = [0];
        let buffer = if left == 0 {
            &mut beyond
        } else {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let most = most.min(buffer.len());
            &mut buffer[..most]
        };
        let result = match content.poll_read(context, buffer) {
            Poll::Ready(Ok(1..)) if left == 0 => Err(FetchError::TooLong {
                url: self.url.clone(),
                expected: self.expected,
            }),
            Poll::Ready(Ok(count @ 1..)) => {
                self.got += count as u64;
                self.silence.broken();
                self.cell.progressed();
                return Poll::Ready(Ok(count));
            }
            // Every byte is here and the hash decides; how the connection ends no longer matters.
            Poll::Ready(_) if left == 0 => Ok(0),
            Poll::Ready(Ok(_)) => Err(FetchError::Cut {
                url: self.url.clone(),
                got: self.got,
                expected: self.expected,
            }),
            Poll::Ready(Err(error)) => Err(FetchError::Transport {
                url: self.url.clone(),
                at: BrokenAt::Body,
                cause: root_cause(&*error),
            }),
            Poll::Pending => {
                let patience = if left == 0 {
                    self.read_timeout.min(END_PATIENCE)
                } else {
                    self.read_timeout
                };
                ready!(self.silence.poll_too_long(context, patience));
                if left == 0 {
                    Ok(0)
                } else {
                    Err(FetchError::Stall {
                        url: self.url.clone(),
                        waited: self.read_timeout,
                        got: self.got,
                    })
                }
            }
        };
        self.content = None;
        Poll::Ready(result)
    }
}

/// Since when nothing came although somebody waited for it.
///
/// Its timer is set once and, when it rings, again for what is left: bytes come far more often than silence.
#[derive(Debug, Default)]
struct Silence {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    fn broken(&mut self) {
        self.since = None;
    }

    fn poll_too_long(&mut self, context: &mut Context<'_>, patience: Duration) -> Poll<()> {
        let now = Instant::now();
        let due = *self.since.get_or_insert(now) + patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // One that rings too late is no use, and one that rang already would ring for ever.
        if timer.deadline() > due || timer.deadline() <= now && due > now {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(context).is_ready() {
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
impl RangeBody {
    /// What one read brings; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, FetchError> {
        let mut buffer = vec![0; 64 << 10];
        let count = std::future::poll_fn(|cx| self.poll_read(cx, &mut buffer)).await?;
        buffer.truncate(count);
        Ok((count > 0).then_some(buffer))
    }
}
