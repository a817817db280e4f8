//! An answer before it meets the wire: status, headers, and a body that may be a slice of a file.

use std::io;

use bytes::Bytes;
use serde_json::{Value, json};

use super::content::Content;

/// The body of an answer.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Bytes(Bytes),
    /// `start..end` of a file.
    File {
        content: Content,
        start: u64,
        end: u64,
    },
}

impl Body {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { start, end, .. } => end - start,
        }
    }

    /// The position in the file of the first byte.
    pub(super) fn start(&self) -> u64 {
        match self {
            Self::Bytes(_) => 0,
            Self::File { start, .. } => *start,
        }
    }

    /// The next bytes after `sent`, at most `limit` of them.
    pub(super) fn chunk(&self, sent: u64, limit: u64) -> io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Content::bytes(bytes.clone()).chunk(sent, sent + limit),
            Self::File {
                content,
                start,
                end,
            } => content.chunk(start + sent, (start + sent + limit).min(*end)),
        }
    }

    /// Everything, in memory.
    pub(super) fn collect(&self) -> io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File {
                content,
                start,
                end,
            } => Ok(content.read(*start..*end)?.into()),
        }
    }

    /// The same body without its last `missing` bytes.
    pub(super) fn shorter(self, missing: u64) -> Self {
        match self {
            Self::Bytes(bytes) => {
                let keep = bytes
                    .len()
                    .saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX));
                Self::Bytes(bytes.slice(..keep))
            }
            Self::File {
                content,
                start,
                end,
            } => Self::File {
                content,
                start,
                end: end.saturating_sub(missing).max(start),
            },
        }
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(Bytes::new()),
        }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        let mut answer = Self::new(status).with("Content-Type", "application/json; charset=utf-8");
        answer.body = Body::Bytes(value.to_string().into());
        answer
    }

    /// An error as the hub words it: code and sentence in headers, the sentence in the body too.
    pub(super) fn error(status: u16, code: Option<&str>, message: &str) -> Self {
        let mut answer =
            Self::json(status, &json!({ "error": message })).with("X-Error-Message", message);
        if let Some(code) = code {
            answer = answer.with("X-Error-Code", code);
        }
        answer
    }

    pub(super) fn text(status: u16, kind: &str, text: impl Into<Bytes>) -> Self {
        let mut answer = Self::new(status).with("Content-Type", kind);
        answer.body = Body::Bytes(text.into());
        answer
    }

    /// Adds a header.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces a header, or drops it.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        if let Some(value) = value {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    }
}
