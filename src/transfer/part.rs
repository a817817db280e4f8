//! One open part file: what is written in it, what of that is synced, and how far it is hashed.
//!
//! Invariant: a byte is written at most once per generation, so what was hashed is what is on disk. The
//! methods that touch the disk block; [`super::disk::Disk`] calls them off the runtime.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use tokio::sync::Notify;

use super::buffer::Buffer;
use super::hasher::ContentHasher;
use super::keeper::Known;
use crate::domain::{Digest, HashMark, PlannedFile, RangeSet, RepoPath};

/// Bytes that the hasher reads back at once: they stay in the processor's cache.
const READ_BACK: u64 = 256 << 10;
/// Buffers that wait for the hasher; beyond them it reads back from the page cache.
const FRESH: usize = 2;
/// A buffer up to this size is hashed right after it was written.
const HASH_AT_ONCE: usize = 128 << 10;
/// Written bytes after which the owner notes what is here: less is not worth the call.
const NOTE: u64 = 1 << 20;
/// Files below this size are worth neither a preallocation nor notes.
const PREALLOCATE: u64 = 4 << 20;

/// A part file in use by a run.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) index: usize,
    pub(super) path: RepoPath,
    pub(super) size: u64,
    digest: Digest,
    file: Arc<File>,
    /// The file system writes to one file one after the other; waiting here costs no thread.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Told whenever the hasher got on.
    hash_moved: Notify,
    /// Writes and syncs that the system has not answered yet.
    in_system: AtomicU32,
    /// Up to here the bytes were here before the run: nobody waits until they are hashed.
    resumed: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    have: RangeSet,
    /// Bytes written since the last sync began.
    dirty: u64,
    /// What the last good sync covered, until the owner was told.
    synced: Option<Known>,
    /// Bytes written since the last note.
    unnoted: u64,
    /// A sync failed: what is on disk is unknown and nothing more is claimed about it.
    poisoned: bool,
    generation: u32,
    hashed: u64,
    /// Absent while a step works with it.
    hasher: Option<ContentHasher>,
    /// Where the hash stood when it was looked at last.
    mark: Option<HashMark>,
    /// The hash went on from a mark of an earlier run.
    trusting: bool,
    fresh: VecDeque<(u64, Buffer)>,
}

/// What a write changed.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) gained: u64,
    pub(super) present: u64,
    pub(super) hash_wanted: bool,
    /// What the owner should note.
    pub(super) note: Option<Known>,
}

/// How a hash step ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HashStep {
    /// Nothing to hash now; the next write asks again.
    Idle,
    /// There is more to hash.
    More,
    /// The whole file is hashed.
    Complete(String),
}

impl Part {
    /// Makes a part ready: cuts it to its size, drops claims past its end, reserves its space. Blocks.
    pub(super) fn prepare(
        index: usize,
        wanted: &PlannedFile,
        file: Arc<File>,
        known: Known,
        unsynced: u64,
    ) -> io::Result<Self> {
        let length = file.metadata()?.len();
        if length > wanted.size {
            file.set_len(wanted.size)?;
        }
        let have = known.ranges.clipped(wanted.size.min(length));
        let resumed = known
            .hash
            .filter(|mark| mark.at <= have.frontier() && is_filled(&file, mark.at))
            .and_then(|mark| Some((ContentHasher::resume(&wanted.digest, &mark)?, mark)));
        let trusting = resumed.is_some();
        let (hasher, mark) = resumed.map_or_else(
            || (ContentHasher::new(&wanted.digest, wanted.size), None),
            |(hasher, mark)| (hasher, Some(mark)),
        );
        if wanted.size >= PREALLOCATE && have.len() < wanted.size {
            // The length stays what was written: a reserved part never looks complete.
            let reserved = rustix::fs::fallocate(&*file, FallocateFlags::KEEP_SIZE, 0, wanted.size);
            // Any other error only means that this file system cannot reserve.
            if let Err(error @ (Errno::NOSPC | Errno::DQUOT)) = reserved {
                return Err(error.into());
            }
        }
        Ok(Self {
            index,
            path: wanted.path.clone(),
            size: wanted.size,
            digest: wanted.digest.clone(),
            file,
            turn: tokio::sync::Mutex::new(()),
            hash_moved: Notify::new(),
            in_system: AtomicU32::new(0),
            resumed: have.end(),
            state: Mutex::new(State {
                have,
                dirty: unsynced,
                unnoted: 0,
                synced: None,
                poisoned: false,
                generation: 0,
                hashed: mark.as_ref().map_or(0, |mark| mark.at),
                hasher: Some(hasher),
                mark,
                trusting,
                fresh: VecDeque::new(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ranges that are written.
    pub(super) fn have(&self) -> RangeSet {
        self.lock().have.clone()
    }

    /// Bytes written since the last sync began.
    pub(super) fn dirty(&self) -> u64 {
        self.lock().dirty
    }

    /// Whether a write or sync is under way; for long only on a disk that does not answer.
    pub(super) fn is_in_system(&self) -> bool {
        self.in_system.load(Ordering::Relaxed) > 0
    }

    /// Writes the bytes that are not here yet. Blocks.
    pub(super) fn write(&self, offset: u64, buffer: Buffer) -> io::Result<Written> {
        let _in_system = InSystem::enter(&self.in_system);
        let range = offset..offset + length(buffer.bytes());
        let gaps = missing(&self.lock().have, &range);
        let mut gained = 0;
        for gap in &gaps {
            let from = usize::try_from(gap.start - offset).expect("a buffer is small");
            let to = usize::try_from(gap.end - offset).expect("a buffer is small");
            self.file
                .write_all_at(&buffer.bytes()[from..to], gap.start)?;
            failpoint!("part-written");
            gained += gap.end - gap.start;
        }
        let mut state = self.lock();
        state.have.insert(range.clone());
        state.dirty += gained;
        state.unnoted += gained;
        let next = state
            .fresh
            .back()
            .map_or(state.hashed, |(at, last)| at + length(last.bytes()));
        if gained == range.end - range.start && offset == next && !range.is_empty() {
            if state.hasher.is_some()
                && buffer.bytes().len() <= HASH_AT_ONCE
                && state.fresh.is_empty()
            {
                state.hashed = range.end;
                if let Some(mut hasher) = state.hasher.take() {
                    hasher.update(buffer.bytes());
                    state.mark = hasher.mark(range.end);
                    state.hasher = Some(hasher);
                }
            } else if state.fresh.len() < FRESH {
                state.fresh.push_back((offset, buffer));
            }
        }
        let due = state.unnoted >= NOTE && self.size >= PREALLOCATE && !state.poisoned;
        let note = due.then(|| {
            state.unnoted = 0;
            state.known()
        });
        Ok(Written {
            note,
            gained,
            present: state.have.len(),
            hash_wanted: state.hash_wanted(self.size),
        })
    }

    /// Whether a hash step has something to do.
    pub(super) fn hash_wanted(&self) -> bool {
        self.lock().hash_wanted(self.size)
    }

    /// Waits until at most `lag` received bytes wait for the hasher.
    pub(super) async fn hash_within(&self, lag: u64) {
        loop {
            let moved = self.hash_moved.notified();
            let near = {
                let state = self.lock();
                state.hashed < self.resumed || state.have.frontier() <= state.hashed + lag
            };
            if near {
                return;
            }
            moved.await;
        }
    }

    /// Hashes what lies behind the frontier, at most about `quota` bytes. Blocks.
    pub(super) fn hash_step(&self, quota: u64) -> io::Result<HashStep> {
        let Some(mut hasher) = self.lock().hasher.take() else {
            return Ok(HashStep::Idle);
        };
        let mut scratch = Vec::new();
        let mut done = 0;
        loop {
            self.hash_moved.notify_waiters();
            let mut state = self.lock();
            let at = state.hashed;
            state.mark = hasher.mark(at);
            let frontier = state.have.frontier();
            if let Some((_, buffer)) = state.fresh.pop_front_if(|(start, _)| *start == at) {
                state.hashed += length(buffer.bytes());
                drop(state);
                done += length(buffer.bytes());
                hasher.update(buffer.bytes());
                continue;
            }
            if at == self.size {
                return Ok(HashStep::Complete(hasher.finish()));
            }
            if frontier <= at || done >= quota {
                let more = frontier > at;
                state.hasher = Some(hasher);
                return Ok(if more { HashStep::More } else { HashStep::Idle });
            }
            let end = state
                .fresh
                .front()
                .map_or(frontier, |(start, _)| frontier.min(*start))
                .min(at + READ_BACK);
            state.hashed = end;
            drop(state);
            scratch.resize(usize::try_from(end - at).expect("small"), 0);
            self.file.read_exact_at(&mut scratch, at)?;
            done += end - at;
            hasher.update(&scratch);
        }
    }

    /// Syncs the written data; afterwards those ranges may be recorded. Never tried again after an error. Blocks.
    pub(super) fn sync(&self) -> io::Result<()> {
        let _in_system = InSystem::enter(&self.in_system);
        let (snapshot, generation) = {
            let mut state = self.lock();
            if state.poisoned {
                return Err(io::Error::other("an earlier sync failed"));
            }
            state.dirty = 0;
            (state.known(), state.generation)
        };
        let result = self.file.sync_data();
        failpoint!("part-synced");
        let mut state = self.lock();
        match result {
            Ok(()) if state.generation == generation => state.synced = Some(snapshot),
            Ok(()) => {}
            Err(_) => {
                state.poisoned = true;
                state.synced = None;
            }
        }
        result
    }

    /// The synced ranges that the owner has not been told yet.
    pub(super) fn take_synced(&self) -> Option<Known> {
        self.lock().synced.take()
    }

    /// Whether data waits for a sync or synced ranges wait to be recorded.
    pub(super) fn is_unrecorded(&self) -> bool {
        let state = self.lock();
        !state.poisoned && (state.dirty > 0 || state.synced.is_some())
    }

    /// Whether the file on disk has its full length. Blocks.
    pub(super) fn is_full_length(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() == self.size)
    }

    /// Hashes everything once more when the hash went on from a mark, which may have been wrong; answers whether so.
    /// No hash step may be under way.
    pub(super) fn hash_again(&self) -> bool {
        let mut state = self.lock();
        let again = state.trusting;
        if again {
            state.hash_from_zero(ContentHasher::new(&self.digest, self.size));
        }
        again
    }

    /// Throws all ranges away. No write and no hash step may be under way.
    pub(super) fn reset(&self) {
        let mut state = self.lock();
        state.have = RangeSet::new();
        state.dirty = 0;
        // The owner must forget the ranges too.
        state.synced = Some(Known::default());
        state.generation += 1;
        state.hash_from_zero(ContentHasher::new(&self.digest, self.size));
        drop(state);
        self.hash_moved.notify_waiters();
    }
}

impl State {
    fn known(&self) -> Known {
        Known {
            ranges: self.have.clone(),
            hash: self.mark.clone(),
        }
    }

    fn hash_from_zero(&mut self, hasher: ContentHasher) {
        self.hashed = 0;
        self.hasher = Some(hasher);
        self.mark = None;
        self.trusting = false;
        self.fresh.clear();
    }

    fn hash_wanted(&self, size: u64) -> bool {
        self.hasher.is_some() && (self.have.frontier() > self.hashed || self.hashed == size)
    }
}

/// Counts a call that is under way until it is over.
struct InSystem<'a>(&'a AtomicU32);

impl<'a> InSystem<'a> {
    fn enter(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InSystem<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the file system has data from 0 up to `end`; a hole there means that something was lost.
fn is_filled(file: &File, end: u64) -> bool {
    // A file system that knows no holes has none.
    end == 0 || rustix::fs::seek(file, SeekFrom::Hole(0)).map_or(true, |hole| hole >= end)
}

fn length(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

/// The parts of `range` that are not in `have`.
fn missing(have: &RangeSet, range: &Range<u64>) -> Vec<Range<u64>> {
    let mut missing: RangeSet = std::iter::once(range.clone()).collect();
    for here in have.iter() {
        missing.remove(here);
    }
    missing.iter().collect()
}
