//! What can go wrong when modelhaul is asked for something.

use crate::domain::{Failure, JobId, ModelId};

/// Why a use case was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// No such registration.
    #[error("no model `{0}` is registered")]
    UnknownModel(ModelId),
    /// No such job.
    #[error("there is no job `{0}`")]
    UnknownJob(JobId),
    /// The id is taken by another registration.
    #[error("`{0}` is registered already, with another source or other files")]
    Conflict(ModelId),
    /// The model's job must end first.
    #[error("a job for `{0}` is active")]
    Busy(ModelId),
    /// A part of the request cannot be accepted.
    #[error("{field}: {reason}")]
    Invalid {
        /// The part.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// The files differ from those of the lock file.
    #[error("`{model_id}` is not as it was locked: {differences}")]
    NotAsLocked {
        /// The model.
        model_id: ModelId,
        /// How its files differ.
        differences: String,
    },
    /// `DISABLE_MODEL_DOWNLOADS` is set.
    #[error("model downloads are disabled by DISABLE_MODEL_DOWNLOADS")]
    DownloadsDisabled,
    /// The service is stopping.
    #[error("the service is stopping")]
    ShuttingDown,
    /// The database refused; the cause is in the log.
    #[error("the database cannot be used: {0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
    /// An engine failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<crate::store::StoreError> for ManagerError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}
