//! The calls to the owner, and the end of a run.
//!
//! Invariant: a range is recorded only after the sync that covered it returned, and when a run has returned
//! no write is under way.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::error::{TransferError, panicked, storage};
use super::keeper::Known;
use super::part::Part;
use super::run::{Run, Told};
use crate::domain::Failure;

/// How long streams may take to hand over what they hold.
const STREAM_PATIENCE: Duration = Duration::from_millis(200);

impl Run {
    /// Syncs `parts`, and tells the owner what is synced when it is time to `record` it: a fast transfer syncs more often
    /// than its owner should have to write.
    pub(super) fn call_checkpoint(&mut self, parts: Vec<Arc<Part>>, record: bool) {
        let (keeper, disk) = (Arc::clone(&self.keeper), self.shared.disk.clone());
        self.calls.spawn(async move {
            let result = async {
                disk.sync(parts.clone()).await?;
                if !record {
                    return Ok(());
                }
                let synced = synced(&parts);
                if synced.is_empty() {
                    return Ok(());
                }
                keeper.checkpoint(synced).await
            };
            Told::Checkpointed(result.await)
        });
    }

    /// Syncs verified files and lets the owner finish them. Files of a wrong length are left out of the answer.
    pub(super) fn call_finish(&mut self, indexes: Vec<usize>) {
        let (keeper, disk) = (Arc::clone(&self.keeper), self.shared.disk.clone());
        let parts: Vec<_> = indexes
            .iter()
            .filter_map(|index| self.slots[*index].part.clone())
            .collect();
        self.calls.spawn(async move {
            let result = async {
                disk.sync(parts.clone()).await?;
                let Some(first) = parts.first().map(|part| part.path.clone()) else {
                    return Ok(Vec::new());
                };
                let right = disk.run(move || whole(&parts)).await;
                let right = right.unwrap_or_else(|| Err(panicked(&first)))?;
                if !right.is_empty() {
                    keeper.finish(right.clone()).await?;
                }
                Ok(right)
            };
            let result: Result<Vec<usize>, Failure> = result.await;
            Told::Finished(indexes, result)
        });
    }

    /// Stops the streams, waits for the disk, and records what is synced.
    pub(super) async fn wind_down(
        mut self,
        result: Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        self.stop.cancel();
        self.opens.shutdown().await;
        // Streams flush what they hold; one that does not end soon is dropped.
        let streams = &mut self.streams;
        let ended = timeout(STREAM_PATIENCE, async {
            while streams.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            self.streams.shutdown().await;
        }
        let Err(error) = &result else {
            self.shared.disk.drain().await;
            return result;
        };
        let patience = self.options.stop_patience;
        let fenced = *error == TransferError::Fenced;
        if timeout(patience, self.last_checkpoint(fenced))
            .await
            .is_err()
        {
            tracing::warn!(files = %self.waiting_for_the_disk(), "The last checkpoint took too long and was left out.");
        }
        self.calls.shutdown().await;
        self.shared.disk.drain().await;
        result
    }

    /// The files whose writes and syncs the system does not answer.
    fn waiting_for_the_disk(&self) -> String {
        let parts = self.slots.iter().filter_map(|slot| slot.part.as_ref());
        let paths: Vec<&str> = parts
            .filter(|part| part.is_in_system())
            .map(|part| part.path.as_str())
            .collect();
        paths.join(", ")
    }

    async fn last_checkpoint(&mut self, fenced: bool) {
        // A call under way comes first: the owner gets one at a time.
        while let Some(told) = self.calls.join_next().await {
            if let Ok(Told::Finished(_, Ok(finished))) = told {
                for index in finished {
                    self.done(index);
                }
            }
        }
        self.shared.disk.drain().await;
        if fenced || !self.keeper.may_write() {
            return;
        }
        let parts: Vec<_> = self
            .slots
            .iter()
            .filter_map(|slot| slot.part.clone())
            .filter(|part| part.is_unrecorded())
            .collect();
        // One sync per part, so that a part that cannot be synced does not hide the others.
        for part in &parts {
            if let Err(failure) = self.shared.disk.sync(vec![Arc::clone(part)]).await {
                tracing::warn!(file = %part.path, cause = %failure, "A part could not be synced at the end.");
            }
        }
        let synced = synced(&parts);
        if synced.is_empty() {
            return;
        }
        if let Err(failure) = self.keeper.checkpoint(synced).await {
            tracing::warn!(cause = %failure, "The last checkpoint was refused.");
        }
    }
}

/// Which of these have their full length on disk. Blocks.
fn whole(parts: &[Arc<Part>]) -> Result<Vec<usize>, Failure> {
    let mut right = Vec::with_capacity(parts.len());
    for part in parts {
        let full = part.is_full_length();
        if full.map_err(|error| storage("look at", &part.path, &error))? {
            right.push(part.index);
        }
    }
    Ok(right)
}

/// What the owner has not been told yet about `parts`.
fn synced(parts: &[Arc<Part>]) -> Vec<(usize, Known)> {
    parts
        .iter()
        .filter_map(|part| Some((part.index, part.take_synced()?)))
        .collect()
}
