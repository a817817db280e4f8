//! The bytes behind the head of an answer.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::body::{Body as _, Incoming};
use hyper::rt::{Read as _, ReadBuf};

use super::connect::Stream;
use super::exchange::Conversation;
use super::idle::Idle;

/// A body; dropping it closes the connection unless it was read to its end.
#[derive(Debug)]
pub(in crate::hub) struct DirectBody {
    shape: Shape,
    home: Option<(Arc<Idle>, String)>,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "bodies are boxed as a whole, and nearly all have the larger shape"
)]
enum Shape {
    /// So many bytes, read here: those that came with the head, then those of the socket.
    Counted {
        stream: Option<Stream>,
        early: VecDeque<Bytes>,
        left: u64,
    },
    /// In chunks, or up to the end of the connection: read by hyper.
    Framed {
        body: Incoming,
        chunk: Bytes,
        conversation: Option<Box<Conversation>>,
    },
}

impl DirectBody {
    pub(super) fn counted(stream: Stream, early: VecDeque<Bytes>, length: u64) -> Self {
        Self {
            shape: Shape::Counted {
                stream: Some(stream),
                early,
                left: length,
            },
            home: None,
        }
    }

    pub(super) fn framed(body: Incoming, conversation: Option<Conversation>) -> Self {
        Self {
            shape: Shape::Framed {
                body,
                chunk: Bytes::new(),
                conversation: conversation.map(Box::new),
            },
            home: None,
        }
    }

    /// Where the connection is kept once the body was read.
    pub(super) fn goes_back_to(&mut self, idle: Arc<Idle>, place: &str) {
        self.home = Some((idle, place.to_owned()));
        self.go_back();
    }

    /// Bytes that are still to come, as far as they are known.
    pub(in crate::hub) fn left(&self) -> Option<u64> {
        match &self.shape {
            Shape::Counted { left, .. } => Some(*left),
            Shape::Framed { .. } => None,
        }
    }

    /// Reads some bytes into `buffer`, which has room; 0 is the end.
    pub(in crate::hub) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, Box<dyn Error + Send + Sync>>> {
        let count = match &mut self.shape {
            Shape::Framed {
                body,
                chunk,
                conversation,
            } => return poll_framed(body, chunk, conversation, context, buffer),
            Shape::Counted { left: 0, .. } => 0,
            Shape::Counted {
                stream,
                early,
                left,
            } => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let most = most.min(buffer.len());
                let buffer = &mut buffer[..most];
                let count = match take_early(early, buffer) {
                    0 => match stream {
                        Some(stream) => ready!(poll_socket(stream, context, buffer))?,
                        None => 0,
                    },
                    count => count,
                };
                if count == 0 {
                    *stream = None;
                    return Poll::Ready(Err(Box::new(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the connection was closed before the last byte",
                    ))));
                }
                *left -= count as u64;
                count
            }
        };
        self.go_back();
        Poll::Ready(Ok(count))
    }

    /// Gives the connection back when nothing of the body is left.
    fn go_back(&mut self) {
        let Shape::Counted {
            stream,
            early,
            left: 0,
        } = &mut self.shape
        else {
            return;
        };
        // More bytes than the answer has: what they are, nobody knows.
        let clean = early.iter().all(Bytes::is_empty);
        if let Some(stream) = stream.take().filter(|_| clean)
            && let Some((idle, place)) = self.home.take()
        {
            idle.keep(place, stream);
        }
    }
}

fn take_early(early: &mut VecDeque<Bytes>, buffer: &mut [u8]) -> usize {
    while early.pop_front_if(|bytes| bytes.is_empty()).is_some() {}
    let Some(bytes) = early.front_mut() else {
        return 0;
    };
    let count = bytes.len().min(buffer.len());
    bytes.copy_to_slice(&mut buffer[..count]);
    count
}

fn poll_socket(
    stream: &mut Stream,
    context: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut filled = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(context, filled.unfilled()))?;
    Poll::Ready(Ok(filled.filled().len()))
}

fn poll_framed(
    body: &mut Incoming,
    chunk: &mut Bytes,
    conversation: &mut Option<Box<Conversation>>,
    context: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<Result<usize, Box<dyn Error + Send + Sync>>> {
    loop {
        if !chunk.is_empty() {
            let count = chunk.len().min(buffer.len());
            chunk.copy_to_slice(&mut buffer[..count]);
            return Poll::Ready(Ok(count));
        }
        match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(Some(frame)) => {
                if let Ok(data) = frame?.into_data() {
                    *chunk = data;
                }
                continue;
            }
            Poll::Ready(None) => return Poll::Ready(Ok(0)),
            Poll::Pending => {}
        }
        let Some(driven) = conversation else {
            return Poll::Pending;
        };
        // An error reaches the body too, which is asked once more.
        match Pin::new(&mut **driven).poll(context) {
            Poll::Ready(_) => *conversation = None,
            Poll::Pending => {
                // It may have handed a frame on, and has woken the body then.
                return Poll::Pending;
            }
        }
    }
}
