//! What can go wrong while the bytes of a file are fetched, by cause.
//!
//! The hub's own refusals stay [`HubError`]s; the rest is about the place where the bytes lie. URLs are
//! kept as masked text.

use std::time::Duration;

use tokio::time::timeout;

use super::HubError;
use super::direct::Unanswered;
use super::reply::Reply;
use crate::domain::{Failure, FailureCode, RepoPath};

/// Where a connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BrokenAt {
    /// It could not be made.
    Connect,
    /// Before the answer began.
    Answer,
    /// Inside the body.
    Body,
}

/// A range that did not come as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// The hub refused or could not be asked.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A status that is no success.
    #[error("{url} answered with status {status}")]
    Status { url: String, status: u16 },
    /// Too many requests.
    #[error("{url} asks for fewer requests (status {status})")]
    RateLimited {
        url: String,
        status: u16,
        retry_after: Option<Duration>,
    },
    /// No byte for too long; `got` bytes of the range had come.
    #[error("{url} sent no byte for {} s after {got} bytes", .waited.as_secs_f32())]
    Stall {
        url: String,
        waited: Duration,
        got: u64,
    },
    /// The body ended early.
    #[error("{url} sent {got} bytes of a range of {expected}")]
    Cut {
        url: String,
        got: u64,
        expected: u64,
    },
    /// The body went on past its end.
    #[error("{url} sent more than the {expected} bytes of the range")]
    TooLong { url: String, expected: u64 },
    /// The server knows no ranges: it sent the whole file for a part of it.
    #[error("{url} ignores ranges")]
    RangeIgnored { url: String },
    /// Another range than was asked for.
    #[error("{url} was asked for {expected} and sent {got}")]
    WrongRange {
        url: String,
        expected: String,
        got: String,
    },
    /// Another version of the file than the one that was planned.
    #[error("{url} serves another version: {what} is {got}, expected {expected}")]
    Changed {
        url: String,
        what: &'static str,
        expected: String,
        got: String,
    },
    /// An encoding that changes bytes.
    #[error("{url} sent encoding `{encoding}` though none was allowed")]
    Encoded { url: String, encoding: String },
    /// A redirect that is not followed.
    #[error("{url} sent a redirect that is not followed: {rule}")]
    Redirect { url: String, rule: String },
    /// No signed address can be made of it.
    #[error("{url} cannot be signed: {rule}")]
    Unsigned { url: String, rule: String },
    /// The address, or one that it leads to, is not allowed. Which one it was is not said.
    #[error("{url} leads to an address that is not public")]
    Blocked { url: String },
    /// A credential that the configuration does not have.
    #[error(
        "{url} needs the credential `{name}`, which the configuration does not have, or whose variable is not set"
    )]
    NoCredential { url: String, name: String },
    /// A status that no repetition changes.
    #[error("{url} answered with status {status}")]
    Refused {
        url: String,
        status: u16,
        code: FailureCode,
    },
    /// A web page in the place of a file.
    #[error("{url} sent a web page where a file is expected")]
    Page { url: String },
    /// A second request for a file that has neither a hash nor a version.
    #[error(
        "the stream from {url} broke, and as the server names no version of the file it begins anew"
    )]
    Unbound { url: String },
    /// The connection broke.
    #[error("{} {url}: {cause}", doing(*.at))]
    Transport {
        url: String,
        at: BrokenAt,
        cause: String,
    },
}

const fn doing(at: BrokenAt) -> &'static str {
    match at {
        BrokenAt::Connect => "no connection to",
        BrokenAt::Answer => "no answer from",
        BrokenAt::Body => "the connection broke while reading",
    }
}

/// Waits for an answer with bytes; `url` is what an error names, without a secret.
pub(super) async fn answered(
    sent: impl Future<Output = Result<Reply, Unanswered>>,
    patience: Duration,
    url: &str,
) -> Result<Reply, FetchError> {
    let url = url.to_owned();
    match timeout(patience, sent).await {
        Ok(Ok(reply)) => Ok(reply),
        Err(_elapsed) => Err(FetchError::Stall {
            url,
            waited: patience,
            got: 0,
        }),
        Ok(Err(why)) if why.forbidden => Err(FetchError::Blocked { url }),
        Ok(Err(why)) => Err(FetchError::Transport {
            url,
            at: if why.at_connect {
                BrokenAt::Connect
            } else {
                BrokenAt::Answer
            },
            cause: why.cause,
        }),
    }
}

impl FetchError {
    /// The stable code.
    pub(crate) const fn code(&self) -> FailureCode {
        match self {
            Self::Hub(error) => error.code(),
            Self::Status {
                status: 408 | 425, ..
            }
            | Self::Stall { .. } => FailureCode::Timeout,
            Self::Status {
                status: 501 | 505, ..
            }
            | Self::Unsigned { .. } => FailureCode::NotSupported,
            Self::Status {
                status: 500..=599, ..
            } => FailureCode::ServerError,
            Self::RateLimited { .. } => FailureCode::RateLimited,
            Self::Blocked { .. } => FailureCode::BlockedAddress,
            Self::NoCredential { .. } => FailureCode::TokenMissing,
            Self::Refused { code, .. } => *code,
            Self::Cut { .. } | Self::Transport { .. } | Self::Unbound { .. } => {
                FailureCode::Network
            }
            Self::Status { .. }
            | Self::TooLong { .. }
            | Self::RangeIgnored { .. }
            | Self::WrongRange { .. }
            | Self::Changed { .. }
            | Self::Encoded { .. }
            | Self::Page { .. }
            | Self::Redirect { .. } => FailureCode::BadResponse,
        }
    }

    /// How long the server asked to wait.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Hub(error) => error.retry_after(),
            Self::RateLimited { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The next step after a refusal by a server that is not the hub.
    const fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Blocked { .. } => Some(
                "only public addresses are fetched; if this one is meant, name its network in `artifact_networks` of the configuration",
            ),
            Self::NoCredential { .. } => {
                Some("add it as a `[[credential]]` to the configuration, then start it again")
            }
            Self::Refused { code, .. } => match code {
                FailureCode::TokenMissing => {
                    Some("register it with a `credential` of the configuration")
                }
                FailureCode::TokenInvalid => {
                    Some("check the credential in the configuration, then start it again")
                }
                FailureCode::Forbidden => Some(
                    "a signed address may have expired: register it with a new one, or with a `credential` of the configuration",
                ),
                FailureCode::FileNotFound => {
                    Some("check the address, and register it with the right one")
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The failure as rows keep it, with the file's name.
    pub(crate) fn failure(&self, file: &RepoPath) -> Failure {
        if let Self::Hub(error) = self {
            let mut failure = error.failure();
            if !matches!(error, HubError::FileNotFound { .. }) {
                failure.message = format!("file `{file}`: {}", failure.message);
            }
            return failure;
        }
        let failure = Failure::new(self.code(), format!("file `{file}`: {self}"))
            .with_retry_after(self.retry_after());
        match self.remedy() {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }
}
