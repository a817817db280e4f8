//! Bounded ranges of one file at one address, all of one version.
//!
//! Invariant: a body is handed out only when its answer has the right length and the version of those before. A file
//! without a hash and without a version is read by one request from its first byte to its last, or not at all: of two
//! answers nobody could tell whether they are of the same file.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RANGE};

use super::super::fetch_error::FetchError;
use super::super::location::Cell;
use super::super::range::{check, expected_header, refused_total, request_header};
use super::super::range_body::RangeBody;
use super::super::refusal::text;
use super::{Seen, Validator, Web, check_kind};
use crate::domain::{RepoPath, UrlFile};
use crate::redact::SafeUrl;

/// Reads ranges of one file.
#[derive(Debug)]
pub(crate) struct WebReader {
    web: Web,
    file: UrlFile,
    size: u64,
    version: OnceLock<Validator>,
    proven: bool,
    /// Whether the server sends all of it or nothing.
    whole_only: bool,
    /// Whether the caller was told to ask for all of it: then it has one stream, and lets no other take parts of it over.
    announced: AtomicBool,
    /// Whether bytes were handed out: a file without hash and version has one stream.
    spent: AtomicBool,
}

impl WebReader {
    pub(super) fn new(
        web: Web,
        file: UrlFile,
        size: u64,
        seen: Option<Seen>,
        proven: bool,
    ) -> Self {
        let whole_only = seen.as_ref().is_some_and(|seen| !seen.ranges);
        let validator = seen.map(|seen| seen.validator);
        Self {
            web,
            file,
            size,
            version: validator.map_or_else(OnceLock::new, OnceLock::from),
            proven,
            whole_only,
            announced: AtomicBool::new(false),
            spent: AtomicBool::new(false),
        }
    }

    /// The path of the file, below the model's folder.
    pub(crate) fn path(&self) -> &RepoPath {
        &self.file.path
    }

    /// Asks for the bytes `range.start..range.end`; the range must lie inside the file and not be empty.
    ///
    /// [`FetchError::RangeIgnored`] means that only `0..size` can be had here. Dropping the future or the body closes
    /// the connection.
    pub(crate) async fn open(&self, range: Range<u64>) -> Result<RangeBody, FetchError> {
        let start = self.file.url.to_string();
        let unbound = !self.proven && !self.version.get().is_some_and(Validator::is_some);
        if unbound || self.whole_only {
            let first = !self.announced.swap(true, Ordering::AcqRel);
            if first || range != (0..self.size) {
                return Err(FetchError::RangeIgnored { url: start });
            }
        }
        if unbound && self.spent.load(Ordering::Acquire) {
            return Err(FetchError::Unbound { url: start });
        }
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&request_header(&range)) {
            headers.insert(RANGE, value);
        }
        if let Some(version) = self.version.get() {
            version.condition(&mut headers);
        }
        let wire = &self.web.wire;
        let credential = self.file.credential.as_deref();
        let patience = wire.read_timeout;
        let (url, reply) = wire
            .ask(&self.file.url, credential, &headers, patience)
            .await?;
        let (status, headers) = (reply.status, &reply.headers);
        let masked = SafeUrl::new(url.clone()).to_string();
        let expected = range.end - range.start;
        let length = text(headers, CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
        let wrong = |got: String| FetchError::WrongRange {
            url: masked.clone(),
            expected: expected_header(&range, self.size),
            got,
        };
        let changed = |what: &'static str, expected: String, got: String| FetchError::Changed {
            url: masked.clone(),
            what,
            expected,
            got,
        };
        let size = |got: u64| changed("the size", self.size.to_string(), got.to_string());
        match status {
            StatusCode::PARTIAL_CONTENT | StatusCode::OK => {
                check_kind(&self.file, &url, status, headers)?;
                let version = self.version.get_or_init(|| Validator::of(headers));
                version.check(headers).map_err(|(what, got)| {
                    changed(what, super::super::text::printable(version.as_str()), got)
                })?;
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(match refused_total(headers) {
                    Some(total) if total != self.size => size(total),
                    _ => wrong("status 416".to_owned()),
                });
            }
            _ => return Err(wire.refused(credential, &url, status, headers)),
        }
        if status == StatusCode::PARTIAL_CONTENT {
            check(headers, &range, self.size).map_err(&wrong)?;
            if let Some(length) = length.filter(|length: &u64| *length != expected) {
                return Err(wrong(format!("{length} bytes")));
            }
        } else {
            if let Some(length) = length.filter(|length| *length != self.size) {
                return Err(size(length));
            }
            if expected != self.size {
                return Err(FetchError::RangeIgnored { url: masked });
            }
        }
        self.spent.store(true, Ordering::Release);
        Ok(RangeBody::new(
            reply.content,
            masked,
            expected,
            length.is_some(),
            wire.read_timeout,
            Arc::<Cell>::default(),
        ))
    }
}
