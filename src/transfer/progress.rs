//! How far a run is, readable at any time by anybody.
//!
//! Invariant: no number of a run ever goes down, also when a file is thrown away and fetched again.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use super::keeper::FileTask;
use crate::domain::{FileProgress, RepoPath};

/// The live numbers of one run.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    files: RwLock<Vec<Cell>>,
    received: AtomicU64,
    written: AtomicU64,
    finished: AtomicUsize,
    current: AtomicUsize,
    last_byte: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Cell {
    path: RepoPath,
    size: u64,
    present: AtomicU64,
    reused: AtomicU64,
    finished: AtomicU64,
}

/// The numbers at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProgressSnapshot {
    /// Bytes received by this run, including those that had to be thrown away.
    pub(crate) received: u64,
    /// New bytes that this run wrote to disk.
    pub(crate) written: u64,
    /// Bytes of the run's files that are here, reused ones included.
    pub(crate) present: u64,
    /// Bytes that were here before the run, as far as their files were opened.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the tests compare it with what they gave")
    )]
    pub(crate) reused: u64,
    /// Files that are finished.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the tests compare it with what they gave")
    )]
    pub(crate) files_finished: usize,
    /// The file that a connection was last opened for.
    pub(crate) current_file: Option<RepoPath>,
    /// When the last byte came.
    pub(crate) last_byte: Option<Instant>,
}

impl Progress {
    /// All zero, without files until a run begins.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "outside of the tests it is made by default")
    )]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The numbers now.
    pub(crate) fn snapshot(&self) -> ProgressSnapshot {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let sum = |number: fn(&Cell) -> &AtomicU64| {
            files
                .iter()
                .map(|cell| number(cell).load(Ordering::Relaxed))
                .sum()
        };
        ProgressSnapshot {
            received: self.received.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            present: sum(|cell| &cell.present),
            reused: sum(|cell| &cell.reused),
            files_finished: self.finished.load(Ordering::Relaxed),
            current_file: files
                .get(self.current.load(Ordering::Relaxed))
                .map(|cell| cell.path.clone()),
            last_byte: *self
                .last_byte
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(super) fn begin(&self, tasks: &[FileTask]) {
        let cells = tasks.iter().map(|task| Cell {
            path: task.path.clone(),
            size: task.size,
            present: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            finished: AtomicU64::new(0),
        });
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = cells.collect();
        self.current.store(usize::MAX, Ordering::Relaxed);
    }

    pub(super) fn opened(&self, index: usize, present: u64) {
        self.with(index, |cell| {
            cell.reused.fetch_max(present, Ordering::Relaxed);
            cell.present.fetch_max(present, Ordering::Relaxed);
        });
    }

    pub(super) fn current(&self, index: usize) {
        self.current.store(index, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        *self
            .last_byte
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// At most so many files of which something is here and something is missing.
    pub(crate) fn under_way(&self, most: usize) -> Vec<FileProgress> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let partial = files.iter().filter_map(|cell| {
            let received = cell.present.load(Ordering::Relaxed);
            let open = cell.finished.load(Ordering::Relaxed) == 0 && received > 0;
            open.then(|| FileProgress {
                path: cell.path.to_string(),
                size: cell.size,
                received,
            })
        });
        partial.take(most).collect()
    }

    /// Bytes that came, including those that had to be thrown away.
    pub(crate) fn received_total(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self, index: usize, new: u64, present: u64) {
        self.written.fetch_add(new, Ordering::Relaxed);
        self.with(index, |cell| {
            cell.present.fetch_max(present, Ordering::Relaxed);
        });
    }

    pub(super) fn finished(&self, index: usize) {
        self.with(index, |cell| {
            cell.present.fetch_max(cell.size, Ordering::Relaxed);
            if cell.finished.swap(1, Ordering::Relaxed) == 0 {
                self.finished.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    fn with(&self, index: usize, change: impl FnOnce(&Cell)) {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = files.get(index) {
            change(cell);
        }
    }
}
