//! Ranged reads from the hub, from other servers and from the disk, as a source of the transfer engine.

use std::ops::Range;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::domain::RepoPath;
use crate::hub::{
    DiskBody, DiskReader, FetchError, FileBody, FileReader, HubError, RangeBody, WebReader,
};
use crate::transfer::{Body, Source, SourceError, SourceErrorKind};

/// One file, wherever it is.
#[derive(Debug)]
pub(crate) struct ReaderSource(Reader);

/// Who asks for its ranges.
#[derive(Debug)]
pub(crate) enum Reader {
    Hub(FileReader),
    Web(WebReader),
    Disk(DiskReader),
}

impl From<DiskReader> for Reader {
    fn from(reader: DiskReader) -> Self {
        Self::Disk(reader)
    }
}

impl From<FileReader> for Reader {
    fn from(reader: FileReader) -> Self {
        Self::Hub(reader)
    }
}

impl From<WebReader> for Reader {
    fn from(reader: WebReader) -> Self {
        Self::Web(reader)
    }
}

impl ReaderSource {
    pub(crate) fn new(reader: impl Into<Reader>) -> Self {
        Self(reader.into())
    }
}

impl Source for ReaderSource {
    fn open(&self, range: Range<u64>) -> BoxFuture<'_, Result<Box<dyn Body>, SourceError>> {
        async move {
            let (path, body) = match &self.0 {
                Reader::Hub(reader) => {
                    let body = reader.open(range).await;
                    (reader.path(), body.map(Bytes::Hub))
                }
                Reader::Web(reader) => {
                    let body = reader.open(range).await;
                    (reader.path(), body.map(Bytes::Web))
                }
                Reader::Disk(reader) => {
                    let body = reader.open(range).await;
                    (reader.path(), body.map(Bytes::Disk))
                }
            };
            let body: Box<dyn Body> = Box::new(ReaderBody {
                body: body.map_err(|error| source_error(&error, path))?,
                path: path.clone(),
            });
            Ok(body)
        }
        .boxed()
    }
}

/// The bytes of one range.
struct ReaderBody {
    path: RepoPath,
    body: Bytes,
}

/// Who sends them.
enum Bytes {
    Hub(FileBody),
    Web(RangeBody),
    Disk(DiskBody),
}

impl Body for ReaderBody {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, SourceError>> {
        let read = match &mut self.body {
            Bytes::Hub(body) => body.poll_read(context, buffer),
            Bytes::Web(body) => body.poll_read(context, buffer),
            Bytes::Disk(body) => body.poll_read(context, buffer),
        };
        read.map_err(|error| source_error(&error, &self.path))
    }
}

fn source_error(error: &FetchError, path: &RepoPath) -> SourceError {
    let failure = error.failure(path);
    let kind = match error {
        FetchError::RangeIgnored { .. } => SourceErrorKind::RangeIgnored,
        FetchError::Changed { .. } => SourceErrorKind::Changed,
        // The next attempt asks again; within this one the same links would be walked for each range.
        FetchError::Redirect { .. }
        | FetchError::Unbound { .. }
        | FetchError::Hub(HubError::Redirect { .. }) => SourceErrorKind::Permanent,
        _ if failure.code.is_retryable() => SourceErrorKind::Transient,
        _ => SourceErrorKind::Permanent,
    };
    SourceError::new(kind, failure)
}

#[cfg(test)]
mod tests;
