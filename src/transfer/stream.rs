//! One connection: receives the bytes of one piece and hands them to the disk in large writes.
//!
//! Invariant: at most one buffer is being filled and one being written. Whatever was received is written, also
//! when the piece ends early. It trusts no length that the source gives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::buffer::{Buffer, BufferPool};
use super::disk::Disk;
use super::error::{SourceError, SourceErrorKind, panicked};
use super::limiter::RateLimiter;
use super::options::Options;
use super::part::Part;
use super::piece::Piece;
use super::progress::Progress;
use super::source::{Body, Source};
use crate::domain::{Failure, FailureCode};

/// Why a stream ended before its piece was in.
#[derive(Debug)]
pub(super) enum Fault {
    Source(SourceError),
    Disk(Failure),
    Fenced,
}

/// The end of a stream.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) index: usize,
    pub(super) piece: Arc<Piece>,
    /// New bytes on disk.
    pub(super) gained: u64,
    pub(super) result: Result<(), Fault>,
}

/// What all streams of a run share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) options: Arc<Options>,
    pub(super) limiter: Arc<RateLimiter>,
    pub(super) buffers: Arc<BufferPool>,
    pub(super) progress: Arc<Progress>,
    pub(super) disk: Disk,
    /// Bytes that may wait for the hasher of a file now.
    pub(super) hash_lag: Arc<AtomicU64>,
}

/// Receives one piece.
pub(super) async fn fetch(
    shared: Shared,
    source: Arc<dyn Source>,
    part: Arc<Part>,
    piece: Arc<Piece>,
) -> Ended {
    let index = part.index;
    let mut stream = Stream {
        shared,
        part,
        piece: Arc::clone(&piece),
        filling: None,
        writing: None,
        gained: 0,
    };
    let received = stream.receive(&*source).await;
    // What came before an error is good: the hash decides in the end.
    let flushed = stream.flush().await;
    let settled = stream.settle().await;
    Ended {
        index,
        piece,
        gained: stream.gained,
        // A disk that fails matters more than a network that fails.
        result: flushed.and(settled).and(received),
    }
}

struct Stream {
    shared: Shared,
    part: Arc<Part>,
    piece: Arc<Piece>,
    filling: Option<Filling>,
    writing: Option<JoinHandle<Result<u64, Fault>>>,
    gained: u64,
}

struct Filling {
    offset: u64,
    buffer: Buffer,
    /// When the bytes are written even though the buffer is not full.
    due: Instant,
}

impl Stream {
    async fn receive(&mut self, source: &dyn Source) -> Result<(), Fault> {
        let range = self.piece.rest();
        if range.is_empty() {
            return Ok(());
        }
        let revoked = self.piece.revoked.clone();
        let patience = Instant::now() + self.shared.options.open_timeout;
        let mut body = tokio::select! {
            biased;
            () = revoked.cancelled() => return Ok(()),
            opened = source.open(range) => opened.map_err(Fault::Source)?,
            () = sleep_until(patience) => return Err(self.silent(self.shared.options.open_timeout)),
        };
        let mut heard = Instant::now();
        loop {
            let Some(chunk) = self.next(&mut *body, heard).await? else {
                return self.ended();
            };
            let Chunk::Bytes(chunk) = chunk else {
                return Ok(());
            };
            if chunk.is_empty() {
                // Empty chunks are no sign of life; a flood of them must not keep the thread.
                if heard.elapsed() >= self.shared.options.stall_timeout {
                    return Err(self.silent(self.shared.options.stall_timeout));
                }
                tokio::task::yield_now().await;
                continue;
            }
            let more = self.accept(&chunk).await?;
            if !more || revoked.is_cancelled() {
                return Ok(());
            }
            heard = Instant::now();
            self.piece.listen(heard);
        }
    }

    /// The next chunk; writes a buffer meanwhile when its time has come.
    async fn next(&mut self, body: &mut dyn Body, heard: Instant) -> Result<Option<Chunk>, Fault> {
        let mut stalled = heard + self.shared.options.stall_timeout;
        let revoked = self.piece.revoked.clone();
        // Kept alive across flushes: a source need not be able to resume a dropped call.
        let mut next = body.next();
        loop {
            let due = self.filling.as_ref().map_or(stalled, |filling| filling.due);
            tokio::select! {
                biased;
                () = revoked.cancelled() => return Ok(Some(Chunk::Revoked)),
                chunk = &mut next => {
                    return Ok(chunk.map_err(Fault::Source)?.map(Chunk::Bytes));
                }
                () = sleep_until(due.min(stalled)) => {
                    if self.filling.is_none() || due > stalled {
                        return Err(self.silent(self.shared.options.stall_timeout));
                    }
                    let began = Instant::now();
                    self.flush().await?;
                    // A disk that hangs is no silence of the server.
                    stalled += began.elapsed();
                }
            }
        }
    }

    /// Takes what belongs to the piece; answers whether the piece wants more.
    async fn accept(&mut self, chunk: &Bytes) -> Result<bool, Fault> {
        let revoked = self.piece.revoked.clone();
        let (mut at, count) = self.piece.claim(chunk.len() as u64);
        self.shared.progress.received(chunk.len() as u64);
        let count = usize::try_from(count).expect("not longer than the chunk");
        let mut bytes = &chunk[..count];
        while !bytes.is_empty() {
            if self.filling.is_none() {
                // The hash is often the slowest step and has one thread: it must not be starved by the others.
                let lag = self.shared.hash_lag.load(Ordering::Relaxed);
                tokio::select! {
                    () = self.part.hash_within(lag) => {}
                    () = revoked.cancelled() => {}
                }
                self.filling = Some(Filling {
                    offset: at,
                    buffer: self.shared.buffers.take().await,
                    due: Instant::now() + self.shared.options.checkpoint_interval,
                });
            }
            let Some(filling) = &mut self.filling else {
                break;
            };
            let filled = filling.buffer.fill(bytes);
            at += filled as u64;
            bytes = &bytes[filled..];
            if filling.buffer.is_full() || filling.due <= Instant::now() {
                self.flush().await?;
            }
        }
        // After the bytes are safe, so that stopping does not wait for the limit.
        tokio::select! {
            () = self.shared.limiter.acquire(chunk.len()) => {}
            () = revoked.cancelled() => {}
        }
        Ok(!self.piece.rest().is_empty())
    }

    /// Hands the filled buffer to the disk, after the one before is written.
    async fn flush(&mut self) -> Result<(), Fault> {
        let Some(filling) = self.filling.take() else {
            return Ok(());
        };
        self.settle().await?;
        let disk = &self.shared.disk;
        self.writing = Some(disk.write(&self.part, filling.offset, filling.buffer));
        Ok(())
    }

    /// Waits for the write under way.
    async fn settle(&mut self) -> Result<(), Fault> {
        if let Some(writing) = self.writing.take() {
            self.gained += match writing.await {
                Ok(result) => result?,
                Err(_) => return Err(Fault::Disk(panicked(&self.part.path))),
            };
        }
        Ok(())
    }

    /// The body is over: right only when nothing is left of the piece.
    fn ended(&self) -> Result<(), Fault> {
        let rest = self.piece.rest();
        if rest.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the connection for `{}` ended {} bytes early at byte {}",
            self.part.path,
            rest.end - rest.start,
            rest.start
        );
        Err(Fault::Source(SourceError::transient(
            FailureCode::Network,
            message,
        )))
    }

    fn silent(&self, patience: std::time::Duration) -> Fault {
        let message = format!(
            "no byte of `{}` came for {} s",
            self.part.path,
            patience.as_secs_f32()
        );
        Fault::Source(SourceError {
            failure: Failure::new(FailureCode::Timeout, message),
            kind: SourceErrorKind::Transient,
        })
    }
}

enum Chunk {
    Bytes(Bytes),
    Revoked,
}
