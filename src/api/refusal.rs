//! Which refusal a failed use case becomes: the one table from manager errors and failure codes to status codes.
//!
//! Causes inside the service (a database error) go to the log; the answer names only what the caller can act on.

use crate::domain::{Failure, FailureCode};
use crate::manager::ManagerError;
use crate::store::StoreError;

use super::problem::{Code, Problem};

/// Seconds after which a caller may knock again at a service that stops.
pub(crate) const RETRY_AFTER_SHUTDOWN: u64 = 5;

/// Seconds after which a transaction of another process has most likely ended.
const RETRY_AFTER_BUSY: u64 = 2;

/// Status and title of a failure that an engine reports.
const fn shape(code: FailureCode) -> (u16, &'static str) {
    use FailureCode as F;
    match code {
        F::Network => (502, "The connection to the hub broke"),
        F::Timeout => (504, "The hub took too long"),
        F::RateLimited => (503, "The hub asks for fewer requests"),
        F::ServerError => (502, "The hub reports an error of its own"),
        F::NotSupported => (502, "The hub cannot do what is needed"),
        F::HubUnreachable => (503, "The hub cannot be reached"),
        F::NotAHub => (502, "What answers is no hub"),
        F::RepoNotFound => (404, "The repository does not exist"),
        F::RevisionNotFound => (404, "The revision does not exist"),
        F::FileNotFound => (404, "The file does not exist"),
        F::Gated => (403, "The licence must be accepted on the hub first"),
        F::TokenMissing => (403, "A hub token is needed"),
        F::TokenInvalid => (403, "The hub refuses the token"),
        F::Forbidden => (403, "The hub token may not read this"),
        F::RepoDisabled => (403, "The hub has closed the repository"),
        F::BadMetadata => (502, "The hub's answer cannot be understood"),
        F::UnsafePath => (502, "The hub named a dangerous path"),
        F::TemplateUnknown => (422, "No template has this name"),
        F::TemplateUnsatisfied => (422, "The repository lacks a required file"),
        F::Offline => (503, "The service is offline by configuration"),
        F::DownloadsDisabled => (403, "Downloads are disabled"),
        F::ChecksumMismatch => (502, "The content does not have its hash"),
        F::BadResponse => (502, "The hub sent something else than was asked for"),
        F::BlockedAddress => (422, "The address is not public"),
        F::SizeMismatch => (502, "The file has another length"),
        F::DiskFull => (507, "Not enough disk space"),
        F::Storage => (500, "The file system refused"),
        F::StorageUnavailable => (503, "The file system or the database has trouble"),
        F::CacheLocked => (503, "Another program holds a lock of the cache"),
        F::HandlerMissing => (503, "The app has not registered its download function"),
        F::HandlerFailed => (502, "The app's download function failed"),
        F::LeaseLost => (503, "The lease was lost"),
        F::Released => (503, "The service is stopping"),
        F::Cleared => (409, "An administrator cleared the job"),
        F::Internal => (500, "A defect of modelhaul"),
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let (status, title) = shape(failure.code);
        let problem = Self::from_parts(
            status,
            failure.code.as_str(),
            title,
            failure.code.is_retryable(),
            failure.message,
        );
        let problem = match failure.remedy {
            Some(remedy) => problem.with_remedy(remedy),
            None => problem,
        };
        match failure.retry_after {
            Some(wait) => problem.with_retry_after(wait.as_secs().max(1)),
            None => problem,
        }
    }
}

impl From<ManagerError> for Problem {
    fn from(error: ManagerError) -> Self {
        let detail = error.to_string();
        match error {
            ManagerError::UnknownModel(_) => Self::new(Code::UnknownModel, detail)
                .with_remedy("register it first: POST /api/v1/models"),
            ManagerError::UnknownJob(_) => Self::new(Code::UnknownJob, detail),
            ManagerError::Conflict(id) => Self::new(Code::ModelConflict, detail).with_remedy(
                format!("replace it with PUT /api/v1/models/{id}, or choose another id"),
            ),
            ManagerError::Busy(_) => Self::new(Code::ModelBusy, detail)
                .with_remedy("cancel the job, or wait until it has ended"),
            ManagerError::NotAsLocked { .. } => {
                Failure::new(FailureCode::ChecksumMismatch, detail).into()
            }
            ManagerError::Invalid { field, reason } => Self::field(field, reason),
            ManagerError::DownloadsDisabled => Failure::new(FailureCode::DownloadsDisabled, detail)
                .with_remedy("unset DISABLE_MODEL_DOWNLOADS and restart the service")
                .into(),
            ManagerError::ShuttingDown => {
                Self::new(Code::ShuttingDown, detail).with_retry_after(RETRY_AFTER_SHUTDOWN)
            }
            ManagerError::Store(cause) => {
                if let Some(StoreError::Busy) = cause.downcast_ref() {
                    return Self::new(Code::StoreUnavailable, cause.to_string())
                        .with_remedy("try again soon; the service's log names that process")
                        .with_retry_after(RETRY_AFTER_BUSY);
                }
                tracing::error!(%cause, "The database cannot be used.");
                Self::new(
                    Code::StoreUnavailable,
                    "the database cannot be used; the cause is in the service's log",
                )
                .with_retry_after(1)
            }
            ManagerError::Failure(failure) => failure.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::response::IntoResponse as _;
    use serde_json::Value;

    use super::*;

    fn body(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.to_body()).unwrap()
    }

    #[test]
    fn every_failure_has_an_error_status_and_keeps_code_and_remedy() {
        for code in FailureCode::ALL {
            let problem = Problem::from(
                Failure::new(*code, "model.onnx: it broke")
                    .with_remedy("mend it")
                    .with_retry_after(Some(Duration::from_millis(300))),
            );
            let body = body(&problem);
            assert_eq!(body["code"], code.as_str());
            assert_eq!(body["detail"], "model.onnx: it broke");
            assert_eq!(body["remedy"], "mend it");
            assert_eq!(body["retryable"], code.is_retryable());
            let response = problem.into_response();
            assert!(response.status().is_client_error() || response.status().is_server_error());
            assert_ne!(response.status(), 401, "401 is about our own token");
            assert_eq!(response.headers()["retry-after"], "1");
        }
    }

    #[test]
    fn the_cause_of_a_database_error_stays_in_the_log() {
        let error = ManagerError::Store("no such table: /home/me/x.db".into());
        let text = body(&Problem::from(error)).to_string();
        assert!(
            text.contains("store_unavailable") && !text.contains("/home/me"),
            "{text}"
        );
    }

    #[test]
    fn a_refused_part_is_named() {
        let error = ManagerError::Invalid {
            field: "template",
            reason: "there is no template `wdv9`".into(),
        };
        let body = body(&Problem::from(error));
        assert_eq!(body["status"], 422);
        assert_eq!(body["errors"][0]["field"], "template");
    }
}
