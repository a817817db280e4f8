//! What tells one version of a file from another: a strong validator of RFC 9110, or nothing.

use chrono::TimeDelta;
use reqwest::header::{DATE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED};

use super::super::pace::http_date;
use super::super::refusal::text;
use super::super::text::printable;

/// A date is a strong validator only when the file was changed so long before the answer: more may have changed within
/// its second, and clocks differ (RFC 9110, 8.8.2.2).
const SETTLED: TimeDelta = TimeDelta::seconds(60);
/// A longer text is no validator.
const LONGEST: usize = 1024;

/// A strong validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Validator {
    /// A strong entity tag with its quotes.
    Etag(String),
    /// `Last-Modified` as it was written.
    Modified(String),
    /// The server names none: no two answers can be told to be of one version.
    None,
}

impl Validator {
    /// What the head of an answer says.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if let Some(etag) = etag(headers) {
            return Self::Etag(etag.to_owned());
        }
        let date = |name: &str| text(headers, name).and_then(http_date);
        match (date(LAST_MODIFIED.as_str()), date(DATE.as_str())) {
            (Some(modified), Some(sent)) if sent - modified >= SETTLED => {
                let written = text(headers, LAST_MODIFIED.as_str()).unwrap_or_default();
                Self::Modified(written.to_owned())
            }
            _ => Self::None,
        }
    }

    /// The same as text, for the name of a version; empty when there is none.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Etag(text) | Self::Modified(text) => text,
            Self::None => "",
        }
    }

    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        *self != Self::None
    }

    /// The condition that asks for a part of this very version.
    pub(super) fn condition(&self, headers: &mut HeaderMap) {
        if self.is_some()
            && let Ok(value) = HeaderValue::from_str(self.as_str())
        {
            headers.insert(IF_RANGE, value);
        }
    }

    /// Compares an answer with this version; the error is what differs and what came.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), (&'static str, String)> {
        let (what, came) = match self {
            Self::None => return Ok(()),
            Self::Etag(_) => ("the etag", etag(headers)),
            Self::Modified(_) => ("the date", text(headers, LAST_MODIFIED.as_str())),
        };
        if came == Some(self.as_str()) {
            return Ok(());
        }
        Err((what, came.map_or_else(|| "none".to_owned(), printable)))
    }
}

/// The strong entity tag, when there is exactly one.
fn etag(headers: &HeaderMap) -> Option<&str> {
    let single = headers.get_all(ETAG).iter().count() == 1;
    text(headers, ETAG.as_str()).filter(|etag| {
        single
            && (3..=LONGEST).contains(&etag.len())
            && etag.starts_with('"')
            && etag.ends_with('"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &str)]) -> Validator {
        Validator::of(&headers(pairs))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_strong_validators_count() {
        let old = "Sat, 01 Nov 2025 10:00:00 GMT";
        let now = "Sat, 01 Nov 2025 10:00:59 GMT";
        let later = "Sat, 01 Nov 2025 10:01:00 GMT";
        assert_eq!(of(&[("etag", "\"a\"")]), Validator::Etag("\"a\"".into()));
        for weak in [
            &[("etag", "W/\"a\"")][..],
            &[("etag", "a")],
            &[("etag", "\"\"")],
            &[("etag", "\"a\""), ("etag", "\"b\"")],
            &[("last-modified", old)],
            &[("last-modified", old), ("date", now)],
            &[("last-modified", later), ("date", old)],
            &[("last-modified", "yesterday"), ("date", later)],
        ] {
            assert_eq!(of(weak), Validator::None, "{weak:?}");
        }
        let dated = of(&[("etag", "W/\"a\""), ("last-modified", old), ("date", later)]);
        assert_eq!(dated, Validator::Modified(old.into()));
        assert!(dated.check(&headers(&[("last-modified", old)])).is_ok());
        assert!(dated.check(&headers(&[("last-modified", now)])).is_err());
        assert!(dated.check(&headers(&[])).is_err());
        let tag = Validator::Etag("\"a\"".into());
        assert!(tag.check(&headers(&[("etag", "\"a\"")])).is_ok());
        assert!(tag.check(&headers(&[("etag", "W/\"a\"")])).is_err());
    }
}
