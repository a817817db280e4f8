//! Which files are opened when, and the wait for locked ones.
//!
//! Small files are opened a little ahead of the connections, big ones shortly before those in work run out of
//! pieces, so that no connection waits for the owner and few locks are held.

use std::sync::Arc;

use tokio::time::Instant;

use super::error::{TransferError, panicked, storage};
use super::keeper::Opening;
use super::part::Part;
use super::run::{BACKLOG, Opened, Run, Told};
use super::slot::Stage;
use crate::domain::{Failure, FailureCode, RepoPath};

impl Run {
    /// Asks the owner for parts, a little ahead of the connections.
    pub(super) fn open_more(&mut self) {
        let ahead = self.options.max_connections.max(1);
        while self.waiting[0].front().is_some()
            && self.opening < ahead
            && self.verified.len() < BACKLOG
            && {
                let open = self.active.iter().filter(|i| self.is_small(**i));
                open.count() + self.opening < 2 * ahead
            }
        {
            let index = self.waiting[0].pop_front().expect("looked at above");
            self.ask(index);
        }
        // The next big file is opened before the ones in work run out of pieces.
        let enough = self.options.max_piece.saturating_mul(ahead as u64);
        while !self.waiting[1].is_empty() {
            let big = self.slots.iter().filter(|slot| {
                slot.file.size > self.options.small_file
                    && matches!(slot.stage, Stage::Active | Stage::Opening)
            });
            let (count, unassigned) = big.fold((0, 0), |(count, bytes): (usize, u64), slot| {
                let more = if slot.stage == Stage::Opening {
                    slot.file.size
                } else {
                    slot.plan.unassigned()
                };
                (count + 1, bytes.saturating_add(more))
            });
            // Past the wanted number one more is opened only when connections would have nothing to do.
            let crowded = count >= self.options.file_concurrency.max(1)
                && (unassigned > 0 || count >= 2 * ahead);
            if crowded || unassigned >= enough {
                return;
            }
            let Some(index) = self.waiting[1].pop_front() else {
                return;
            };
            self.ask(index);
        }
    }

    pub(super) fn is_small(&self, index: usize) -> bool {
        self.slots[index].file.size <= self.options.small_file
    }

    fn ask(&mut self, index: usize) {
        self.slots[index].stage = Stage::Opening;
        self.opening += 1;
        let (keeper, disk) = (Arc::clone(&self.keeper), self.shared.disk.clone());
        let wanted = self.slots[index].file.clone();
        self.opens.spawn(async move {
            let opened = match keeper.open(index).await {
                Ok(Opening::Present) => Ok(Opened::Present),
                Ok(Opening::Later) => Ok(Opened::Later),
                Ok(Opening::Part {
                    file,
                    known,
                    unsynced,
                }) => {
                    let path = wanted.path.clone();
                    if !keeper.may_write() {
                        return Told::Opened(index, Err(fenced(&path)));
                    }
                    let ready = disk
                        .run(move || Part::prepare(index, &wanted, file, known, unsynced))
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

    pub(super) fn activate(&mut self, index: usize, part: Arc<Part>) {
        self.progress.opened(index, part.have().len());
        if part.hash_wanted() {
            self.shared.disk.hash(&part);
        }
        self.slots[index].activate(part);
        let at = self.active.partition_point(|other| *other < index);
        self.active.insert(at, index);
    }

    /// Asks again for locked files that are due; gives up when nothing else is left for too long.
    pub(super) fn ask_locked(&mut self, now: Instant) -> Result<(), TransferError> {
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
                        self.slots[*index].file.path
                    ),
                )
                .with_remedy("let it finish; the download goes on by itself"),
            )),
            _ => Ok(()),
        }
    }
}

/// Making a part ready changes it, so it needs the right to write too.
fn fenced(path: &RepoPath) -> Failure {
    Failure::new(
        FailureCode::LeaseLost,
        format!("`{path}` may not be written any more"),
    )
}
