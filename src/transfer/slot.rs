//! Where one file of a run stands.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::keeper::FileTask;
use super::part::Part;
use super::piece::Piece;
use super::schedule::{Plan, Ticket};
use super::source::Source;
use crate::domain::PlannedFile;

/// The steps of a file, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its turn has not come.
    Waiting,
    /// Its owner is asked for the part.
    Opening,
    /// Bytes come in and are hashed.
    Active,
    /// Verified; waits to be synced and finished.
    Verified,
    /// Finished, or finished by somebody else.
    Done,
}

/// One file of a run.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) file: PlannedFile,
    /// Where its bytes come from, until it is done.
    pub(super) source: Option<Arc<dyn Source>>,
    pub(super) stage: Stage,
    pub(super) part: Option<Arc<Part>>,
    pub(super) plan: Plan,
    pub(super) streams: Vec<Arc<Piece>>,
    /// The hash of the whole content, kept until no stream is left.
    pub(super) hash: Option<String>,
    /// How often its content was thrown away.
    pub(super) rejected: u32,
    /// Failed tries in a row that brought a few bytes each.
    pub(super) crumbs: u32,
    /// When its lock was first found taken.
    pub(super) locked_since: Option<Instant>,
}

impl Slot {
    /// A file whose turn has not come.
    pub(super) fn new(task: FileTask) -> Self {
        let FileTask {
            path,
            size,
            digest,
            source,
        } = task;
        Self {
            file: PlannedFile { path, size, digest },
            source: Some(source),
            stage: Stage::Waiting,
            part: None,
            plan: Plan::default(),
            streams: Vec::new(),
            hash: None,
            rejected: 0,
            crumbs: 0,
            locked_since: None,
        }
    }

    /// Takes the opened part.
    pub(super) fn activate(&mut self, part: Arc<Part>) {
        self.plan = Plan::new(self.file.size, &part.have());
        self.part = Some(part);
        self.stage = Stage::Active;
    }

    /// The next range to fetch, as a piece that counts as running.
    pub(super) fn next_piece(
        &mut self,
        now: Instant,
        want: u64,
        stop: &CancellationToken,
    ) -> Option<Arc<Piece>> {
        // Streams over ranges end before a whole-file stream begins: they would write the same bytes.
        if self.plan.is_whole() && !self.streams.is_empty() {
            return None;
        }
        let ticket = self.plan.take(now, want)?;
        Some(self.begin(ticket, stop))
    }

    /// Notes a stream for `ticket`.
    pub(super) fn begin(&mut self, ticket: Ticket, stop: &CancellationToken) -> Arc<Piece> {
        let Ticket {
            range,
            failures,
            whole,
        } = ticket;
        let piece = Arc::new(Piece::new(range, failures, whole, stop));
        self.streams.push(Arc::clone(&piece));
        piece
    }

    /// Forgets a stream that ended.
    pub(super) fn forget(&mut self, piece: &Arc<Piece>) {
        self.streams.retain(|other| !Arc::ptr_eq(other, piece));
    }

    /// Starts over with nothing. No stream may be left.
    pub(super) fn start_over(&mut self) {
        if let Some(part) = &self.part {
            part.reset();
            self.plan = Plan::new(self.file.size, &part.have());
        }
        self.rejected += 1;
    }
}
