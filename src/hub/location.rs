//! Where the bytes of one file lie: asked of the hub once, shared by all connections.
//!
//! Invariant: at most one connection asks the hub at a time; who waited meanwhile gets the same answer,
//! good or bad. A signed URL lives in memory only. A refused one is dropped by whoever sees it first,
//! and after too many refusals without a byte in between no more are asked for.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Mutex;
use url::Url;

use super::FetchError;
use crate::redact::SafeUrl;

/// How often a refused URL is replaced while no byte comes.
pub(crate) const RENEWALS_MAX: u32 = 3;

/// An address that the hub gave for the file.
#[derive(Debug)]
pub(crate) struct Location {
    /// Signed, so it must not be printed whole.
    pub(crate) url: SafeUrl,
    /// Tells an address from the one that replaced it.
    generation: u64,
    /// The strong etag of the first answer there: later ranges must carry the same.
    pub(crate) etag: OnceLock<String>,
}

/// The shared cell.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    state: Mutex<State>,
    /// How many times the hub was asked; read before queueing for the lock.
    asked: AtomicU64,
    /// Refusals since the last byte.
    refused: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    location: Option<Arc<Location>>,
    /// The hub's last answer when it was an error, or the last refusal.
    failed: Option<FetchError>,
}

impl Cell {
    /// The known address, or the one that `ask` brings together with its first answer.
    pub(crate) async fn locate<T>(
        &self,
        ask: impl AsyncFnOnce() -> Result<(Url, T), FetchError>,
    ) -> Result<(Arc<Location>, Option<T>), FetchError> {
        let before = self.asked.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        if let Some(location) = &state.location {
            return Ok((Arc::clone(location), None));
        }
        let others_asked = self.asked.load(Ordering::Acquire) != before;
        let worn_out = self.refused.load(Ordering::Acquire) > RENEWALS_MAX;
        if let Some(error) = state.failed.as_ref().filter(|_| others_asked || worn_out) {
            return Err(error.clone());
        }
        let answer = ask().await;
        // Counted only now: a cancelled question has no answer to share.
        let generation = self.asked.fetch_add(1, Ordering::AcqRel);
        match answer {
            Ok((url, first)) => {
                let location = Arc::new(Location {
                    url: SafeUrl::new(url),
                    generation,
                    etag: OnceLock::new(),
                });
                state.location = Some(Arc::clone(&location));
                state.failed = None;
                Ok((location, Some(first)))
            }
            Err(error) => {
                state.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Drops an address because of `error`, unless it was replaced already.
    pub(crate) async fn forget(&self, location: &Location, error: FetchError) {
        let mut state = self.state.lock().await;
        let current = state.location.as_ref().map(|known| known.generation);
        if current == Some(location.generation) {
            state.location = None;
            state.failed = Some(error);
            self.refused.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// A byte came: refusals before it no longer count.
    pub(crate) fn progressed(&self) {
        self.refused.store(0, Ordering::Release);
    }
}
