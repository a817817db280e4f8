//! Whether anything has changed: a number to compare, cheap enough for every question.
//!
//! Own writes are counted before their callers hear of them. Writes of other processes, a person's `sqlite3` among
//! them, show in `PRAGMA data_version`, which is asked at most each [`EVERY`]. An answer that was read after its
//! version was taken is good until the version differs; what to do with that is left to the callers.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::reader::Reader;
use super::{Result, Store};

/// How old what is known of other processes may be.
const EVERY: Duration = Duration::from_millis(100);

/// A state of the database, as far as this process knows; only good for comparing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Version {
    own: u64,
    others: i64,
}

/// What other connections have committed.
#[derive(Debug)]
pub(super) struct Watch {
    /// One connection of its own: `data_version` counts per connection.
    reader: Reader,
    known: Mutex<Option<(Instant, i64)>>,
    asking: tokio::sync::Mutex<()>,
}

impl Watch {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader,
            known: Mutex::new(None),
            asking: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) async fn close(&self) {
        self.reader.close().await;
    }

    fn known(&self) -> Option<i64> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .filter(|(asked, _)| asked.elapsed() < EVERY)
            .map(|(_, version)| version)
    }

    async fn data_version(&self) -> Result<i64> {
        if let Some(version) = self.known() {
            return Ok(version);
        }
        // One asks for all.
        let _asking = self.asking.lock().await;
        if let Some(version) = self.known() {
            return Ok(version);
        }
        let asked = Instant::now();
        let version = self.reader.data_version().await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, version));
        Ok(version)
    }
}

impl Store {
    /// The version now: at once for what this process writes, at most 100 ms old for what others do.
    pub(crate) async fn version(&self) -> Result<Version> {
        let own = self.writer().writes();
        let others = self.inner.watch.data_version().await?;
        Ok(Version { own, others })
    }
}
