//! What every command is given.

use std::future::Future;
use std::sync::Arc;

use super::error::CliError;
use super::output::Output;
use crate::clock::Clock;
use crate::config::Config;
use crate::manager::UnifiedModelDownloadManager;
use crate::shutdown::Shutdown;

/// Configuration, clock, output and the end of the process.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) output: Output,
    pub(crate) shutdown: Shutdown,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Context {
    /// Opens the database, which is where commands and service meet.
    pub(crate) async fn open(&self) -> Result<UnifiedModelDownloadManager, CliError> {
        self.config.create_data_folder()?;
        let options = self.config.manager.clone();
        Ok(UnifiedModelDownloadManager::open(options, Arc::clone(&self.clock)).await?)
    }

    /// Runs what must not hold up the end of the process; `None` after a signal.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let stop = self.shutdown.token();
        tokio::select! {
            biased;
            done = work => Some(done),
            () = stop.cancelled() => None,
        }
    }
}
