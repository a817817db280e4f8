//! Why a command failed, as a person and as a program read it.

use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::exit::Exit;
use crate::config::ConfigError;
use crate::domain::{Failure, InvalidName};
use crate::manager::ManagerError;
use crate::server::ServerError;
use crate::telemetry::printable;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Manager(#[from] ManagerError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("{0}")]
    Usage(String),
    #[error("{what}: {source}")]
    Io {
        what: &'static str,
        source: io::Error,
    },
    /// A lock file is missing, cannot be understood, or lacks a model.
    #[error("lock file {}: {reason}", .path.display())]
    LockFile { path: PathBuf, reason: String },
    /// The reader of standard output went away: nothing is wrong.
    #[error("nobody reads standard output")]
    NobodyReads,
    /// A job ended without success.
    #[error("{}", .0.message)]
    Ended(Failure),
}

impl CliError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Server(ServerError::Bind { cause, .. })
                if cause.kind() == io::ErrorKind::AddrInUse =>
            {
                Exit::Busy
            }
            Self::Config(ConfigError::Io { source, .. })
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                Exit::Disk
            }
            Self::Config(_) | Self::Server(_) | Self::LockFile { .. } => Exit::Configuration,
            Self::Manager(error) => Exit::from(error),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::Disk,
                _ => Exit::Failed,
            },
            Self::Name(_) | Self::Usage(_) => Exit::Usage,
            Self::NobodyReads => Exit::Done,
            Self::Ended(failure) => failure.code.into(),
        }
    }

    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Ended(failure) | Self::Manager(ManagerError::Failure(failure)) => Some(failure),
            _ => None,
        }
    }

    fn code(&self) -> &'static str {
        if let Some(failure) = self.failure() {
            return failure.code.as_str();
        }
        match self {
            Self::Server(ServerError::Bind { cause, .. })
                if cause.kind() == io::ErrorKind::AddrInUse =>
            {
                "address_in_use"
            }
            Self::Config(_) | Self::Server(_) => "bad_configuration",
            Self::LockFile { .. } => "bad_lock_file",
            Self::Manager(ManagerError::NotAsLocked { .. }) => "not_as_locked",
            Self::Manager(ManagerError::UnknownModel(_)) => "unknown_model",
            Self::Manager(ManagerError::UnknownJob(_)) => "unknown_job",
            Self::Manager(ManagerError::Conflict(_)) => "conflict",
            Self::Manager(ManagerError::Busy(_) | ManagerError::ShuttingDown) => "busy",
            Self::Manager(ManagerError::DownloadsDisabled) => "downloads_disabled",
            Self::Manager(ManagerError::Invalid { .. }) | Self::Name(_) | Self::Usage(_) => {
                "bad_request"
            }
            Self::Manager(ManagerError::Store(_)) => "database",
            _ => "failed",
        }
    }

    fn remedy(&self) -> Option<String> {
        if let Some(failure) = self.failure() {
            return failure.remedy.clone();
        }
        let text = match self {
            Self::Manager(ManagerError::UnknownModel(_)) => {
                "`modelhaul models ls` lists what is registered; `modelhaul pull org/name` registers by itself"
            }
            Self::Manager(ManagerError::Busy(id)) => {
                return Some(format!("`modelhaul cancel {id}` ends the job"));
            }
            Self::Manager(ManagerError::NotAsLocked { model_id, .. }) => {
                return Some(format!(
                    "`modelhaul plan {model_id}` shows what is wanted now; `modelhaul lock {model_id}` accepts it"
                ));
            }
            Self::Manager(ManagerError::Store(_)) => "`modelhaul doctor` looks for the cause",
            Self::Server(ServerError::Bind { cause, .. })
                if cause.kind() == io::ErrorKind::AddrInUse =>
            {
                "another service listens there: stop it, or choose another address with --listen"
            }
            Self::Manager(ManagerError::DownloadsDisabled) => "unset DISABLE_MODEL_DOWNLOADS",
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// What happened, without what to do: that is said once, by [`Self::remedy`].
    fn message(&self) -> String {
        self.failure()
            .map_or_else(|| self.to_string(), |failure| failure.message.clone())
    }

    /// The error as text: what happened, then what to do.
    pub(crate) fn text(&self) -> String {
        let message = self.message();
        let first = format!("error: {}", printable(&message));
        self.remedy().map_or_else(
            || first.clone(),
            |remedy| format!("{first}\n  try: {}", printable(&remedy)),
        )
    }

    /// The error as an object.
    pub(crate) fn object(&self) -> serde_json::Value {
        json!({
            "code": self.code(),
            "message": self.message(),
            "remedy": self.remedy(),
            "retryable": self.failure().is_some_and(|failure| failure.code.is_retryable()),
            "exit_code": self.exit() as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::FailureCode;

    #[test]
    fn a_failure_says_what_happened_and_what_to_do_without_moving_the_terminal() {
        let failure = Failure::new(FailureCode::Gated, "a/b\u{1b}[2J is gated")
            .with_remedy("accept the licence\non the hub");
        let planned = CliError::from(ManagerError::Failure(failure.clone()));
        let error = CliError::Ended(failure);
        assert_eq!(
            error.text(),
            "error: a/b\\u{1b}[2J is gated\n  try: accept the licence\\non the hub"
        );
        assert_eq!(planned.text(), error.text(), "the remedy is said once");
        assert_eq!(planned.object(), error.object());
        assert_eq!(error.object()["code"], "gated");
        assert_eq!(error.object()["exit_code"], 24);
        assert_eq!(error.object()["retryable"], false);
    }

    #[test]
    fn an_address_in_use_is_told_from_a_bad_one() {
        let exit = |kind: io::ErrorKind| {
            CliError::from(ServerError::Bind {
                listen: "127.0.0.1:1".parse().unwrap(),
                cause: kind.into(),
            })
            .exit()
        };
        assert_eq!(exit(io::ErrorKind::AddrInUse), Exit::Busy);
        assert_eq!(exit(io::ErrorKind::PermissionDenied), Exit::Configuration);
    }

    #[test]
    fn an_unknown_model_is_told_how_to_become_known() {
        let error = CliError::from(ManagerError::UnknownModel("wd".parse().unwrap()));
        assert_eq!(error.exit(), Exit::NotFound);
        assert!(error.text().contains("modelhaul pull"));
    }
}
