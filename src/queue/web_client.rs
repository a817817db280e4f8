//! The client that an app's own download function is given: whatever address it is told, it leads to no inner network.

use super::handlers::HandlerError;
use crate::domain::{FileUrl, RepoPath};
use crate::hub::{FetchError, Web, WebAnswer};

/// Asks servers for files.
///
/// It connects to public addresses only, and to the networks of the option `artifact_networks`; the decision is made on
/// the address that is connected to, at each redirect. There is no proxy, no cookie and no referer.
#[derive(Debug, Clone)]
pub struct HandlerClient {
    web: Web,
}

/// An answer with bytes; dropping it closes the connection.
#[derive(Debug)]
pub struct HandlerBody {
    answer: WebAnswer,
}

impl HandlerClient {
    pub(super) fn new(web: Web) -> Self {
        Self { web }
    }

    /// Asks for the bytes of an http or https address, from byte `start` on (0 for all of them; the length when all of them
    /// are there, which brings none). Whether the file is still that of an earlier call is not known: a hash tells it.
    ///
    /// # Errors
    /// The address is none of the web or is not allowed, the server refuses, or no request is to be made at all (offline):
    /// not retryable. No answer, another range than asked for, or an answer that asks for patience: retryable.
    pub async fn get(&self, url: &str, start: u64) -> Result<HandlerBody, HandlerError> {
        let url: FileUrl = url.parse().map_err(|error| HandlerError {
            message: format!("this is no address of a file: {error}"),
            retryable: false,
        })?;
        let answer = self
            .web
            .get(url, start)
            .await
            .map_err(|error| failed(&error))?;
        Ok(HandlerBody { answer })
    }
}

impl HandlerBody {
    /// The place in the file of the first byte: what was asked for, or 0 when the server sends all of it anyway.
    pub fn start(&self) -> u64 {
        self.answer.start
    }

    /// The length of the whole file in bytes, when the server says it.
    pub fn size(&self) -> Option<u64> {
        self.answer.size
    }

    /// The next bytes, at most 256 KiB; none after the last one.
    ///
    /// # Errors
    /// Retryable: the connection broke, fell silent, or ended before the length that the server had named.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HandlerError> {
        self.answer.chunk().await.map_err(|error| failed(&error))
    }
}

fn failed(error: &FetchError) -> HandlerError {
    let name = RepoPath::parse("download").expect("a plain name");
    let failure = error.failure(&name);
    HandlerError {
        retryable: failure.code.is_retryable(),
        message: error.to_string(),
    }
}
