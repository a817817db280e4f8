//! What was asked and what was sent: one record per request, and totals that never forget.
//!
//! Only the newest records are kept, so a long run stays small; totals count all of them.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::fault::glob;
use super::hold;
use super::request::Place;

const KEPT: usize = 50_000;

/// One request as it came, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recorded {
    /// Counts from 1 over both doors.
    pub number: u64,
    /// The door.
    pub place: Place,
    /// The method.
    pub method: String,
    /// The path as sent, without the query.
    pub path: String,
    /// `repository/file`, when the path means one.
    pub object: Option<String>,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The status that was sent; 0 when none was.
    pub status: u16,
    /// Bytes of the body that were written to the socket.
    pub bytes_sent: u64,
    /// Milliseconds after the hub's start at which it came.
    pub at_ms: u64,
    /// The connection it came on.
    pub connection: u64,
    /// Whether the answer, true or false, was written to its end.
    pub finished: bool,
}

impl Recorded {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The `Range` header.
    pub fn range(&self) -> Option<&str> {
        self.header("range")
    }

    /// The `Authorization` header.
    pub fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }

    /// Whether a glob means this request, by its path or by its `repository/file`.
    pub fn matches(&self, pattern: &str) -> bool {
        glob(pattern, &self.path)
            || self
                .object
                .as_deref()
                .is_some_and(|name| glob(pattern, name))
    }
}

/// Totals since the start or the last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Requests to the hub.
    pub hub_requests: u64,
    /// Requests to the CDN.
    pub cdn_requests: u64,
    /// Body bytes that the hub wrote.
    pub hub_bytes: u64,
    /// Body bytes that the CDN wrote.
    pub cdn_bytes: u64,
    /// Requests that are being answered now.
    pub in_flight: u64,
    /// The most requests that were answered at the same time.
    pub max_in_flight: u64,
}

#[derive(Debug, Default)]
struct Pages {
    kept: VecDeque<Recorded>,
    next: u64,
    counters: Counters,
}

/// Keeps the records.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Pages>);

impl Ledger {
    /// Opens a record; its number is set here.
    pub(super) fn begin(&self, mut record: Recorded) -> u64 {
        let mut pages = hold(&self.0);
        pages.next += 1;
        record.number = pages.next;
        match record.place {
            Place::Cdn => pages.counters.cdn_requests += 1,
            Place::Hub | Place::Control => pages.counters.hub_requests += 1,
        }
        pages.counters.in_flight += 1;
        pages.counters.max_in_flight = pages.counters.max_in_flight.max(pages.counters.in_flight);
        if pages.kept.len() == KEPT {
            pages.kept.pop_front();
        }
        pages.kept.push_back(record);
        pages.next
    }

    pub(super) fn sent(&self, number: u64, place: Place, bytes: u64) {
        let mut pages = hold(&self.0);
        match place {
            Place::Cdn => pages.counters.cdn_bytes += bytes,
            Place::Hub | Place::Control => pages.counters.hub_bytes += bytes,
        }
        if let Some(record) = pages.record(number) {
            record.bytes_sent += bytes;
        }
    }

    pub(super) fn status(&self, number: u64, status: u16) {
        if let Some(record) = hold(&self.0).record(number) {
            record.status = status;
        }
    }

    /// Closes a record.
    pub(super) fn end(&self, number: u64, finished: bool) {
        let mut pages = hold(&self.0);
        pages.counters.in_flight = pages.counters.in_flight.saturating_sub(1);
        if let Some(record) = pages.record(number) {
            record.finished = finished;
        }
    }

    pub(super) fn records(&self) -> Vec<Recorded> {
        hold(&self.0).kept.iter().cloned().collect()
    }

    pub(super) fn counters(&self) -> Counters {
        hold(&self.0).counters
    }

    /// Forgets records and totals; numbers go on.
    pub(super) fn reset(&self) {
        let mut pages = hold(&self.0);
        pages.kept.clear();
        let in_flight = pages.counters.in_flight;
        pages.counters = Counters {
            in_flight,
            max_in_flight: in_flight,
            ..Counters::default()
        };
    }
}

impl Pages {
    fn record(&mut self, number: u64) -> Option<&mut Recorded> {
        let first = self.kept.front()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        self.kept.get_mut(index)
    }
}
