//! One answer of a server to whoever asks for an address, read chunk by chunk.

use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RANGE};
use tokio::time::timeout;
use url::Url;

use super::super::fetch_error::{BrokenAt, FetchError};
use super::super::range::{refused_total, total_from};
use super::super::refusal::text;
use super::super::reply::Content;
use super::super::request::foreign_encoding;
use super::{Web, Wire};
use crate::domain::FileUrl;
use crate::redact::SafeUrl;

/// Bytes of one chunk at most.
const CHUNK: usize = 256 << 10;

/// An answer with bytes; dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct WebAnswer {
    wire: Arc<Wire>,
    content: Content,
    url: String,
    /// The place in the file of the first byte.
    pub(crate) start: u64,
    /// The length of the whole file, when the server says it.
    pub(crate) size: Option<u64>,
    at: u64,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Web {
    /// Asks for an address from byte `start` on. A server that ignores the range is read from its first byte.
    pub(crate) async fn get(&self, url: FileUrl, start: u64) -> Result<WebAnswer, FetchError> {
        let wire = Arc::clone(&self.wire);
        let mut headers = HeaderMap::new();
        let range = HeaderValue::from_str(&format!("bytes={start}-"));
        if let Some(range) = range.ok().filter(|_| start > 0) {
            headers.insert(RANGE, range);
        }
        let (url, reply) = wire.ask(&url, None, &headers, wire.read_timeout).await?;
        let headers = &reply.headers;
        if let Some(encoding) = foreign_encoding(headers) {
            return Err(FetchError::Encoded {
                url: masked(url),
                encoding,
            });
        }
        let length = text(headers, CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
        let (start, size) = match reply.status {
            StatusCode::PARTIAL_CONTENT if start > 0 => {
                let size = total_from(headers, start).map_err(|got| FetchError::WrongRange {
                    url: masked(url.clone()),
                    expected: format!("bytes {start}-"),
                    got,
                })?;
                (start, Some(size))
            }
            // The caller has all of it.
            StatusCode::RANGE_NOT_SATISFIABLE if refused_total(headers) == Some(start) => {
                (start, Some(start))
            }
            StatusCode::OK => (0, length),
            status => return Err(wire.refused(None, &url, status, headers)),
        };
        Ok(WebAnswer {
            content: reply.content,
            url: masked(url),
            start,
            size,
            at: start,
            wire,
        })
    }
}

fn masked(url: Url) -> String {
    SafeUrl::new(url).to_string()
}

impl WebAnswer {
    /// The next bytes; none after the last one. An end before the length that the server promised is an error.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Vec<u8>>, FetchError> {
        if self.size == Some(self.at) {
            return Ok(None);
        }
        let mut chunk = Vec::new();
        let read = self.content.read_more(&mut chunk, CHUNK);
        match timeout(self.wire.read_timeout, read).await {
            Err(_elapsed) => Err(FetchError::Stall {
                url: self.url.clone(),
                waited: self.wire.read_timeout,
                got: self.at - self.start,
            }),
            Ok(Err(error)) => Err(FetchError::Transport {
                url: self.url.clone(),
                at: BrokenAt::Body,
                cause: error.cause,
            }),
            Ok(Ok(0)) => match self.size {
                Some(size) if self.at < size => Err(FetchError::Cut {
                    url: self.url.clone(),
                    got: self.at - self.start,
                    expected: size - self.start,
                }),
                _ => Ok(None),
            },
            Ok(Ok(count)) => {
                self.at += count as u64;
                Ok(Some(chunk))
            }
        }
    }
}
