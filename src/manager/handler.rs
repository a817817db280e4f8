//! Download functions of the app, for models that are no hub repository.

use std::fmt::Debug;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use tokio_util::sync::CancellationToken;

/// What a download function is given.
#[derive(Debug, Clone)]
pub struct HandlerContext {
    /// Where the model goes, as registered.
    pub model_path: Option<PathBuf>,
    /// Ends when the job is cancelled or the service stops; the function should return soon after.
    pub cancelled: CancellationToken,
}

/// Why a download function failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct HandlerError {
    /// One sentence.
    pub message: String,
    /// Whether trying again may help.
    pub retryable: bool,
}

/// A download function of the app.
pub trait DownloadHandler: Debug + Send + Sync {
    /// Brings the model to where the app wants it. May be called again after an error or a restart.
    fn download(
        &self,
        context: HandlerContext,
    ) -> Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send + '_>>;
}
