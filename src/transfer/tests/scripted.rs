//! Sources that behave as a script says.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;

use super::super::chunks::Chunks;
use super::super::{Body, Source, SourceError, SourceErrorKind};
use crate::domain::{Failure, FailureCode};

/// What a source does with one request.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Gives the range in chunks of this size.
    Serve(usize),
    /// Gives this many bytes, then ends without a word.
    Cut(u64),
    /// Gives this many bytes, then an error.
    Break(u64),
    /// Gives this many bytes, then nothing for ever.
    Stall(u64),
    /// Gives the range with the byte at this position of the file changed.
    Flip(u64),
    /// Gives more bytes than were asked for.
    TooMany,
    /// Gives empty chunks for ever.
    Empty,
    /// Says that ranges are ignored unless the whole file is asked for.
    OnlyWhole,
    /// Refuses.
    Fail(SourceError),
    /// Answers after this long, then gives the range.
    Late(Duration),
    /// Gives chunks of this size with a pause before each.
    Slow(usize, Duration),
}

type Script = dyn Fn(usize, &Range<u64>) -> Act + Send + Sync;

/// One file's bytes, given as a script says.
pub(super) struct Scripted {
    pub(super) content: Bytes,
    script: Box<Script>,
    /// Requests so far.
    pub(super) opened: AtomicUsize,
    pub(super) asked: Mutex<Vec<Range<u64>>>,
    pub(super) now_open: Arc<AtomicUsize>,
    pub(super) most_open: AtomicUsize,
    pub(super) given: Arc<AtomicU64>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Scripted")
    }
}

impl Scripted {
    pub(super) fn new(
        content: Bytes,
        script: impl Fn(usize, &Range<u64>) -> Act + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            content,
            script: Box::new(script),
            opened: AtomicUsize::new(0),
            asked: Mutex::default(),
            now_open: Arc::default(),
            most_open: AtomicUsize::new(0),
            given: Arc::default(),
        })
    }
}

impl Source for Scripted {
    fn open(&self, range: Range<u64>) -> BoxFuture<'_, Result<Box<dyn Body>, SourceError>> {
        assert!(range.start < range.end && range.end <= self.content.len() as u64);
        let act = (self.script)(self.opened.fetch_add(1, Ordering::SeqCst), &range);
        self.asked.lock().unwrap().push(range.clone());
        let open = self.now_open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(open, Ordering::SeqCst);
        let guard = OpenGuard(Arc::clone(&self.now_open));
        let mut rest = self
            .content
            .slice(as_usize(range.start)..as_usize(range.end));
        let given = Arc::clone(&self.given);
        async move {
            let mut body = ScriptedBody {
                rest: Bytes::new(),
                chunk: 64 << 10,
                end: End::None,
                pause: Duration::ZERO,
                given,
                _guard: guard,
            };
            match act {
                Act::Serve(chunk) => body.chunk = chunk,
                Act::Cut(bytes) => rest.truncate(as_usize(bytes)),
                Act::Break(bytes) => {
                    rest.truncate(as_usize(bytes));
                    body.end = End::Break;
                }
                Act::Stall(bytes) => {
                    rest.truncate(as_usize(bytes));
                    body.end = End::Stall;
                }
                Act::Flip(at) => {
                    if range.contains(&at) {
                        let mut wrong = rest.to_vec();
                        wrong[as_usize(at - range.start)] ^= 1;
                        rest = wrong.into();
                    }
                }
                Act::TooMany => rest = [rest.to_vec(), vec![7; 100_000]].concat().into(),
                Act::Empty => {
                    rest = Bytes::new();
                    body.end = End::Empty;
                }
                Act::OnlyWhole if range == (0..self.content.len() as u64) => {}
                Act::OnlyWhole => {
                    return Err(SourceError::new(
                        SourceErrorKind::RangeIgnored,
                        Failure::new(FailureCode::BadResponse, "the range was ignored"),
                    ));
                }
                Act::Fail(error) => return Err(error),
                Act::Late(pause) => tokio::time::sleep(pause).await,
                Act::Slow(chunk, pause) => {
                    body.chunk = chunk;
                    body.pause = pause;
                }
            }
            body.rest = rest;
            let chunks = stream::try_unfold(body, async |mut body| {
                Ok(body.next().await?.map(|chunk| (chunk, body)))
            });
            Ok(Box::new(Chunks::new(chunks)) as Box<dyn Body>)
        }
        .boxed()
    }
}

struct OpenGuard(Arc<AtomicUsize>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

enum End {
    None,
    Break,
    Stall,
    Empty,
}

struct ScriptedBody {
    rest: Bytes,
    chunk: usize,
    end: End,
    pause: Duration,
    given: Arc<AtomicU64>,
    _guard: OpenGuard,
}

impl ScriptedBody {
    /// The next chunk; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        if !self.rest.is_empty() {
            let chunk = self.rest.split_to(self.chunk.min(self.rest.len()));
            self.given.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            return Ok(Some(chunk));
        }
        match self.end {
            End::None => Ok(None),
            End::Break => Err(SourceError::transient(
                FailureCode::Network,
                "reset by peer",
            )),
            End::Stall => std::future::pending().await,
            End::Empty => Ok(Some(Bytes::new())),
        }
    }
}

pub(super) fn as_usize(value: u64) -> usize {
    usize::try_from(value).unwrap()
}
