//! A stream of chunks as the bytes of a range, for sources that are handed memory of somebody else's.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use futures_util::Stream;

use super::error::SourceError;
use super::source::Body;

/// Copies what a stream hands out.
pub(crate) struct Chunks<S> {
    stream: Pin<Box<S>>,
    chunk: Bytes,
}

impl<S> Chunks<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream: Box::pin(stream),
            chunk: Bytes::new(),
        }
    }
}

impl<S: Stream<Item = Result<Bytes, SourceError>> + Send> Body for Chunks<S> {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, SourceError>> {
        if self.chunk.is_empty() {
            match self.stream.as_mut().poll_next(context) {
                Poll::Ready(Some(chunk)) => self.chunk = chunk?,
                Poll::Ready(None) => return Poll::Ready(Ok(0)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.chunk.is_empty() {
            // An empty chunk is no end and no sign of life; a flood of them must not keep the thread.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Poll::Ready(Ok(count))
    }
}
