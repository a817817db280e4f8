//! Exit codes: one table, by `aria2`'s and `sysexits`' numbers where they have one.

use crate::domain::FailureCode;
use crate::manager::ManagerError;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Network = 6,
    Unfinished = 7,
    Disk = 9,
    Outdated = 10,
    Auth = 24,
    Checksum = 32,
    Cancelled = 33,
    Busy = 75,
    Configuration = 78,
}

/// The table as `--help` shows it.
pub(crate) fn help() -> String {
    let rows: Vec<String> = Exit::ALL
        .iter()
        .map(|exit| format!("{:>4}  {}", *exit as u8, exit.meaning()))
        .collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

impl Exit {
    const ALL: &[Self] = &[
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Network,
        Self::Unfinished,
        Self::Disk,
        Self::Outdated,
        Self::Auth,
        Self::Checksum,
        Self::Cancelled,
        Self::Busy,
        Self::Configuration,
    ];

    const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or already there",
            Self::Failed => "another failure",
            Self::Usage => "wrong use of the command line",
            Self::NotFound => "model, repository, revision or file not found",
            Self::Network => "the network or the hub gave up",
            Self::Unfinished => {
                "unfinished: interrupted, detached or timed out; the job goes on or stays queued"
            }
            Self::Disk => "disk full, or the file system refused",
            Self::Outdated => "`outdated`: a model has moved on the hub",
            Self::Auth => "token missing or refused, or the model is gated",
            Self::Checksum => "checksum mismatch",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy, try again later",
            Self::Configuration => "bad configuration",
        }
    }
}

impl From<FailureCode> for Exit {
    fn from(code: FailureCode) -> Self {
        match code {
            FailureCode::Network
            | FailureCode::Timeout
            | FailureCode::RateLimited
            | FailureCode::ServerError
            | FailureCode::NotSupported
            | FailureCode::HubUnreachable
            | FailureCode::NotAHub
            | FailureCode::BadMetadata
            | FailureCode::BadResponse
            | FailureCode::BlockedAddress
            | FailureCode::Offline => Self::Network,
            FailureCode::RepoNotFound
            | FailureCode::RevisionNotFound
            | FailureCode::FileNotFound
            | FailureCode::TemplateUnknown
            | FailureCode::TemplateUnsatisfied => Self::NotFound,
            FailureCode::Gated
            | FailureCode::TokenMissing
            | FailureCode::TokenInvalid
            | FailureCode::Forbidden
            | FailureCode::RepoDisabled => Self::Auth,
            FailureCode::DownloadsDisabled => Self::Configuration,
            FailureCode::ChecksumMismatch | FailureCode::SizeMismatch => Self::Checksum,
            FailureCode::DiskFull | FailureCode::Storage | FailureCode::StorageUnavailable => {
                Self::Disk
            }
            FailureCode::CacheLocked | FailureCode::LeaseLost => Self::Busy,
            FailureCode::Released => Self::Unfinished,
            FailureCode::Cleared => Self::Cancelled,
            FailureCode::UnsafePath
            | FailureCode::HandlerMissing
            | FailureCode::HandlerFailed
            | FailureCode::Internal => Self::Failed,
        }
    }
}

impl From<&ManagerError> for Exit {
    fn from(error: &ManagerError) -> Self {
        match error {
            ManagerError::UnknownModel(_) | ManagerError::UnknownJob(_) => Self::NotFound,
            ManagerError::Conflict(_) | ManagerError::Invalid { .. } => Self::Usage,
            ManagerError::Busy(_) | ManagerError::ShuttingDown => Self::Busy,
            ManagerError::DownloadsDisabled => Self::Configuration,
            ManagerError::NotAsLocked { .. } => Self::Checksum,
            ManagerError::Store(_) => Self::Failed,
            ManagerError::Failure(failure) => failure.code.into(),
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::Failure;

    #[test]
    fn every_failure_code_has_its_exit_code() {
        let expected: BTreeMap<&str, u8> = [
            (6, "network timeout rate_limited server_error not_supported hub_unreachable not_a_hub bad_metadata bad_response blocked_address offline"),
            (3, "repo_not_found revision_not_found file_not_found template_unknown template_unsatisfied"),
            (24, "gated token_missing token_invalid forbidden repo_disabled"),
            (78, "downloads_disabled"),
            (32, "checksum_mismatch size_mismatch"),
            (9, "disk_full storage storage_unavailable"),
            (75, "cache_locked lease_lost"),
            (7, "released"),
            (33, "cleared"),
            (1, "unsafe_path handler_missing handler_failed internal"),
        ]
        .into_iter()
        .flat_map(|(exit, codes)| codes.split(' ').map(move |code| (code, exit)))
        .collect();
        assert_eq!(expected.len(), FailureCode::ALL.len());
        for code in FailureCode::ALL {
            assert_eq!(Exit::from(*code) as u8, expected[code.as_str()], "{code}");
            let error = ManagerError::Failure(Failure::new(*code, "x"));
            assert_eq!(Exit::from(&error), Exit::from(*code));
        }
    }
}
