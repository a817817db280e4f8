//! The engine's bounded use of blocking threads: writes, hash steps and syncs.
//!
//! Invariant: every step that was started is waited for by [`Disk::drain`], so nothing is written after a run
//! has returned.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::TaskTracker;

use super::buffer::Buffer;
use super::error::{panicked, storage};
use super::keeper::{Keeper, Known};
use super::options::Options;
use super::part::{HashStep, Part, Written};
use super::progress::Progress;
use super::stream::Fault;
use crate::domain::Failure;

/// Bytes after which a hash step lets other files have a turn.
const HASH_TURN: u64 = 64 << 20;

/// A sync of at most so many bytes waits for the journal of the file system more than for its data.
const SMALL: u64 = 1 << 20;
/// Such syncs at once.
const SMALL_SYNCS: usize = 16;

/// The whole content of a part was hashed, or could not be read.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) index: usize,
    /// The hash as hex.
    pub(super) result: Result<String, Failure>,
}

/// Blocking work of one run.
#[derive(Clone)]
pub(super) struct Disk {
    keeper: Arc<dyn Keeper>,
    progress: Arc<Progress>,
    tracker: TaskTracker,
    io: Arc<Semaphore>,
    /// For syncs of small parts: they wait for the journal, and those that wait together share its commit.
    small: Arc<Semaphore>,
    hash: Arc<Semaphore>,
    hashed: mpsc::UnboundedSender<Hashed>,
}

impl Disk {
    /// Threads as the options say; finished hashes go to `hashed`.
    pub(super) fn new(
        options: &Options,
        keeper: Arc<dyn Keeper>,
        progress: Arc<Progress>,
        hashed: mpsc::UnboundedSender<Hashed>,
    ) -> Self {
        Self {
            keeper,
            progress,
            tracker: TaskTracker::new(),
            io: Arc::new(Semaphore::new(options.disk_threads.max(1))),
            small: Arc::new(Semaphore::new(options.disk_threads.max(SMALL_SYNCS))),
            hash: Arc::new(Semaphore::new(options.hash_threads.max(1))),
            hashed,
        }
    }

    /// Starts to write a buffer; the answer is how many of its bytes are new.
    pub(super) fn write(
        &self,
        part: &Arc<Part>,
        offset: u64,
        buffer: Buffer,
    ) -> JoinHandle<Result<u64, Fault>> {
        let disk = self.clone();
        let part = Arc::clone(part);
        self.tracker.spawn(async move {
            let turn = part.turn.lock().await;
            let permit = disk.io.acquire().await.expect("never closed");
            let (writer, keeper) = (Arc::clone(&part), Arc::clone(&disk.keeper));
            let result = tokio::task::spawn_blocking(move || {
                // The last moment before the bytes reach the disk.
                if !keeper.may_write() {
                    return Err(Fault::Fenced);
                }
                let mut written = writer.write(offset, buffer);
                if let Ok(Written { note, .. }) = &mut written
                    && let Some(known) = note.take()
                {
                    keeper.note(writer.index, &known);
                }
                Ok(written)
            })
            .await;
            drop((permit, turn));
            let written: Written = match result {
                Ok(Ok(Ok(written))) => written,
                Ok(Ok(Err(error))) => {
                    return Err(Fault::Disk(storage("write", &part.path, &error)));
                }
                Ok(Err(fault)) => return Err(fault),
                Err(_) => return Err(Fault::Disk(panicked(&part.path))),
            };
            disk.progress
                .written(part.index, written.gained, written.present);
            if written.hash_wanted {
                disk.hash(&part);
            }
            Ok(written.gained)
        })
    }

    /// Hashes what lies behind the frontier, unless that is being done already.
    pub(super) fn hash(&self, part: &Arc<Part>) {
        let disk = self.clone();
        let part = Arc::clone(part);
        self.tracker.spawn(async move {
            loop {
                let permit = disk.hash.acquire().await.expect("never closed");
                let hasher = Arc::clone(&part);
                let step = tokio::task::spawn_blocking(move || hasher.hash_step(HASH_TURN)).await;
                drop(permit);
                let result = match step {
                    Ok(Ok(HashStep::Idle)) => return,
                    Ok(Ok(HashStep::More)) if disk.tracker.is_closed() => return,
                    Ok(Ok(HashStep::More)) => continue,
                    Ok(Ok(HashStep::Complete(hex))) => Ok(hex),
                    // Shorter than what was written: somebody cut it. That is no right content.
                    Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                        Ok("nothing, the file was cut".to_owned())
                    }
                    Ok(Err(error)) => Err(storage("read back", &part.path, &error)),
                    Err(_) => Err(panicked(&part.path)),
                };
                // The run that would listen may be gone; then nobody needs the hash.
                drop(disk.hashed.send(Hashed {
                    index: part.index,
                    result,
                }));
                return;
            }
        });
    }

    /// Syncs parts, a few at a time. The first error ends it.
    pub(super) async fn sync(&self, parts: Vec<Arc<Part>>) -> Result<(), Failure> {
        let mut syncs = JoinSet::new();
        for part in parts {
            let small = part.dirty() <= SMALL;
            let io = Arc::clone(if small { &self.small } else { &self.io });
            let keeper = Arc::clone(&self.keeper);
            syncs.spawn_on(
                self.tracker.track_future(async move {
                    let _permit = io.acquire().await.expect("never closed");
                    let (syncer, keeper) = (Arc::clone(&part), Arc::clone(&keeper));
                    let sync = move || {
                        let result = syncer.sync();
                        if result.is_err() {
                            // What the kernel holds of it may be gone: nothing unsynced counts any more.
                            keeper.note(syncer.index, &Known::default());
                        }
                        result
                    };
                    match tokio::task::spawn_blocking(sync).await {
                        Ok(result) => result.map_err(|error| storage("sync", &part.path, &error)),
                        Err(_) => Err(panicked(&part.path)),
                    }
                }),
                &tokio::runtime::Handle::current(),
            );
        }
        let mut first = Ok(());
        while let Some(joined) = syncs.join_next().await {
            if let (Ok(Err(failure)), Ok(())) = (joined, &first) {
                first = Err(failure);
            }
        }
        first
    }

    /// Runs one blocking step off the runtime.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _permit = self.io.acquire().await.expect("never closed");
        self.tracker.spawn_blocking(step).await.ok()
    }

    /// Waits for every step that was started; hashing stops at its next turn.
    pub(super) async fn drain(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }
}
