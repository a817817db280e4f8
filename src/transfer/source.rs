//! Where the bytes of one file come from.
//!
//! A source checks what it is told (range, total, validators) before it gives a byte; the engine still trusts
//! nothing: it takes no more bytes than it asked for and lets the hash decide. Connections, redirects and
//! tokens are the source's matter.

use std::fmt::Debug;
use std::ops::Range;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::error::SourceError;

/// One file's bytes.
pub(crate) trait Source: Debug + Send + Sync {
    /// Asks for the bytes of `range`, which is not empty and lies within the file.
    fn open(&self, range: Range<u64>) -> BoxFuture<'_, Result<Box<dyn Body>, SourceError>>;
}

/// The bytes of one range, in order.
pub(crate) trait Body: Send {
    /// Reads some bytes into `buffer`, which has room, and answers how many; 0 at the end. Not called again after an
    /// error or the end. The buffer is another one each time: nothing may be kept in it.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, SourceError>>;
}
