//! What is done with a file once its whole content was hashed.
//!
//! Invariant: nothing is decided while a stream could still write to the file.

use super::error::TransferError;
use super::keeper::Known;
use super::run::Run;
use super::slot::Stage;
use crate::domain::{Failure, FailureCode};

/// How often a content is fetched before it counts as wrong for good: a bad cable or proxy may damage it twice.
const FETCHES: u32 = 3;

impl Run {
    /// Compares the hash of a file once no stream can write to it any more.
    pub(super) fn judge(&mut self, index: usize) -> Result<(), TransferError> {
        let slot = &mut self.slots[index];
        if slot.stage != Stage::Active || slot.hash.is_none() {
            return Ok(());
        }
        if !slot.streams.is_empty() {
            slot.streams.iter().for_each(|piece| piece.revoked.cancel());
            return Ok(());
        }
        let got = slot.hash.take().unwrap_or_default();
        if got == slot.file.digest.as_str() {
            slot.stage = Stage::Verified;
            self.active.retain(|other| *other != index);
            self.verified.push_back(index);
            return Ok(());
        }
        if let Some(part) = slot.part.as_ref().filter(|part| part.hash_again()) {
            tracing::info!(file = %slot.file.path, "The hash does not fit; all of the file is hashed again.");
            self.shared.disk.hash(part);
            return Ok(());
        }
        self.reject(index, &got)
    }

    /// Throws a wrong content away: to fetch it again, or for good when it has come [`FETCHES`] times.
    pub(super) fn reject(&mut self, index: usize, got: &str) -> Result<(), TransferError> {
        let slot = &mut self.slots[index];
        slot.start_over();
        let last = slot.rejected >= FETCHES;
        self.keeper.note(index, &Known::default());
        let (path, expected) = (&slot.file.path, &slot.file.digest);
        if !last {
            tracing::warn!(file = %path, %expected, got, "The content is wrong and is fetched again.");
            if let Some(part) = slot.part.as_ref().filter(|part| part.hash_wanted()) {
                self.shared.disk.hash(part);
            }
            return Ok(());
        }
        Err(TransferError::Failed(
            Failure::new(
                FailureCode::ChecksumMismatch,
                format!("`{path}` must hash to {expected}, but what came {FETCHES} times hashes to {got}"),
            )
            .with_remedy("check proxies and mirrors between this machine and the hub, then retry"),
        ))
    }
}
