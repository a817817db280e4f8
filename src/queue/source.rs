//! The hub's ranged reads as a source of the transfer engine.

use std::ops::Range;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::domain::RepoPath;
use crate::hub::{FetchError, HubError, RangeBody, RangeReader};
use crate::transfer::{Body, Source, SourceError, SourceErrorKind};

/// One file of a hub repository.
#[derive(Debug)]
pub(crate) struct HubSource(RangeReader);

impl HubSource {
    pub(crate) fn new(reader: RangeReader) -> Self {
        Self(reader)
    }
}

impl Source for HubSource {
    fn open(&self, range: Range<u64>) -> BoxFuture<'_, Result<Box<dyn Body>, SourceError>> {
        async move {
            let path = self.0.path();
            let body = self.0.open(range).await;
            let body: Box<dyn Body> = Box::new(HubBody {
                body: body.map_err(|error| source_error(&error, path))?,
                path: path.clone(),
            });
            Ok(body)
        }
        .boxed()
    }
}

/// The bytes of one range.
struct HubBody {
    path: RepoPath,
    body: RangeBody,
}

impl Body for HubBody {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, SourceError>> {
        let read = self.body.poll_read(context, buffer);
        read.map_err(|error| source_error(&error, &self.path))
    }
}

fn source_error(error: &FetchError, path: &RepoPath) -> SourceError {
    let failure = error.failure(path);
    let kind = match error {
        FetchError::RangeIgnored { .. } => SourceErrorKind::RangeIgnored,
        FetchError::Changed { .. } => SourceErrorKind::Changed,
        // The next attempt asks again; within this one the same links would be walked for each range.
        FetchError::Redirect { .. } | FetchError::Hub(HubError::Redirect { .. }) => {
            SourceErrorKind::Permanent
        }
        _ if failure.code.is_retryable() => SourceErrorKind::Transient,
        _ => SourceErrorKind::Permanent,
    };
    SourceError::new(kind, failure)
}
