//! Byte ranges as headers write them.

use std::ops::Range;

use reqwest::header::{CONTENT_RANGE, HeaderMap};

use super::refusal::text;
use super::text::printable;

/// `bytes=a-b` for a range that is not empty.
pub(crate) fn request_header(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end.saturating_sub(1))
}

/// What a whole and exact answer says.
pub(crate) fn expected_header(range: &Range<u64>, size: u64) -> String {
    format!(
        "bytes {}-{}/{size}",
        range.start,
        range.end.saturating_sub(1)
    )
}

/// What the answer says; the text itself when it is not exactly the expected one.
///
/// Numbers are compared, so that leading zeros or another case of the unit do no harm.
pub(crate) fn check(headers: &HeaderMap, range: &Range<u64>, size: u64) -> Result<(), String> {
    let Some(value) = text(headers, CONTENT_RANGE.as_str()) else {
        return Err("no Content-Range".to_owned());
    };
    let exact = parse(value) == Some((range.start, range.end.saturating_sub(1), size));
    let single = headers.get_all(CONTENT_RANGE).iter().count() == 1;
    if exact && single {
        Ok(())
    } else {
        Err(printable(value))
    }
}

/// The total of an answer with the first byte of a file; none when it says none or is another range.
pub(crate) fn total(headers: &HeaderMap) -> Option<u64> {
    match parse(text(headers, CONTENT_RANGE.as_str())?)? {
        (0, 0, total) if total > 0 => Some(total),
        _ => None,
    }
}

/// The total of an answer that goes from byte `start` to the end; the text itself when it is another range.
pub(crate) fn total_from(headers: &HeaderMap, start: u64) -> Result<u64, String> {
    let value = text(headers, CONTENT_RANGE.as_str()).ok_or("no Content-Range")?;
    match parse(value) {
        Some((first, last, total)) if first == start && last.checked_add(1) == Some(total) => {
            Ok(total)
        }
        _ => Err(printable(value)),
    }
}

/// The total of a refused range, `bytes */total`.
pub(crate) fn refused_total(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, CONTENT_RANGE.as_str())?.strip_prefix("bytes */")?)
}

fn parse(value: &str) -> Option<(u64, u64, u64)> {
    let (unit, rest) = value.split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    unit.eq_ignore_ascii_case("bytes")
        .then(|| Some((number(first)?, number(last)?, number(total)?)))?
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_range_passes() {
        let ask = |value: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_RANGE, value.parse().unwrap())]);
            check(&headers, &(10..20), 100).is_ok()
        };
        assert!(ask("bytes 10-19/100"));
        assert!(ask("Bytes 010-19/100"));
        for wrong in [
            "bytes 10-18/100",
            "bytes 11-19/100",
            "bytes 0-19/100",
            "bytes 10-19/99",
            "bytes 10-19/*",
            "bytes */100",
            "bytes 10-19",
            "items 10-19/100",
            "",
            "bytes",
            "bytes +10-19/100",
            "bytes 10--19/100",
            "bytes 10-19/184467440737095516150",
        ] {
            assert!(!ask(wrong), "{wrong}");
        }
        assert!(check(&HeaderMap::new(), &(10..20), 100).is_err());
    }
}
