//! One connection: receives the bytes of one piece into a buffer and hands it to the disk in large writes.
//!
//! Invariant: at most one buffer is being filled and one being written. Whatever was received is written, also
//! when the piece ends early. It trusts no length that the source gives.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

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
    /// When the bytes are written even though the buffer is not full; none while there are none.
    due: Option<Instant>,
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
            match self.next(&mut *body, heard).await? {
                Next::Revoked => return Ok(()),
                Next::End => return self.ended(),
                Next::Bytes(count) => {
                    let more = self.accept(count).await?;
                    if !more || revoked.is_cancelled() {
                        return Ok(());
                    }
                }
            }
            heard = Instant::now();
            self.piece.listen(heard);
        }
    }

    /// Reads what comes next into the buffer; writes the buffer meanwhile when its time has come.
    async fn next(&mut self, body: &mut dyn Body, heard: Instant) -> Result<Next, Fault> {
        let mut stalled = heard + self.shared.options.stall_timeout;
        let revoked = self.piece.revoked.clone();
        loop {
            let began = Instant::now();
            if self.filling.is_none() {
                self.make_room(&revoked).await;
                // A disk that hangs is no silence of the server.
                stalled += began.elapsed();
            }
            let Some(Filling { buffer, due, .. }) = &mut self.filling else {
                return Ok(Next::Revoked);
            };
            // Never past the piece: what lies behind it belongs to another stream.
            let rest = self.piece.left().min(self.shared.limiter.most_at_once());
            let most = usize::try_from(rest).unwrap_or(usize::MAX).max(1);
            let due = due.unwrap_or(stalled);
            let read = poll_fn(|context| {
                let room = buffer.room();
                let most = most.min(room.len());
                body.poll_read(context, &mut room[..most])
            });
            tokio::select! {
                biased;
                () = revoked.cancelled() => return Ok(Next::Revoked),
                read = read => {
                    return match read.map_err(Fault::Source)? {
                        0 => Ok(Next::End),
                        count => Ok(Next::Bytes(count)),
                    };
                }
                () = sleep_until(due.min(stalled)) => {
                    if due >= stalled {
                        return Err(self.silent(self.shared.options.stall_timeout));
                    }
                    let began = Instant::now();
                    self.piece.writes();
                    self.flush().await?;
                    self.piece.listen(Instant::now());
                    stalled += began.elapsed();
                }
            }
        }
    }

    /// Waits for a buffer. There is none afterwards when the stream was revoked meanwhile.
    async fn make_room(&mut self, revoked: &CancellationToken) {
        // The hash is often the slowest step and has one thread: it must not be starved by the others.
        let lag = self.shared.hash_lag.load(Ordering::Relaxed);
        let room = async {
            self.part.hash_within(lag).await;
            self.shared.buffers.take().await
        };
        self.piece.writes();
        let buffer = tokio::select! {
            biased;
            () = revoked.cancelled() => None,
            buffer = room => Some(buffer),
        };
        self.piece.listen(Instant::now());
        self.filling = buffer.map(|buffer| Filling {
            offset: 0,
            buffer,
            due: None,
        });
    }

    /// Takes what belongs to the piece of what was read; answers whether the piece wants more.
    async fn accept(&mut self, read: usize) -> Result<bool, Fault> {
        let (at, count) = self.piece.claim(read as u64);
        self.shared.progress.received(read as u64);
        let count = usize::try_from(count).expect("not more than was read");
        let now = Instant::now();
        if let Some(filling) = &mut self.filling {
            if filling.buffer.is_empty() {
                filling.offset = at;
                filling.due = Some(now + self.shared.options.checkpoint_interval);
            }
            filling.buffer.filled(count);
            if filling.buffer.is_full() || filling.due.is_some_and(|due| due <= now) {
                self.flush().await?;
            }
        }
        // After the bytes are safe, so that stopping does not wait for the limit.
        tokio::select! {
            () = self.shared.limiter.acquire(read) => {}
            () = self.piece.revoked.cancelled() => {}
        }
        Ok(!self.piece.rest().is_empty())
    }

    /// Hands the filled buffer to the disk, after the one before is written.
    async fn flush(&mut self) -> Result<(), Fault> {
        let Some(filling) = self
            .filling
            .take()
            .filter(|filling| !filling.buffer.is_empty())
        else {
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

/// What came next.
enum Next {
    /// So many bytes, in the room of the buffer.
    Bytes(usize),
    End,
    Revoked,
}
