//! What an answer other than success means.
//!
//! The hub's `X-Error-Code` decides; without one the status does, read against what was asked. A page
//! of HTML without any of the hub's headers is no refusal but a stranger.

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use url::Url;

use super::HubError;
use super::address::{Endpoint, host_of};
use super::pace::asked_pause;
use super::text::printable;
use crate::domain::{CommitHash, RepoId, RepoPath, Revision};
use crate::redact::{SafeUrl, Token};

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// What a revision is.
    Revision(&'a Revision),
    /// The files of a commit.
    Tree(&'a CommitHash),
    /// A file of a commit.
    File(&'a CommitHash, &'a RepoPath),
}

/// Who asked for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) repo: &'a RepoId,
    pub(crate) asked: Asked<'a>,
    pub(crate) token: Option<&'a Token>,
}

/// An answer that was no success; `body` is its beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal<'a> {
    pub(crate) url: &'a Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Whether a body says that it is HTML.
pub(crate) fn is_html(headers: &HeaderMap) -> bool {
    text(headers, CONTENT_TYPE.as_str())
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("html"))
}

/// A header as text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The cause behind a refusal.
pub(crate) fn cause(subject: &Subject<'_>, refusal: &Refusal<'_>, now: DateTime<Utc>) -> HubError {
    let Refusal {
        url,
        status,
        headers,
        ..
    } = *refusal;
    let repo = subject.repo.to_string();
    let page = subject.endpoint.page(subject.repo);
    let host = host_of(url);
    let had_token = subject.token.is_some();
    let detail = detail(subject.token, refusal);
    let says = |words: &str| {
        detail
            .as_deref()
            .is_some_and(|detail| detail.to_ascii_lowercase().contains(words))
    };

    match text(headers, "x-error-code") {
        Some("RepoNotFound") => {
            return HubError::RepoNotFound {
                repo,
                page,
                had_token,
            };
        }
        Some("RevisionNotFound") => return revision_not_found(subject),
        Some("EntryNotFound") => return missing(subject),
        Some("GatedRepo") => {
            return HubError::Gated {
                repo,
                page,
                had_token,
            };
        }
        _ => {}
    }
    if says("access to this resource is disabled") {
        return HubError::Disabled { host, repo };
    }
    let retry_after = asked_pause(headers, now);
    match status.as_u16() {
        401 if had_token && (says("invalid credentials") || says("invalid username")) => {
            HubError::TokenInvalid {
                host,
                detail: detail.unwrap_or_default(),
            }
        }
        401 | 410 if !is_stranger(headers) => HubError::RepoNotFound {
            repo,
            page,
            had_token,
        },
        403 if !is_stranger(headers) => HubError::Forbidden {
            host,
            repo,
            page,
            had_token,
            detail,
        },
        404 if !is_stranger(headers) => missing(subject),
        407 => HubError::Unreachable {
            host,
            cause: "the proxy asks for a user name and password".to_owned(),
            proxy: None,
        },
        451 => HubError::Disabled { host, repo },
        429 => HubError::RateLimited {
            host,
            status: 429,
            retry_after,
        },
        503 if retry_after.is_some() => HubError::RateLimited {
            host,
            status: 503,
            retry_after,
        },
        408 | 425 | 500..=599 => HubError::Server {
            host,
            status: status.as_u16(),
            detail,
        },
        _ if is_stranger(headers) => HubError::NotAHub {
            url: SafeUrl::new(url.clone()).to_string(),
            got: format!("a web page with status {}", status.as_u16()),
        },
        _ => HubError::Status {
            url: SafeUrl::new(url.clone()).to_string(),
            status: status.as_u16(),
            detail,
        },
    }
}

/// A web page without any header that hubs send.
pub(crate) fn is_stranger(headers: &HeaderMap) -> bool {
    is_html(headers)
        && [
            "x-request-id",
            "x-error-message",
            "x-repo-commit",
            "x-linked-etag",
        ]
        .iter()
        .all(|name| !headers.contains_key(*name))
}

fn missing(subject: &Subject<'_>) -> HubError {
    match subject.asked {
        Asked::Revision(_) => HubError::RepoNotFound {
            repo: subject.repo.to_string(),
            page: subject.endpoint.page(subject.repo),
            had_token: subject.token.is_some(),
        },
        Asked::Tree(_) => revision_not_found(subject),
        Asked::File(commit, path) => HubError::FileNotFound {
            repo: subject.repo.to_string(),
            path: path.to_string(),
            commit: commit.to_string(),
        },
    }
}

fn revision_not_found(subject: &Subject<'_>) -> HubError {
    let revision = match subject.asked {
        Asked::Revision(revision) => revision.as_str(),
        Asked::Tree(commit) | Asked::File(commit, _) => commit.as_str(),
    };
    HubError::RevisionNotFound {
        repo: subject.repo.to_string(),
        revision: revision.to_owned(),
        page: subject.endpoint.page(subject.repo),
    }
}

/// The hub's own words, unless they repeat a secret.
fn detail(token: Option<&Token>, refusal: &Refusal<'_>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Body {
        error: String,
    }
    let header = text(refusal.headers, "x-error-message").map(str::to_owned);
    let words = header.or_else(|| {
        serde_json::from_slice::<Body>(refusal.body)
            .ok()
            .map(|body| body.error)
    })?;
    let leaks = token.is_some_and(|token| words.contains(token.expose()))
        || words.contains("://") && words.contains('?');
    (!words.trim().is_empty() && !leaks).then(|| printable(&words))
}
