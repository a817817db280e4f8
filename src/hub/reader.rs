//! Bounded ranges of one file at one commit.
//!
//! Invariant: a body is handed out only after its answer was checked: the commit, etag and size that the
//! hub names, no encoding, and exactly the range that was asked for. Retries, splitting and writing are
//! the caller's. One reader serves one attempt: its count of refused addresses is not reset by time.

use std::ops::Range;
use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, ETAG};
use tokio::time::timeout;
use url::Url;

use super::HubError;
use super::expected::Expected;
use super::fetch_error::{FetchError, answered};
use super::location::{Cell, Location, RENEWALS_MAX};
use super::pace::asked_pause;
use super::range::{check, expected_header, refused_total, request_header};
use super::range_body::RangeBody;
use super::redirect::{self, MAX_HOPS};
use super::refusal::{Asked, Subject, text};
use super::reply::Reply;
use super::request::{Wire, foreign_encoding, is_header, redirect_error};
use super::text::printable;
use crate::domain::{CommitHash, PlannedFile, RepoId, RepoPath};
use crate::redact::{SafeUrl, Token};

/// Reads ranges of one file; clones share the address of its bytes.
#[derive(Debug, Clone)]
pub(crate) struct RangeReader {
    wire: Arc<Wire>,
    file: Arc<Expected>,
    cell: Arc<Cell>,
}

impl RangeReader {
    pub(super) fn new(
        wire: Arc<Wire>,
        repo: RepoId,
        commit: CommitHash,
        planned: PlannedFile,
    ) -> Self {
        Self {
            wire,
            file: Arc::new(Expected {
                repo,
                commit,
                planned,
            }),
            cell: Arc::default(),
        }
    }

    /// Its path in the repository.
    pub(crate) fn path(&self) -> &RepoPath {
        &self.file.planned.path
    }

    /// The length of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.file.planned.size
    }

    /// Asks for the bytes `range.start..range.end`; the range must lie inside the file and not be empty.
    ///
    /// The first call asks the hub where the bytes lie. [`FetchError::RangeIgnored`] means that only
    /// `0..size` can be had here. Dropping the future or the body closes the connection.
    pub(crate) async fn open(&self, range: Range<u64>) -> Result<RangeBody, FetchError> {
        let endpoint = &self.wire.endpoint;
        let start = endpoint.file_url(&self.file.repo, &self.file.commit, &self.file.planned.path);
        if range.start >= range.end || range.end > self.size() {
            return Err(FetchError::WrongRange {
                url: SafeUrl::new(start).to_string(),
                expected: format!("a part of 0..{}", self.size()),
                got: format!("{range:?} from the caller"),
            });
        }
        if self.wire.offline {
            return Err(HubError::Offline.into());
        }
        // Other connections' bytes reset the shared count, so each call counts its own refusals too.
        let mut refusals = 0;
        loop {
            let token = self.wire.tokens.current().await;
            if token.as_ref().is_some_and(|token| !is_header(token)) {
                return Err(FetchError::Hub(HubError::TokenInvalid {
                    host: endpoint.host(),
                    detail: "it holds characters that no token has".to_owned(),
                }));
            }
            let ask = async || self.ask_hub(start.clone(), &range, token.as_ref()).await;
            let (location, first) = self.cell.locate(ask).await?;
            let fresh = first.is_some();
            let (url, reply) = match first.flatten() {
                Some(reply) => (location.url.expose().clone(), reply),
                None => self.fetch(&location, &range, token.as_ref()).await?,
            };
            let status = reply.status;
            let refused = matches!(status.as_u16(), 400 | 401 | 403 | 404 | 410);
            if refused {
                let error = FetchError::Status {
                    url: SafeUrl::new(url).to_string(),
                    status: status.as_u16(),
                };
                tracing::debug!(file = %self.file.planned.path, %error, fresh, "An address was refused; asking the hub for a new one.");
                self.cell.forget(&location, error.clone()).await;
                refusals += 1;
                if refusals > RENEWALS_MAX {
                    return Err(error);
                }
                continue;
            }
            return match self.accept(&location, &url, &range, reply) {
                Err(error @ (FetchError::Changed { .. } | FetchError::Hub(_))) => {
                    self.cell.forget(&location, error.clone()).await;
                    Err(error)
                }
                other => other,
            };
        }
    }

    /// Walks the hub's redirects up to the first address elsewhere, or to the hub's own answer.
    async fn ask_hub(
        &self,
        start: Url,
        range: &Range<u64>,
        token: Option<&Token>,
    ) -> Result<(Url, Option<Reply>), FetchError> {
        let wire = &self.wire;
        let mut url = start;
        for _hop in 0..=MAX_HOPS {
            let header = request_header(range);
            let sent = wire.send(&url, token, Some(&header));
            let reply = match timeout(wire.metadata_timeout, sent).await {
                Err(_elapsed) => return Err(wire.no_answer(&url).into()),
                Ok(Err(error)) => return Err(wire.broken(&url, error).into()),
                Ok(Ok(reply)) => reply,
            };
            let status = reply.status;
            if redirect::is_redirect(status) {
                self.file.check_hub(&url, &reply.headers, false)?;
                let next = redirect::target(&url, &reply.headers)
                    .map_err(|rule| redirect_error(&url, rule))?;
                reply.content.drain().await;
                if !wire.endpoint.is_hub(&next) {
                    return Ok((next, None));
                }
                url = next;
                continue;
            }
            if status.is_success() {
                self.file.check_page(&url, status, &reply.headers)?;
                self.file.check_hub(&url, &reply.headers, true)?;
                return Ok((url, Some(reply)));
            }
            if status == StatusCode::RANGE_NOT_SATISFIABLE {
                return Ok((url, Some(reply)));
            }
            let subject = Subject {
                endpoint: &wire.endpoint,
                repo: &self.file.repo,
                asked: Asked::File(&self.file.commit, &self.file.planned.path),
                token,
            };
            return Err(wire.refused(&subject, &url, reply).await.into());
        }
        Err(redirect_error(&url, "there are too many in a row").into())
    }

    /// Asks the place where the bytes lie; further redirects are walked, the token stays at the hub.
    async fn fetch(
        &self,
        location: &Location,
        range: &Range<u64>,
        token: Option<&Token>,
    ) -> Result<(Url, Reply), FetchError> {
        let wire = &self.wire;
        let mut url = location.url.expose().clone();
        let header = request_header(range);
        for _hop in 0..=MAX_HOPS {
            let masked = SafeUrl::new(url.clone()).to_string();
            let sent = wire.send(&url, token, Some(&header));
            let reply = answered(sent, wire.read_timeout, &masked).await?;
            if wire.endpoint.is_hub(&url) {
                self.file
                    .check_hub(&url, &reply.headers, reply.status.is_success())?;
            }
            if !redirect::is_redirect(reply.status) {
                return Ok((url, reply));
            }
            url = redirect::target(&url, &reply.headers).map_err(|rule| FetchError::Redirect {
                url: masked,
                rule: rule.to_owned(),
            })?;
            reply.content.drain().await;
        }
        Err(FetchError::Redirect {
            url: SafeUrl::new(url).to_string(),
            rule: "there are too many in a row".to_owned(),
        })
    }

    fn accept(
        &self,
        location: &Location,
        url: &Url,
        range: &Range<u64>,
        reply: Reply,
    ) -> Result<RangeBody, FetchError> {
        let Reply {
            status,
            headers,
            content,
        } = reply;
        let headers = &headers;
        self.file.check_page(url, status, headers)?;
        let size = self.size();
        let url = SafeUrl::new(url.clone()).to_string();
        let expected = range.end - range.start;
        let wrong = |got: String| FetchError::WrongRange {
            url: url.clone(),
            expected: expected_header(range, size),
            got,
        };
        // hyper refuses bodies whose lengths contradict each other, so the header can be trusted so far.
        let length = text(headers, CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
        match status {
            StatusCode::PARTIAL_CONTENT => {
                check(headers, range, size).map_err(&wrong)?;
                if length.is_some_and(|length: u64| length != expected) {
                    return Err(wrong(format!("{} bytes", length.unwrap_or_default())));
                }
            }
            StatusCode::OK if expected == size => {
                if let Some(length) = length.filter(|length| *length != size) {
                    return Err(changed_size(url, size, length));
                }
            }
            StatusCode::OK => return Err(FetchError::RangeIgnored { url }),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(match refused_total(headers) {
                    Some(total) if total != size => changed_size(url, size, total),
                    _ => wrong("status 416".to_owned()),
                });
            }
            _ => {
                let retry_after = asked_pause(headers, self.wire.clock.now());
                let status = status.as_u16();
                return Err(match status {
                    429 => FetchError::RateLimited {
                        url,
                        status,
                        retry_after,
                    },
                    503 if retry_after.is_some() => FetchError::RateLimited {
                        url,
                        status,
                        retry_after,
                    },
                    _ => FetchError::Status { url, status },
                });
            }
        }
        if let Some(encoding) = foreign_encoding(headers) {
            return Err(FetchError::Encoded { url, encoding });
        }
        if let Some(etag) = text(headers, ETAG.as_str()).filter(|etag| !etag.starts_with("W/")) {
            let first = location.etag.get_or_init(|| etag.to_owned());
            if first != etag {
                return Err(FetchError::Changed {
                    url,
                    what: "the etag",
                    expected: printable(first),
                    got: printable(etag),
                });
            }
        }
        Ok(RangeBody::new(
            content,
            url,
            expected,
            length.is_some(),
            self.wire.read_timeout,
            Arc::clone(&self.cell),
        ))
    }
}

fn changed_size(url: String, expected: u64, got: u64) -> FetchError {
    FetchError::Changed {
        url,
        what: "the size",
        expected: expected.to_string(),
        got: got.to_string(),
    }
}
