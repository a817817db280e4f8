//! Faults: which requests a fault means, when it strikes, and what it does.
//!
//! Each fault counts the requests that it means, so "the second range request for this file" can be
//! said. Several faults may strike one request; they add up.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::hold;
use super::mischief::Mischief;
use super::request::{Place, Request};

/// Which of the requests that a fault means it strikes, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All of them.
    #[default]
    Always,
    /// The first n.
    First(u64),
    /// Only the n-th.
    Nth(u64),
    /// Every n-th.
    Every(u64),
    /// All after the first n.
    After(u64),
}

impl When {
    fn strikes(self, count: u64) -> bool {
        match self {
            Self::Always => true,
            Self::First(n) => count <= n,
            Self::Nth(n) => count == n,
            Self::Every(n) => n > 0 && count.is_multiple_of(n),
            Self::After(n) => count > n,
        }
    }
}

/// What a fault does. Positions named `after` count the body bytes of this answer; `offset` is a place in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misdeed {
    /// Closes the connection after so many body bytes; with `reset` by RST, which may drop bytes in flight.
    Cut {
        /// Body bytes that are written first.
        after: u64,
        /// Whether the close is a reset.
        #[serde(default)]
        reset: bool,
    },
    /// Closes the connection instead of answering.
    Hangup,
    /// Stops sending and keeps the connection open, for ever or for a time; none in `after` is before the headers.
    Stall {
        /// Body bytes that are written first; none for not even the headers.
        after: Option<u64>,
        /// Milliseconds after which it goes on; none for never.
        for_ms: Option<u64>,
    },
    /// Sends `bytes` every `every_ms` milliseconds: slow, but alive.
    Drip {
        /// Bytes per step.
        bytes: u64,
        /// Milliseconds between the steps.
        every_ms: u64,
    },
    /// Waits so many milliseconds before the answer.
    Latency(u64),
    /// Limits this answer to so many bytes per second.
    Rate(u64),
    /// Inverts the byte at this place of the file.
    Corrupt {
        /// The place in the file.
        offset: u64,
    },
    /// Answers something else altogether.
    Answer {
        /// The status.
        status: u16,
        /// The headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body.
        #[serde(default)]
        body: String,
    },
    /// Sets a header of the answer, or drops it.
    Header {
        /// The name.
        name: String,
        /// The value; none drops the header.
        value: Option<String>,
    },
    /// Replaces a value of a JSON answer.
    Json {
        /// A JSON pointer, for example `/sha` or `/0/path`.
        pointer: String,
        /// The value.
        value: serde_json::Value,
    },
    /// Answers 200 with the whole file whatever the range says.
    IgnoreRange,
    /// Sends a range that begins so many bytes later than asked for; the headers tell the truth.
    ShiftRange(u64),
    /// Leaves out the last bytes, with a length that agrees.
    Short(u64),
    /// Sends more bytes than the length says.
    Extra(u64),
    /// Sends the body without a length, to the close of the connection.
    NoLength,
    /// Sends the body in chunked coding.
    Chunked,
    /// Sends the body as gzip, without a length.
    Gzip,
    /// Sends the bytes of another version of the same length, with that version's etag.
    OtherVersion {
        /// The seed of the other content.
        seed: u64,
    },
}

impl Misdeed {
    /// An answer with a status and no more.
    pub fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// An answer that asks to come back later.
    pub fn retry_after(status: u16, value: &str) -> Self {
        Self::Answer {
            status,
            headers: vec![("Retry-After".to_owned(), value.to_owned())],
            body: String::new(),
        }
    }

    /// A captive portal: 200 and a page in HTML.
    pub fn portal() -> Self {
        Self::Answer {
            status: 200,
            headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
            body: "<!doctype html><title>Sign in to the network</title>".to_owned(),
        }
    }

    /// A redirect to another place.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Answer {
            status,
            headers: vec![("Location".to_owned(), location.to_owned())],
            body: String::new(),
        }
    }

    /// A header with another value.
    pub fn header(name: &str, value: &str) -> Self {
        Self::Header {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        }
    }
}

/// A fault: whom it means, when it strikes, what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// A glob over the path or over `repository/file`; `*` means any characters, slashes too.
    pub path: String,
    /// The door; none for both.
    #[serde(default)]
    pub place: Option<Place>,
    /// The method; none for all.
    #[serde(default)]
    pub method: Option<String>,
    /// Which of those requests.
    #[serde(default)]
    pub when: When,
    /// What happens.
    pub does: Misdeed,
}

impl Fault {
    /// A fault on every request that the glob means, whatever its method and door.
    pub fn new(path: &str, does: Misdeed) -> Self {
        Self {
            path: path.to_owned(),
            place: None,
            method: None,
            when: When::Always,
            does,
        }
    }

    /// A fault on the CDN's answers to GET.
    pub fn cdn(path: &str, does: Misdeed) -> Self {
        Self::new(path, does).at(Place::Cdn).method("GET")
    }

    /// A fault on the hub.
    pub fn hub(path: &str, does: Misdeed) -> Self {
        Self::new(path, does).at(Place::Hub)
    }

    /// Only at this door.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Only for this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only some of the requests.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// Only the first n requests.
    #[must_use]
    pub fn first(self, n: u64) -> Self {
        self.when(When::First(n))
    }

    fn means(&self, place: Place, request: &Request, object: Option<&str>) -> bool {
        self.place.is_none_or(|wanted| wanted == place)
            && self
                .method
                .as_ref()
                .is_none_or(|wanted| *wanted == request.method)
            && (glob(&self.path, &request.path)
                || object.is_some_and(|name| glob(&self.path, name)))
    }
}

#[derive(Debug)]
struct Entry {
    fault: Fault,
    seen: u64,
    struck: u64,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct FaultBook {
    entries: Mutex<(u64, BTreeMap<u64, Entry>)>,
}

impl FaultBook {
    pub(super) fn add(&self, fault: Fault) -> u64 {
        let mut entries = hold(&self.entries);
        entries.0 += 1;
        let id = entries.0;
        entries.1.insert(
            id,
            Entry {
                fault,
                seen: 0,
                struck: 0,
            },
        );
        id
    }

    pub(super) fn remove(&self, id: u64) -> bool {
        hold(&self.entries).1.remove(&id).is_some()
    }

    pub(super) fn clear(&self) {
        hold(&self.entries).1.clear();
    }

    /// How often a fault has struck; none when it is gone.
    pub(super) fn struck(&self, id: u64) -> Option<u64> {
        hold(&self.entries).1.get(&id).map(|entry| entry.struck)
    }

    pub(super) fn list(&self) -> Vec<(u64, Fault, u64)> {
        let entries = hold(&self.entries);
        let list = entries.1.iter();
        list.map(|(id, entry)| (*id, entry.fault.clone(), entry.struck))
            .collect()
    }

    /// Everything that happens to this request; counts it.
    pub(super) fn strike(&self, place: Place, request: &Request, object: Option<&str>) -> Mischief {
        let mut mischief = Mischief::default();
        for entry in hold(&self.entries).1.values_mut() {
            if !entry.fault.means(place, request, object) {
                continue;
            }
            entry.seen += 1;
            if entry.fault.when.strikes(entry.seen) {
                entry.struck += 1;
                mischief.add(&entry.fault.does);
            }
        }
        mischief
    }
}

/// Whether a pattern with `*` (any characters) and `?` (one character) means the whole text.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == b'?' || *c == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}
