//! Exact numbers of the running job, in memory, for readers in the same process.
//!
//! The row holds the same numbers at most a second older; this is a view and never the truth.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::domain::{FileProgress, JobId, Phase};
use crate::transfer::Progress;

/// Speed is the mean over this window.
const SPEED_WINDOW: Duration = Duration::from_secs(5);

/// How far the running job is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Numbers {
    pub(crate) phase: Option<Phase>,
    pub(crate) files_done: u64,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_reused: u64,
    pub(crate) rate: u64,
    pub(crate) current_file: Option<String>,
    pub(crate) last_byte_at: Option<DateTime<Utc>>,
}

/// The running job, if any.
#[derive(Debug, Default)]
pub(crate) struct Live {
    job: Mutex<Option<Arc<LiveJob>>>,
    /// What ended jobs of this process received.
    received_before: AtomicU64,
}

impl Live {
    /// Announces the job that runs now.
    pub(crate) fn begin(&self, job: &Arc<LiveJob>) {
        *self.slot() = Some(Arc::clone(job));
    }

    /// No job runs any more.
    pub(crate) fn end(&self) {
        if let Some(job) = self.slot().take() {
            self.received_before
                .fetch_add(job.received(), Ordering::Relaxed);
        }
    }

    /// Bytes that this process has received for all its jobs; never goes down.
    pub(crate) fn received(&self) -> u64 {
        let slot = self.slot();
        let now = slot.as_ref().map_or(0, |job| job.received());
        self.received_before.load(Ordering::Relaxed) + now
    }

    /// The job that runs in this process now.
    ///
    /// Taken before a row is read, its numbers are never older than the row's.
    pub(crate) fn current(&self) -> Option<Arc<LiveJob>> {
        self.slot().clone()
    }

    /// The job that runs in this process, if it is this one.
    pub(crate) fn get(&self, id: JobId) -> Option<Arc<LiveJob>> {
        self.slot()
            .as_ref()
            .filter(|job| job.id == id)
            .map(Arc::clone)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<LiveJob>>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One running job's counters.
#[derive(Debug)]
pub(crate) struct LiveJob {
    /// The job.
    pub(crate) id: JobId,
    /// The transfer's own counters.
    pub(crate) transfer: Arc<Progress>,
    /// Bytes of files that were here before the transfer began.
    pub(crate) present_bytes: AtomicU64,
    /// Files under their final name.
    pub(crate) files_done: AtomicU64,
    /// Bytes that were on disk when the attempt began, files and parts.
    pub(crate) reused_bytes: AtomicU64,
    /// Bytes by which the place of an app's own function has grown.
    grown_bytes: AtomicU64,
    grown_at: Mutex<Option<DateTime<Utc>>>,
    /// What an app's own function has said first.
    told_first: OnceLock<u64>,
    /// Bytes that were read to compare them.
    compared_bytes: AtomicU64,
    named_file: Mutex<Option<String>>,
    total_bytes: AtomicU64,
    high_water: AtomicU64,
    /// Received bytes that monitoring knows already.
    told_bytes: AtomicU64,
    phase: Mutex<Option<Phase>>,
    /// When the numbers were written last.
    reported: Mutex<Option<tokio::time::Instant>>,
    samples: Mutex<VecDeque<(Duration, u64)>>,
}

impl LiveJob {
    pub(crate) fn new(id: JobId) -> Self {
        Self {
            id,
            transfer: Arc::new(Progress::default()),
            present_bytes: AtomicU64::new(0),
            files_done: AtomicU64::new(0),
            reused_bytes: AtomicU64::new(0),
            grown_bytes: AtomicU64::new(0),
            grown_at: Mutex::new(None),
            told_first: OnceLock::new(),
            compared_bytes: AtomicU64::new(0),
            named_file: Mutex::new(None),
            total_bytes: AtomicU64::new(0),
            high_water: AtomicU64::new(0),
            told_bytes: AtomicU64::new(0),
            phase: Mutex::new(None),
            reported: Mutex::new(None),
            samples: Mutex::new(VecDeque::new()),
        }
    }

    /// Notes that the numbers, as they were at `when`, are in the row.
    pub(crate) fn set_reported(&self, when: tokio::time::Instant) {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = Some(when);
    }

    /// When the numbers in the row were taken.
    pub(crate) fn reported(&self) -> Option<tokio::time::Instant> {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what the job does.
    pub(crate) fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(phase);
    }

    /// Sets which file people are shown: the one that is compared, or that an app's own function names.
    pub(crate) fn set_current_file(&self, path: Option<String>) {
        *self
            .named_file
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// Counts bytes that were read to compare them.
    pub(crate) fn count_compared(&self, bytes: u64) {
        self.compared_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sets the plan's size, which the count never passes.
    pub(crate) fn set_total(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that came in this attempt, from the hub or by an app's own function; what was only read does not count.
    fn received(&self) -> u64 {
        self.transfer.received_total() + self.grown_bytes.load(Ordering::Relaxed)
    }

    /// At most so many files that are being received, with what of them is here.
    pub(crate) fn under_way(&self, most: usize) -> Vec<FileProgress> {
        self.transfer.under_way(most)
    }

    /// The plan's size in bytes; 0 before it is known.
    pub(crate) fn total(&self) -> u64 {
        self.total_bytes.load(Ordering::Relaxed)
    }

    /// New bytes that this attempt brought to the disk, by itself or by an app's own function.
    pub(crate) fn written(&self) -> u64 {
        self.transfer.snapshot().written + self.grown_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that were received since this was asked last.
    pub(crate) fn newly_received(&self) -> u64 {
        let received = self.transfer.snapshot().received;
        received.saturating_sub(self.told_bytes.fetch_max(received, Ordering::Relaxed))
    }

    /// Notes by how much the place of an app's own function has grown since the attempt began; less never counts.
    pub(crate) fn grown_to(&self, before: u64, grown: u64, now: DateTime<Utc>) {
        if self.grown_bytes.fetch_max(grown, Ordering::Relaxed) < grown {
            self.present_bytes
                .store(before.saturating_add(grown), Ordering::Relaxed);
            *self.grown_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
    }

    /// Takes what an app's own function says of its bytes so far; less than before never counts.
    pub(crate) fn told(&self, done: u64, now: DateTime<Utc>) {
        let new = done.saturating_sub(*self.told_first.get_or_init(|| done));
        self.grown_bytes.fetch_max(new, Ordering::Relaxed);
        if self.present_bytes.fetch_max(done, Ordering::Relaxed) < done {
            *self.grown_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
    }

    /// Whether the function has said how far it is.
    pub(crate) fn is_told(&self) -> bool {
        self.told_first.get().is_some()
    }

    /// The numbers now. Bytes only go up, also when a file must be fetched again.
    pub(crate) fn numbers(&self, clock: &dyn Clock) -> Numbers {
        let transfer = self.transfer.snapshot();
        let present = self.present_bytes.load(Ordering::Relaxed);
        let bytes = (present + transfer.present).min(self.total_bytes.load(Ordering::Relaxed));
        let bytes_done = self
            .high_water
            .fetch_max(bytes, Ordering::Relaxed)
            .max(bytes);
        let grown = self.grown_bytes.load(Ordering::Relaxed);
        let compared = self.compared_bytes.load(Ordering::Relaxed);
        let named = self
            .named_file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Numbers {
            phase: *self.phase.lock().unwrap_or_else(PoisonError::into_inner),
            files_done: self.files_done.load(Ordering::Relaxed),
            bytes_done,
            bytes_reused: self.reused_bytes.load(Ordering::Relaxed).min(bytes_done),
            rate: self.rate(clock.monotonic(), transfer.received + compared + grown),
            current_file: named.or_else(|| transfer.current_file.map(|path| path.to_string())),
            last_byte_at: transfer
                .last_byte
                .map(|at| clock.now() - at.elapsed())
                .or(*self.grown_at.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn rate(&self, now: Duration, received: u64) -> u64 {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples
            .back()
            .is_none_or(|(at, _)| now.saturating_sub(*at) >= Duration::from_millis(100))
        {
            samples.push_back((now, received));
        }
        while samples.len() > 2
            && samples
                .front()
                .is_some_and(|(at, _)| now.saturating_sub(*at) > SPEED_WINDOW)
        {
            samples.pop_front();
        }
        let Some((since, before)) = samples.front() else {
            return 0;
        };
        let millis = u64::try_from(now.saturating_sub(*since).as_millis()).unwrap_or(u64::MAX);
        received
            .saturating_sub(*before)
            .saturating_mul(1000)
            .checked_div(millis)
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_the_mean_of_the_last_seconds() {
        let job = LiveJob::new(JobId::generate(DateTime::UNIX_EPOCH));
        for second in 0..=10 {
            assert_eq!(
                job.rate(Duration::from_secs(second), second * 100),
                if second == 0 { 0 } else { 100 }
            );
        }
        for second in 11..=20 {
            job.rate(Duration::from_secs(second), 1000);
        }
        assert_eq!(job.rate(Duration::from_secs(21), 1000), 0);
    }
}
