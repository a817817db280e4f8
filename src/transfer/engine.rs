//! The engine's door: one call brings a list of files in.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::error::TransferError;
use super::keeper::{FileTask, Keeper};
use super::limiter::RateLimiter;
use super::options::Options;
use super::progress::Progress;
use super::run::Run;

/// Brings files in, whole and verified. One engine serves many runs, one after the other or at once.
#[derive(Debug)]
pub(crate) struct Engine {
    options: Arc<Options>,
    limiter: Arc<RateLimiter>,
}

impl Engine {
    /// An engine with these settings; the limiter is shared with whoever changes it.
    pub(crate) fn new(options: Options, limiter: Arc<RateLimiter>) -> Self {
        Self {
            options: Arc::new(options),
            limiter,
        }
    }

    /// The most connections that it uses at once now.
    pub(crate) fn connections(&self) -> usize {
        self.options.max_connections.min(self.limiter.connections())
    }

    /// Brings all `files` in, or says why not. When it returns, no byte is written any more.
    ///
    /// On `cancel` the streams stop within 300 ms and what was received is synced and recorded, for at most
    /// `stop_patience`.
    ///
    /// # Errors
    /// [`TransferError::Failed`] with the first failure that waiting inside the run does not mend.
    pub(crate) async fn run(
        &self,
        files: Vec<FileTask>,
        keeper: Arc<dyn Keeper>,
        progress: Arc<Progress>,
        cancel: CancellationToken,
    ) -> Result<(), TransferError> {
        progress.begin(&files);
        let run = Run::new(
            self.options.for_run(&files),
            Arc::clone(&self.limiter),
            files,
            keeper,
            progress,
        );
        Box::pin(run.drive(cancel)).await
    }
}
