//! The bytes of one range as they come.
//!
//! Invariant: never more bytes than the range has, and an end only when all of them came. A pause of the
//! caller between two calls is not held against the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::fetch_error::{BrokenAt, FetchError};
use super::location::Cell;
use super::text::root_cause;

/// How long the end of a body without a length may take after its last byte.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// The body of an answer to a range; dropping it closes the connection unless it was read to its end.
#[derive(Debug)]
pub(crate) struct RangeBody {
    response: Option<Response>,
    url: String,
    expected: u64,
    got: u64,
    known_length: bool,
    read_timeout: Duration,
    cell: Arc<Cell>,
}

impl RangeBody {
    pub(super) fn new(
        response: Response,
        url: String,
        expected: u64,
        known_length: bool,
        read_timeout: Duration,
        cell: Arc<Cell>,
    ) -> Self {
        Self {
            response: Some(response),
            url,
            expected,
            got: 0,
            known_length,
            read_timeout,
            cell,
        }
    }

    /// The next bytes, none after the last one of the range; may be cancelled without losing any.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let Some(response) = self.response.as_mut() else {
            return Ok(None);
        };
        let all_here = self.got == self.expected;
        if all_here && self.known_length {
            self.response = None;
            return Ok(None);
        }
        let patience = if all_here {
            self.read_timeout.min(END_PATIENCE)
        } else {
            self.read_timeout
        };
        let deadline = Instant::now() + patience;
        loop {
            let result = match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(chunk))) if chunk.is_empty() => continue,
                Ok(Ok(Some(chunk))) => {
                    let length = chunk.len() as u64;
                    if length > self.expected - self.got {
                        Err(FetchError::TooLong {
                            url: self.url.clone(),
                            expected: self.expected,
                        })
                    } else {
                        self.got += length;
                        self.cell.progressed();
                        return Ok(Some(chunk));
                    }
                }
                // Every byte is here and the hash decides; how the connection ends no longer matters.
                _ if all_here => Ok(None),
                Ok(Ok(None)) => Err(FetchError::Cut {
                    url: self.url.clone(),
                    got: self.got,
                    expected: self.expected,
                }),
                Ok(Err(error)) => Err(FetchError::Transport {
                    url: self.url.clone(),
                    at: BrokenAt::Body,
                    cause: root_cause(&error.without_url()),
                }),
                Err(_elapsed) => Err(FetchError::Stall {
                    url: self.url.clone(),
                    waited: self.read_timeout,
                    got: self.got,
                }),
            };
            self.response = None;
            return result;
        }
    }
}
