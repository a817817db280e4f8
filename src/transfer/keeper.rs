//! What the engine is given to do, and what it asks of its owner while doing it.
//!
//! The engine knows neither cache nor database: the owner opens parts, records checkpoints and gives final
//! names. Calls of `checkpoint` and `finish` never overlap within a run.

use std::fs::File;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::source::Source;
use crate::domain::{Digest, Failure, HashMark, RangeSet, RepoPath};

/// One file to bring in.
#[derive(Debug, Clone)]
pub(crate) struct FileTask {
    /// Its path in the repository, for messages and progress.
    pub(crate) path: RepoPath,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// What its content must hash to.
    pub(crate) digest: Digest,
    /// Where its bytes come from.
    pub(crate) source: Arc<dyn Source>,
}

/// What is known of a part's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The ranges that are in it.
    pub(crate) ranges: RangeSet,
    /// How far they were hashed; never past the first gap.
    pub(crate) hash: Option<HashMark>,
}

/// The answer to [`Keeper::open`].
#[derive(Debug)]
pub(crate) enum Opening {
    /// Somebody else has finished the file: there is nothing to do.
    Present,
    /// The part, open for reading and writing, and what a checkpoint says is in it.
    Part {
        /// The part.
        file: Arc<File>,
        /// Candidates: the final hash decides whether they were right.
        known: Known,
        /// Bytes of them that no checkpoint has recorded yet, so that they still have to be synced.
        unsynced: u64,
    },
    /// Another program holds the file's lock: ask again later.
    Later,
}

/// What the engine asks its owner. `index` is the place of the file in the list given to the run.
///
/// A failure with [`crate::domain::FailureCode::LeaseLost`] ends the run as fenced.
pub(crate) trait Keeper: Send + Sync {
    /// Asked right before a file's first byte: takes the file's lock and opens its part.
    ///
    /// The call is dropped when the run ends meanwhile.
    fn open(&self, index: usize) -> BoxFuture<'_, Result<Opening, Failure>>;

    /// Ranges that are on disk and synced, replacing what was said before for these files.
    ///
    /// Never called for a file whose `finish` succeeded; it may be after a `finish` that failed.
    fn checkpoint(&self, files: Vec<(usize, Known)>) -> BoxFuture<'_, Result<(), Failure>>;

    /// What was written of a file, synced or not, replacing what was said before: it survives the end of the process
    /// but not that of the machine. Called from blocking threads, about once per mebibyte, so it must be cheap.
    fn note(&self, index: usize, known: &Known);

    /// Length and hash are right and the data is synced: these may get their final names.
    fn finish(&self, indexes: Vec<usize>) -> BoxFuture<'_, Result<(), Failure>>;

    /// Whether this worker may still write. Asked before each disk write, so it must be cheap.
    fn may_write(&self) -> bool;
}
