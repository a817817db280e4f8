//! The signal by which everybody who waits is woken: something may have changed in the database.
//!
//! Own writes wake at once, those of other processes show in the store's version, which all who wait ask for together.

use std::time::Duration;

use super::{Result, UnifiedModelDownloadManager};
use crate::queue::Context;
use crate::store::Version;

/// How often the version is compared: as often as the store asks for it.
const EVERY: Duration = Duration::from_millis(100);

/// What one waiter has seen.
#[derive(Debug)]
pub(super) struct Pulse {
    seen: Option<Version>,
}

impl Pulse {
    /// A pulse that beats at once.
    pub(super) fn new() -> Self {
        Self { seen: None }
    }

    /// Whether something may have changed since this last said so. What is read afterwards is not older.
    pub(super) async fn has_beaten(&mut self, context: &Context) -> Result<bool> {
        let version = Some(context.store.version().await?);
        let beaten = version != self.seen;
        self.seen = version;
        Ok(beaten)
    }

    /// Beats at the next question although nothing has changed, for example because an answer was cut.
    pub(super) fn again(&mut self) {
        self.seen = None;
    }

    /// Waits until something may have changed.
    pub(super) async fn beat(&mut self, context: &Context) -> Result<()> {
        loop {
            let changed = context.changed.notified();
            if self.has_beaten(context).await? {
                return Ok(());
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}

impl UnifiedModelDownloadManager {
    /// Returns when something was written by this process, or after `EVERY` at the latest.
    pub(super) async fn soon(&self) {
        tokio::select! {
            () = self.context.changed.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
