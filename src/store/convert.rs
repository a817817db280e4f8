//! Between the integers and words of rows and the types of the domain.
//!
//! What cannot be read back is reported with table, column and value, never replaced silently.

use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::{Result, StoreError};

/// A time as rows keep it.
pub(super) fn ms(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}

/// A time of a row.
pub(super) fn time(given: i64, table: &'static str, column: &'static str) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_millis(given)
        .ok_or_else(|| StoreError::corrupt(table, column, &given.to_string()))
}

/// A time of a row that may have none.
pub(super) fn time_opt(
    given: Option<i64>,
    table: &'static str,
    column: &'static str,
) -> Result<Option<DateTime<Utc>>> {
    given.map(|given| time(given, table, column)).transpose()
}

/// A count of a row.
pub(super) fn count<T: TryFrom<i64>>(
    given: i64,
    table: &'static str,
    column: &'static str,
) -> Result<T> {
    T::try_from(given)
        .ok()
        .ok_or_else(|| StoreError::corrupt(table, column, &given.to_string()))
}

/// A count of a row that may have none.
pub(super) fn count_opt<T: TryFrom<i64>>(
    given: Option<i64>,
    table: &'static str,
    column: &'static str,
) -> Result<Option<T>> {
    given.map(|given| count(given, table, column)).transpose()
}

/// A word, name or number in text.
pub(super) fn text<T: FromStr>(
    given: &str,
    table: &'static str,
    column: &'static str,
) -> Result<T> {
    given
        .parse()
        .ok()
        .ok_or_else(|| StoreError::corrupt(table, column, given))
}

/// The same of a row that may have none.
pub(super) fn text_opt<T: FromStr>(
    given: Option<&str>,
    table: &'static str,
    column: &'static str,
) -> Result<Option<T>> {
    given.map(|given| text(given, table, column)).transpose()
}

/// A count as rows keep it.
pub(super) fn signed(given: u64, what: &'static str) -> Result<i64> {
    i64::try_from(given)
        .ok()
        .ok_or(StoreError::TooLarge { what, given })
}

/// A count as rows keep it, where there may be none.
pub(super) fn signed_opt(given: Option<u64>, what: &'static str) -> Result<Option<i64>> {
    given.map(|given| signed(given, what)).transpose()
}

/// A list of keys as the JSON that `json_each` reads.
pub(super) fn keys(given: &[i64]) -> String {
    json(&given)
}

/// Texts and numbers as JSON.
pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("texts and numbers always have a JSON form")
}
