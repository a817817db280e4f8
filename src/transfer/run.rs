//! One run: the only task that decides. Streams, blocking steps and calls to the owner report to it.
//!
//! Invariant: it alone changes slots and plans, so no decision needs a lock; it never waits for one of them
//! except in its one `select`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::buffer::BufferPool;
use super::disk::{Disk, Hashed};
use super::error::{SourceErrorKind, TransferError, panicked, storage};
use super::keeper::{FileTask, Keeper, Opening};
use super::limiter::RateLimiter;
use super::options::Options;
use super::part::Part;
use super::piece::Piece;
use super::progress::Progress;
use super::ramp::Ramp;
use super::schedule::{Ticket, piece_size};
use super::slot::{Slot, Stage};
use super::stream::{Ended, Fault, Shared, fetch};
use crate::domain::{Failure, FailureCode};

/// How often due times are looked at.
const TICK: Duration = Duration::from_millis(20);
/// Files that are finished with one call at most.
const BATCH: usize = 64;

/// What a call to the owner brought.
pub(super) enum Told {
    Opened(usize, Result<Opened, Failure>),
    Checkpointed(Result<(), Failure>),
    Finished(Vec<usize>, Result<Vec<usize>, Failure>),
}

/// An [`Opening`] whose part is ready.
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
    waiting: [VecDeque<usize>; 2],
    /// Files whose lock was taken, with the time to ask again.
    locked: Vec<(usize, Instant)>,
    /// Files with streams, or bytes to fetch or hash, in order.
    pub(super) active: Vec<usize>,
    pub(super) verified: VecDeque<usize>,
    opening: usize,
    left: usize,
    pub(super) streams: JoinSet<Ended>,
    /// Calls to the owner.
    pub(super) calls: JoinSet<Told>,
    /// Whether a checkpoint or finish is under way: the owner gets one at a time.
    keeping: bool,
    checkpoint_due: Instant,
    hashed: mpsc::UnboundedReceiver<Hashed>,
    ramp: Ramp,
    /// No request before this: the server asked for it.
    hold_until: Option<Instant>,
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
            options: Arc::clone(&options),
            limiter,
            buffers: BufferPool::new(count, bytes),
            progress: Arc::clone(&progress),
            disk,
        };
        let small = |index: &usize| files[*index].size <= options.small_file;
        let (few, many) = (0..files.len()).partition(small);
        Self {
            ramp: Ramp::new(options.initial_connections, options.max_connections),
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
                    self.stream_ended(ended.map_err(|_| defect("a stream"))?)?;
                }
                Some(told) = self.calls.join_next() => {
                    self.told(told.map_err(|_| defect("a call to the owner"))?)?;
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
        let warm = self
            .active
            .iter()
            .flat_map(|index| &self.slots[*index].streams)
            .filter(|piece| piece.is_warm())
            .count();
        self.ramp.observe(now, self.progress.received_total(), warm);
        if std::env::args().any(|a| a == "--nocapture") {
            eprintln!(
                "{:?} target {} streams {} warm {warm} received {}",
                now,
                self.ramp.target(),
                self.streams.len(),
                self.progress.received_total() >> 20
            );
        }
        let due = |(_, time): &(usize, Instant)| *time <= now;
        let ready: Vec<usize> = self
            .locked
            .extract_if(.., |l| due(l))
            .map(|(i, _)| i)
            .collect();
        for index in ready {
            self.ask(index);
        }
        let only_locked = self.left == self.locked.len();
        let waited = |index: &usize| {
            self.slots[*index]
                .locked_since
                .is_some_and(|since| now.duration_since(since) >= self.options.lock_patience)
        };
        match self
            .locked
            .iter()
            .map(|(index, _)| index)
            .find(|i| waited(i))
        {
            Some(index) if only_locked => Err(TransferError::Failed(
                Failure::new(
                    FailureCode::CacheLocked,
                    format!(
                        "another program holds the lock of `{}`",
                        self.slots[*index].task.path
                    ),
                )
                .with_remedy("let it finish; the download goes on by itself"),
            )),
            _ => Ok(()),
        }
    }

    /// Asks the owner for parts, a little ahead of the connections.
    fn open_more(&mut self) {
        let ahead = self.options.max_connections.max(1);
        while self.waiting[0].front().is_some() && self.opening < ahead && {
            let open = self.active.iter().filter(|i| self.is_small(**i));
            open.count() + self.opening < 2 * ahead
        } {
            let index = self.waiting[0].pop_front().expect("looked at above");
            self.ask(index);
        }
        // The next big file is opened before the ones in work run out of pieces.
        let enough = self.options.max_piece.saturating_mul(ahead as u64);
        while !self.waiting[1].is_empty() {
            let big = self.slots.iter().filter(|slot| {
                slot.task.size > self.options.small_file
                    && matches!(slot.stage, Stage::Active | Stage::Opening)
            });
            let (count, unassigned) = big.fold((0, 0), |(count, bytes): (usize, u64), slot| {
                let more = if slot.stage == Stage::Opening {
                    slot.task.size
                } else {
                    slot.plan.unassigned()
                };
                (count + 1, bytes.saturating_add(more))
            });
            if count >= self.options.file_concurrency.max(1) || unassigned >= enough {
                return;
            }
            let Some(index) = self.waiting[1].pop_front() else {
                return;
            };
            self.ask(index);
        }
    }

    fn is_small(&self, index: usize) -> bool {
        self.slots[index].task.size <= self.options.small_file
    }

    fn ask(&mut self, index: usize) {
        self.slots[index].stage = Stage::Opening;
        self.opening += 1;
        let (keeper, disk) = (Arc::clone(&self.keeper), self.shared.disk.clone());
        let task = self.slots[index].task.clone();
        self.calls.spawn(async move {
            let opened = match keeper.open(index).await {
                Ok(Opening::Present) => Ok(Opened::Present),
                Ok(Opening::Later) => Ok(Opened::Later),
                Ok(Opening::Part { file, have }) => {
                    let path = task.path.clone();
                    let ready = disk
                        .run(move || Part::prepare(index, &task, file, have))
                        .await;
                    match ready {
                        Some(Ok(part)) => Ok(Opened::Part(Arc::new(part))),
                        Some(Err(error)) => Err(storage("reserve space for", &path, &error)),
                        None => Err(panicked(&path)),
                    }
                }
                Err(failure) => Err(failure),
            };
            Told::Opened(index, opened)
        });
    }

    /// Gives work to every connection that may run.
    fn dispatch(&mut self) {
        let now = Instant::now();
        if self.hold_until.is_some_and(|until| now < until) {
            return;
        }
        self.hold_until = None;
        while self.streams.len() < self.ramp.target() {
            let Some((index, piece)) = self.assign(now).or_else(|| self.steal(now)) else {
                return;
            };
            let slot = &self.slots[index];
            let part = Arc::clone(slot.part.as_ref().expect("an active file has its part"));
            self.progress.current(index);
            self.streams.spawn(fetch(
                self.shared.clone(),
                Arc::clone(&slot.task.source),
                part,
                piece,
            ));
        }
    }

    /// A range that nobody fetches: first of a file without a stream, then of the first file.
    fn assign(&mut self, now: Instant) -> Option<(usize, Arc<Piece>)> {
        for idle_only in [true, false] {
            for index in self.active.clone() {
                let slot = &mut self.slots[index];
                if slot.hash.is_some() || (idle_only && !slot.streams.is_empty()) {
                    continue;
                }
                let size = piece_size(slot.plan.unassigned(), self.ramp.target(), &self.options);
                if let Some(piece) = slot.next_piece(now, size, &self.stop) {
                    return Some((index, piece));
                }
            }
        }
        None
    }

    /// Half of the slowest piece, or all of one that fell silent.
    fn steal(&mut self, now: Instant) -> Option<(usize, Arc<Piece>)> {
        let running = self.active.iter().flat_map(|index| {
            let pieces = self.slots[*index].streams.iter();
            pieces.map(move |piece| (*index, Arc::clone(piece)))
        });
        let mut running: Vec<_> = running.collect();
        for (index, piece) in &running {
            // Each take-over counts as a failure and the next one comes later: a dead server must not be asked
            // for ever, and a slow one must get the time to answer.
            let patience = self.options.takeover_after * (1 << piece.failures.min(8));
            if piece.failures + 1 < self.options.range_retries
                && let Some(range) = piece.take_over(now, patience)
            {
                tracing::debug!(file = %self.slots[*index].task.path, start = range.start, "A silent stream is replaced.");
                return Some((*index, self.begin(*index, range, piece.failures + 1)));
            }
        }
        let left = |piece: &Arc<Piece>| piece.seconds_left(now).unwrap_or(0.0);
        running.sort_by(|(_, a), (_, b)| left(b).total_cmp(&left(a)));
        running.into_iter().find_map(|(index, piece)| {
            // A rest that is nearly in is not worth a request.
            let worth = left(&piece) > 0.05;
            let range = worth
                .then(|| piece.split(self.options.steal_min))
                .flatten()?;
            Some((index, self.begin(index, range, 0)))
        })
    }

    fn begin(&mut self, index: usize, range: std::ops::Range<u64>, failures: u32) -> Arc<Piece> {
        let ticket = Ticket {
            range,
            failures,
            whole: false,
        };
        self.slots[index].begin(ticket, &self.stop)
    }

    fn stream_ended(&mut self, ended: Ended) -> Result<(), TransferError> {
        let now = Instant::now();
        let index = ended.index;
        let small = self.is_small(index);
        let slot = &mut self.slots[index];
        slot.forget(&ended.piece);
        let rest = ended.piece.rest();
        match ended.result {
            Ok(()) => {
                if small {
                    self.ramp.small_answered(now);
                }
                if !rest.is_empty() {
                    // Revoked on the way: the rest is still missing.
                    slot.plan.put_back(rest, ended.piece.failures, now);
                }
            }
            Err(Fault::Fenced) => return Err(TransferError::Fenced),
            Err(Fault::Disk(failure)) => return Err(TransferError::Failed(failure)),
            Err(Fault::Source(error)) => match error.kind {
                SourceErrorKind::Changed | SourceErrorKind::Permanent => {
                    return Err(TransferError::Failed(error.failure));
                }
                SourceErrorKind::RangeIgnored if ended.piece.whole => {
                    return Err(TransferError::Failed(error.failure));
                }
                SourceErrorKind::RangeIgnored => {
                    if !slot.plan.is_whole() {
                        tracing::info!(file = %slot.task.path, "The server ignores ranges; the file is read as one stream.");
                        slot.plan.make_whole(0, now);
                        slot.streams.iter().for_each(|piece| piece.revoked.cancel());
                    }
                }
                SourceErrorKind::Transient => {
                    let failures = if ended.gained > 0 {
                        1
                    } else {
                        ended.piece.failures + 1
                    };
                    let due = now + self.pause(&error.failure, failures, now)?;
                    let slot = &mut self.slots[index];
                    tracing::debug!(file = %slot.task.path, failures, cause = %error.failure, "A range is tried again.");
                    slot.plan.put_back(rest, failures, due);
                }
            },
        }
        self.judge(index)
    }

    /// How long a failed range waits, or that waiting is over.
    fn pause(
        &mut self,
        failure: &Failure,
        failures: u32,
        now: Instant,
    ) -> Result<Duration, TransferError> {
        let asked = failure.retry_after.unwrap_or_default();
        if failures >= self.options.range_retries.max(1) || asked > self.options.retry_after_max {
            return Err(TransferError::Failed(failure.clone()));
        }
        let refused = failure.code == FailureCode::RateLimited || failure.retry_after.is_some();
        let pause = asked.max(self.options.backoff(failures));
        if refused {
            self.ramp.refused(now);
            self.hold_until = self.hold_until.max(Some(now + pause));
        }
        Ok(pause)
    }

    /// Compares the hash of a file once no stream can write to it any more.
    fn judge(&mut self, index: usize) -> Result<(), TransferError> {
        let slot = &mut self.slots[index];
        if slot.stage != Stage::Active || slot.hash.is_none() {
            return Ok(());
        }
        if !slot.streams.is_empty() {
            slot.streams.iter().for_each(|piece| piece.revoked.cancel());
            return Ok(());
        }
        let got = slot.hash.take().unwrap_or_default();
        if got == slot.task.digest.as_str() {
            slot.stage = Stage::Verified;
            self.active.retain(|other| *other != index);
            self.verified.push_back(index);
            return Ok(());
        }
        self.reject(index, &got)
    }

    /// Throws a wrong content away: once to fetch it again, the second time for good.
    fn reject(&mut self, index: usize, got: &str) -> Result<(), TransferError> {
        let slot = &mut self.slots[index];
        let first = !slot.again;
        slot.start_over();
        let (path, expected) = (&slot.task.path, &slot.task.digest);
        if first {
            tracing::warn!(file = %path, %expected, got, "The content is wrong and is fetched again.");
            if let Some(part) = slot.part.as_ref().filter(|part| part.hash_wanted()) {
                self.shared.disk.hash(part);
            }
            return Ok(());
        }
        Err(TransferError::Failed(
            Failure::new(
                FailureCode::ChecksumMismatch,
                format!("`{path}` must hash to {expected}, but what came twice hashes to {got}"),
            )
            .with_remedy("check proxies and mirrors between this machine and the hub, then retry"),
        ))
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

    fn activate(&mut self, index: usize, part: Arc<Part>) {
        self.progress.opened(index, part.have().len());
        if part.hash_wanted() {
            self.shared.disk.hash(&part);
        }
        self.slots[index].activate(part);
        let at = self.active.partition_point(|other| *other < index);
        self.active.insert(at, index);
    }

    pub(super) fn done(&mut self, index: usize) {
        self.slots[index].stage = Stage::Done;
        // Closes the part file; with thousands of files that matters.
        self.slots[index].part = None;
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

fn defect(what: &str) -> TransferError {
    TransferError::Failed(Failure::new(
        FailureCode::Internal,
        format!("{what} of the transfer panicked"),
    ))
}
