//! One run: the only task that decides. Streams, blocking steps and calls to the owner report to it.
//!
//! Invariant: it alone changes slots and plans, so no decision needs a lock; it never waits for one of them
//! except in its one `select`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::buffer::BufferPool;
use super::disk::{Disk, Hashed};
use super::error::TransferError;
use super::keeper::{FileTask, Keeper};
use super::limiter::RateLimiter;
use super::options::Options;
use super::pace::Pace;
use super::part::Part;
use super::progress::Progress;
use super::ramp::Ramp;
use super::slot::{Slot, Stage};
use super::stream::{Ended, Shared};
use crate::domain::{Failure, FailureCode};

/// How often due times are looked at.
const TICK: Duration = Duration::from_millis(20);
/// An answer that takes this long is late.
const LATE: Duration = Duration::from_millis(30);
/// Files that are finished with one call at most.
const BATCH: usize = 64;
/// Verified files that may wait to be finished before no more are opened: each keeps its part and its lock.
pub(super) const BACKLOG: usize = 4 * BATCH;

/// What a call to the owner brought.
pub(super) enum Told {
    Opened(usize, Result<Opened, Failure>),
    Checkpointed(Result<(), Failure>),
    Finished(Vec<usize>, Result<Vec<usize>, Failure>),
}

/// An opening whose part is ready.
pub(super) enum Opened {
    Present,
    Later,
    Part(Arc<Part>),
}

/// The state of one run.
pub(super) struct Run {
    pub(super) options: Arc<Options>,
    pub(super) keeper: Arc<dyn Keeper>,
    pub(super) progress: Arc<Progress>,
    pub(super) shared: Shared,
    pub(super) slots: Vec<Slot>,
    /// Small and big files whose turn has not come, in order.
    pub(super) waiting: [VecDeque<usize>; 2],
    /// Files whose lock was taken, with the time to ask again.
    pub(super) locked: Vec<(usize, Instant)>,
    /// Files with streams, or bytes to fetch or hash, in order.
    pub(super) active: Vec<usize>,
    pub(super) verified: VecDeque<usize>,
    pub(super) opening: usize,
    pub(super) left: usize,
    pub(super) streams: JoinSet<Ended>,
    /// Calls to the owner.
    pub(super) calls: JoinSet<Told>,
    /// Calls that open parts; dropped at the end, as nothing depends on them.
    pub(super) opens: JoinSet<Told>,
    /// Whether a checkpoint or finish is under way: the owner gets one at a time.
    keeping: bool,
    checkpoint_due: Instant,
    hashed: mpsc::UnboundedReceiver<Hashed>,
    pub(super) ramp: Ramp,
    pub(super) pace: Pace,
    /// No request before this: the server asked for it.
    pub(super) hold_until: Option<Instant>,
    pub(super) stop: CancellationToken,
}

impl Run {
    pub(super) fn new(
        options: Arc<Options>,
        limiter: Arc<RateLimiter>,
        files: Vec<FileTask>,
        keeper: Arc<dyn Keeper>,
        progress: Arc<Progress>,
    ) -> Self {
        let (sender, hashed) = mpsc::unbounded_channel();
        let disk = Disk::new(&options, Arc::clone(&keeper), Arc::clone(&progress), sender);
        let bytes = options.buffer_bytes();
        let count = (options.buffer_total / bytes.max(1)).max(2 * options.max_connections) + 4;
        let shared = Shared {
            hash_lag: Arc::new(AtomicU64::new(options.hash_lag)),
            options: Arc::clone(&options),
            limiter,
            buffers: BufferPool::new(count, bytes),
            progress: Arc::clone(&progress),
            disk,
        };
        let small = |index: &usize| files[*index].size <= options.small_file;
        let (few, many): (VecDeque<usize>, VecDeque<usize>) = (0..files.len()).partition(small);
        // Small files wait for the network, not for bandwidth: nothing is learned from a slow start.
        let initial = options.initial_connections.max(few.len());
        Self {
            pace: Pace::default(),
            ramp: Ramp::new(initial, options.max_connections),
            checkpoint_due: Instant::now() + options.checkpoint_interval,
            options,
            keeper,
            progress,
            shared,
            left: files.len(),
            slots: files.into_iter().map(Slot::new).collect(),
            waiting: [few, many],
            locked: Vec::new(),
            active: Vec::new(),
            verified: VecDeque::new(),
            opening: 0,
            streams: JoinSet::new(),
            calls: JoinSet::new(),
            opens: JoinSet::new(),
            keeping: false,
            hashed,
            hold_until: None,
            stop: CancellationToken::new(),
        }
    }

    /// Works until every file is in or one cannot be had.
    pub(super) async fn drive(mut self, cancel: CancellationToken) -> Result<(), TransferError> {
        let result = self.work(&cancel).await;
        self.wind_down(result).await
    }

    async fn work(&mut self, cancel: &CancellationToken) -> Result<(), TransferError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.open_more();
            self.dispatch();
            self.keep();
            if self.left == 0 {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(TransferError::Cancelled),
                Some(ended) = self.streams.join_next() => {
                    self.stream_ended(ended.map_err(|error| defect("a stream", &error))?)?;
                }
                Some(told) = self.calls.join_next() => {
                    self.told(told.map_err(|error| defect("a call to the owner", &error))?)?;
                }
                Some(told) = self.opens.join_next() => {
                    self.told(told.map_err(|error| defect("the opening of a part", &error))?)?;
                }
                Some(hashed) = self.hashed.recv() => {
                    let hex = hashed.result.map_err(TransferError::Failed)?;
                    self.slots[hashed.index].hash = Some(hex);
                    self.judge(hashed.index)?;
                }
                _ = tick.tick() => self.ticked()?,
            }
        }
    }

    fn ticked(&mut self) -> Result<(), TransferError> {
        let now = Instant::now();
        self.look_for_late_answers(now);
        let warm = self
            .active
            .iter()
            .flat_map(|index| &self.slots[*index].streams)
            .filter(|piece| piece.is_warm())
            .count();
        self.ramp.observe(now, self.progress.received_total(), warm);
        self.ask_locked(now)
    }

    /// While answers are late, more requests cost nothing: the connections wait side by side.
    fn look_for_late_answers(&mut self, now: Instant) {
        let (mut late, mut any, mut awaited) = (0, false, false);
        for index in &self.active {
            let small = self.slots[*index].file.size <= self.options.small_file;
            for piece in &self.slots[*index].streams {
                any |= piece.is_warm();
                awaited |= piece.is_awaited(now, LATE);
                late += usize::from(!small && piece.came_late(LATE));
            }
        }
        if awaited && !any && self.progress.received_total() == 0 {
            self.ramp.cold();
        }
        if late > 0 {
            self.ramp.late(late);
        }
    }

    fn told(&mut self, told: Told) -> Result<(), TransferError> {
        match told {
            Told::Opened(index, opened) => {
                self.opening -= 1;
                match opened.map_err(TransferError::from_keeper)? {
                    Opened::Present => self.done(index),
                    Opened::Later => {
                        let now = Instant::now();
                        self.slots[index].stage = Stage::Waiting;
                        self.slots[index].locked_since.get_or_insert(now);
                        self.locked.push((index, now + self.options.lock_retry));
                    }
                    Opened::Part(part) => self.activate(index, part),
                }
            }
            Told::Checkpointed(result) => {
                self.keeping = false;
                result.map_err(TransferError::from_keeper)?;
            }
            Told::Finished(asked, result) => {
                self.keeping = false;
                let finished = result.map_err(TransferError::from_keeper)?;
                for index in asked {
                    if finished.contains(&index) {
                        self.done(index);
                    } else {
                        self.slots[index].stage = Stage::Active;
                        self.active.push(index);
                        self.reject(index, "nothing, its length on disk is wrong")?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn done(&mut self, index: usize) {
        self.slots[index].stage = Stage::Done;
        // Closes the part file and forgets where its bytes came from; with thousands of files that matters.
        self.slots[index].part = None;
        self.slots[index].source = None;
        self.progress.finished(index);
        self.left -= 1;
    }

    /// Lets the owner record what is synced and finish what is verified, one call at a time.
    fn keep(&mut self) {
        if self.keeping {
            return;
        }
        let now = Instant::now();
        let parts = |run: &Self| -> Vec<Arc<Part>> {
            let parts = run
                .active
                .iter()
                .filter_map(|index| run.slots[*index].part.clone());
            parts.filter(|part| part.is_unrecorded()).collect()
        };
        let overdue = now >= self.checkpoint_due;
        if self.verified.is_empty() || overdue {
            let parts = parts(self);
            let dirty: u64 = parts.iter().map(|part| part.dirty()).sum();
            if !parts.is_empty() && (overdue || dirty >= self.options.writeback_bytes) {
                self.keeping = true;
                self.call_checkpoint(parts, overdue);
            }
            if overdue {
                self.checkpoint_due = now + self.options.checkpoint_interval;
            }
        }
        if !self.keeping && !self.verified.is_empty() {
            self.keeping = true;
            let batch = self.verified.len().min(BATCH);
            let indexes = self.verified.drain(..batch).collect();
            self.call_finish(indexes);
        }
    }
}

fn defect(what: &str, error: &tokio::task::JoinError) -> TransferError {
    tracing::error!(%error, "A step of a transfer did not end as it should.");
    TransferError::Failed(
        Failure::new(
            FailureCode::Internal,
            format!("{what} of the transfer panicked"),
        )
        .with_remedy(Failure::REPORT),
    )
}
