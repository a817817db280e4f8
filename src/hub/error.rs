//! What can go wrong between us and the hub, by cause.
//!
//! The causes follow those of the `hf-hub` crate's `HFError`, and tell more apart: a hub that cannot be
//! reached, something that is no hub, a token that is missing and one that is refused. Each becomes a
//! [`Failure`] with the next step. No message holds a token, a query or a body.

use std::time::Duration;

use crate::domain::{Failure, FailureCode};

/// A request to the hub that did not bring what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HubError {
    /// No request may be made.
    #[error("the hub was not asked, because offline mode is on")]
    Offline,
    /// The HTTP client could not be made.
    #[error("no HTTP client could be made: {cause}")]
    Client { cause: String },
    /// The configured address is no hub address.
    #[error("`{url}` cannot be the hub's address: {rule}")]
    Endpoint { url: String, rule: String },
    /// No connection, or no answer in time.
    #[error("{host} cannot be reached{}: {cause}", via(.proxy.as_deref()))]
    Unreachable {
        host: String,
        cause: String,
        proxy: Option<String>,
    },
    /// The connection broke after it was made.
    #[error("the connection to {host} broke: {cause}")]
    Broken { host: String, cause: String },
    /// Something answers that is no hub.
    #[error("what answers at {url} is no hub: {got}")]
    NotAHub { url: String, got: String },
    /// The repository does not exist or is private.
    #[error("repository {repo} was not found: it does not exist, or it is private and {}", blind(*.had_token))]
    RepoNotFound {
        repo: String,
        page: String,
        had_token: bool,
    },
    /// The branch, tag or commit does not exist.
    #[error("repository {repo} has no revision `{revision}`")]
    RevisionNotFound {
        repo: String,
        revision: String,
        page: String,
    },
    /// The file does not exist in the commit.
    #[error("repository {repo} has no file `{path}` at commit {commit}")]
    FileNotFound {
        repo: String,
        path: String,
        commit: String,
    },
    /// The conditions must be accepted first.
    #[error("access to repository {repo} must be asked for{}", gated(*.had_token))]
    Gated {
        repo: String,
        page: String,
        had_token: bool,
    },
    /// The hub refuses the token.
    #[error("{host} refuses the token: {detail}")]
    TokenInvalid { host: String, detail: String },
    /// The token is good, but not for this.
    #[error("{host} does not allow access to repository {repo}{}", because(.detail.as_deref()))]
    Forbidden {
        host: String,
        repo: String,
        page: String,
        had_token: bool,
        detail: Option<String>,
    },
    /// The hub closed the repository.
    #[error("{host} has closed access to repository {repo}")]
    Disabled { host: String, repo: String },
    /// Too many requests.
    #[error("{host} asks for fewer requests (status {status})")]
    RateLimited {
        host: String,
        status: u16,
        retry_after: Option<Duration>,
    },
    /// The hub itself failed.
    #[error("{host} failed with status {status}{}", because(.detail.as_deref()))]
    Server {
        host: String,
        status: u16,
        detail: Option<String>,
    },
    /// A status that means nothing here.
    #[error("{url} answered with the unexpected status {status}{}", because(.detail.as_deref()))]
    Status {
        url: String,
        status: u16,
        detail: Option<String>,
    },
    /// A redirect that may not be followed.
    #[error("{url} sent a redirect that is not followed: {rule}")]
    Redirect { url: String, rule: String },
    /// A body in an encoding that was not asked for.
    #[error("{url} answered in encoding `{encoding}` though none was allowed")]
    Encoded { url: String, encoding: String },
    /// An answer that cannot be understood.
    #[error("the answer of {url} cannot be understood: {detail}")]
    BadMetadata { url: String, detail: String },
    /// A dangerous name in an answer.
    #[error("repository {repo} is refused: {detail}")]
    Unsafe { repo: String, detail: String },
}

fn via(proxy: Option<&str>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"))
}

fn because(detail: Option<&str>) -> String {
    detail.map_or_else(String::new, |detail| format!(": {detail}"))
}

const fn blind(had_token: bool) -> &'static str {
    if had_token {
        "the token may not see it"
    } else {
        "no token was sent"
    }
}

const fn gated(had_token: bool) -> &'static str {
    if had_token {
        " on its page first"
    } else {
        " on its page first, and no token was sent"
    }
}

const GET_TOKEN: &str = "set HF_TOKEN or run `hf auth login`";

impl HubError {
    /// The stable code.
    pub(crate) const fn code(&self) -> FailureCode {
        match self {
            Self::Offline => FailureCode::Offline,
            Self::Client { .. } | Self::Endpoint { .. } => FailureCode::Internal,
            Self::Unreachable { .. } => FailureCode::HubUnreachable,
            Self::Broken { .. } => FailureCode::Network,
            Self::NotAHub { .. } => FailureCode::NotAHub,
            Self::RepoNotFound { .. } => FailureCode::RepoNotFound,
            Self::RevisionNotFound { .. } => FailureCode::RevisionNotFound,
            Self::FileNotFound { .. } => FailureCode::FileNotFound,
            Self::Gated {
                had_token: true, ..
            } => FailureCode::Gated,
            Self::Gated {
                had_token: false, ..
            } => FailureCode::TokenMissing,
            Self::TokenInvalid { .. } => FailureCode::TokenInvalid,
            Self::Forbidden { .. } => FailureCode::Forbidden,
            Self::Disabled { .. } => FailureCode::RepoDisabled,
            Self::RateLimited { .. } => FailureCode::RateLimited,
            Self::Server {
                status: 501 | 505, ..
            } => FailureCode::NotSupported,
            Self::Server { .. } => FailureCode::ServerError,
            Self::Status { .. } | Self::Redirect { .. } | Self::Encoded { .. } => {
                FailureCode::BadResponse
            }
            Self::BadMetadata { .. } => FailureCode::BadMetadata,
            Self::Unsafe { .. } => FailureCode::UnsafePath,
        }
    }

    /// How long the hub asked to wait.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The failure as rows keep it: code, sentence, next step.
    pub(crate) fn failure(&self) -> Failure {
        let mut failure =
            Failure::new(self.code(), self.to_string()).with_retry_after(self.retry_after());
        failure.anonymous = matches!(
            self,
            Self::RepoNotFound {
                had_token: false,
                ..
            }
        );
        match self.remedy() {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Offline => Some("unset HF_HUB_OFFLINE to allow requests".to_owned()),
            Self::Client { .. } => Some(
                "install the system's certificates (package `ca-certificates`) and check the proxy's address"
                    .to_owned(),
            ),
            Self::Endpoint { .. } => Some("correct HF_ENDPOINT".to_owned()),
            Self::Unreachable { proxy: Some(_), .. } => {
                Some("check the network and the proxy".to_owned())
            }
            Self::Unreachable { .. } => {
                Some("check the network, HF_ENDPOINT, and whether a proxy is needed".to_owned())
            }
            Self::NotAHub { .. } => Some(
                "log in to the network if it has a sign-in page, and check HF_ENDPOINT".to_owned(),
            ),
            Self::RepoNotFound {
                page,
                had_token: false,
                ..
            } => Some(format!(
                "check the name at {page}; if the repository is private, {GET_TOKEN}"
            )),
            Self::RepoNotFound { page, .. } => Some(format!(
                "check the name at {page}, and that the token's account may read it"
            )),
            Self::RevisionNotFound { page, .. } => {
                Some(format!("choose a branch, tag or commit of {page}"))
            }
            Self::FileNotFound { .. } => {
                Some("start again: the list of files will be read anew".to_owned())
            }
            Self::Gated {
                page,
                had_token: true,
                ..
            } => Some(format!(
                "accept the conditions at {page} with the token's account, then retry"
            )),
            Self::Gated { page, .. } => {
                Some(format!("accept the conditions at {page}, then {GET_TOKEN}"))
            }
            Self::TokenInvalid { .. } => Some(format!(
                "the token is wrong or has expired: {GET_TOKEN} with a new one, or remove it if the repository is public"
            )),
            Self::Forbidden {
                page,
                had_token: true,
                ..
            } => Some(format!(
                "check that the token may read {page} (a fine-grained token must name it)"
            )),
            Self::Forbidden { page, .. } => Some(format!(
                "if {page} needs an account, {GET_TOKEN}"
            )),
            Self::Disabled { .. } => Some("ask the hub's operator; a retry does not help".to_owned()),
            Self::Unsafe { .. } | Self::BadMetadata { .. } => {
                Some("report it to the repository's owner".to_owned())
            }
            Self::Broken { .. }
            | Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::Encoded { .. } => None,
        }
    }
}
