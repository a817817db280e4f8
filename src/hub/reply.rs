//! An answer with bytes, over whichever connection it came.

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::body::Body as _;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use tokio::time::timeout;

use super::direct::{DirectBody, Unanswered};
use super::text::root_cause;

/// A body up to this length is read, so that its connection can be used again.
const DRAIN_LIMIT: u64 = 64 << 10;
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of a text that are read at once.
const STEP: usize = 16 << 10;

/// An answer whose body was not read yet.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
}

/// Where the body comes from.
#[derive(Debug)]
pub(super) enum Content {
    /// A client of reqwest, which hands out chunks.
    Client { body: reqwest::Body, chunk: Bytes },
    /// A connection of our own.
    Direct(Box<DirectBody>),
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self {
            status,
            headers,
            content: Content::Client {
                body: response.into(),
                chunk: Bytes::new(),
            },
        }
    }
}

impl Content {
    /// Reads some bytes into `buffer`, which has room; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, Box<dyn Error + Send + Sync>>> {
        let (body, chunk) = match self {
            Self::Direct(body) => return body.poll_read(context, buffer),
            Self::Client { body, chunk } => (body, chunk),
        };
        loop {
            if !chunk.is_empty() {
                let count = chunk.len().min(buffer.len());
                chunk.copy_to_slice(&mut buffer[..count]);
                return Poll::Ready(Ok(count));
            }
            match Pin::new(&mut *body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        *chunk = data;
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Box::new(error.without_url())));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(0)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Appends what comes next to `body`, up to `most` bytes in all; 0 is the end.
    pub(super) async fn read_more(
        &mut self,
        body: &mut Vec<u8>,
        most: usize,
    ) -> Result<usize, Unanswered> {
        let begin = body.len();
        body.resize(begin.saturating_add(STEP).min(most), 0);
        let read = poll_fn(|context| self.poll_read(context, &mut body[begin..])).await;
        body.truncate(begin + read.as_ref().map_or(0, |count| *count));
        read.map_err(|error| Unanswered {
            at_connect: false,
            forbidden: false,
            cause: root_cause(&*error),
        })
    }

    /// How many bytes are still to come, when that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Client { body, .. } => body.size_hint().exact(),
            Self::Direct(body) => body.left(),
        }
    }

    /// Reads what is left of a short answer: a connection with unread bytes on it is lost.
    pub(super) async fn drain(mut self) {
        if self.left().is_none_or(|left| left > DRAIN_LIMIT) {
            return;
        }
        // On the heap: this would be most of every future that asks the hub for something.
        let mut scratch = vec![0; 4096];
        let rest = async {
            while let Ok(1..) = poll_fn(|context| self.poll_read(context, &mut scratch)).await {}
        };
        if timeout(DRAIN_PATIENCE, rest).await.is_err() {
            tracing::debug!("A redirect's body did not end; its connection is given up.");
        }
    }
}
