//! What a fault does to one answer.
//!
//! Names and shapes here are those of scripts and of the control door; a name that is not known is an error.

use serde::{Deserialize, Serialize};

/// What a fault does. Positions named `after` count the body bytes of this answer; `offset` is a place in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
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
    /// Answers 403 as the storage does for a signed link that is too old.
    Expired,
    /// Redirects to the same address, again and again, with another query each time.
    RedirectLoop,
    /// Answers gzip that unpacks to so many zeros; a small body, a large memory.
    Bomb {
        /// Bytes after unpacking.
        bytes: u64,
    },
    /// Puts a commit on `main`, in which one file has other bytes, and then answers.
    Touch {
        /// The repository.
        repo: String,
        /// The file; it is made when there is none.
        path: String,
        /// The seed of its new bytes.
        seed: u64,
    },
    /// Writes these bytes in the place of an answer, whatever they are, and closes: head, framing and body are theirs.
    Raw {
        /// The bytes, one text after the other.
        parts: Vec<RawPart>,
        /// Whether the connection stays open and silent afterwards.
        #[serde(default)]
        hold: bool,
    },
}

/// A text that a liar writes, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPart {
    /// The text.
    pub text: String,
    /// How often it is written.
    #[serde(default = "once")]
    pub times: u64,
    /// Milliseconds before each time.
    #[serde(default)]
    pub every_ms: u64,
}

fn once() -> u64 {
    1
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

    /// These bytes, once, and nothing else.
    pub fn raw(text: &str) -> Self {
        Self::Raw {
            parts: vec![RawPart::new(text, 1)],
            hold: false,
        }
    }
}

impl RawPart {
    /// A text, so many times, without a pause.
    pub fn new(text: &str, times: u64) -> Self {
        Self {
            text: text.to_owned(),
            times,
            every_ms: 0,
        }
    }
}
