//! The app's download functions, by model.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::reports::HandlerProgress;
use super::web_client::HandlerClient;
use crate::domain::ModelId;

/// What a download function is given.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HandlerContext {
    /// The model that is asked for.
    pub model_id: ModelId,
    /// Where the model goes, as registered.
    pub model_path: Option<PathBuf>,
    /// Says how far the download is. Whoever reports nothing is measured by the growth of `model_path`.
    pub progress: HandlerProgress,
    /// Asks servers for files, over connections that lead to public addresses only.
    pub http: HandlerClient,
    /// Ends when the job is cancelled or the service stops; the function should return soon after.
    pub cancelled: CancellationToken,
}

/// Why a download function failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct HandlerError {
    /// One sentence for people; must hold no secret.
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

/// The functions that were registered since the process began.
#[derive(Debug, Default)]
pub(crate) struct Handlers {
    by_model: Mutex<HashMap<ModelId, Arc<dyn DownloadHandler>>>,
}

impl Handlers {
    /// Registers or replaces the function of a model.
    pub(crate) fn insert(&self, model_id: ModelId, handler: Arc<dyn DownloadHandler>) {
        self.by_model
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(model_id, handler);
    }

    /// The function of a model.
    pub(crate) fn get(&self, model_id: &ModelId) -> Option<Arc<dyn DownloadHandler>> {
        self.by_model
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(model_id)
            .map(Arc::clone)
    }
}
