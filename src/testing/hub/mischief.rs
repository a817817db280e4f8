//! The faults that strike one request, added up, and what they do before the answer meets the wire.

use std::io;

use bytes::Bytes;

use super::answer::{Answer, Body};
use super::cdn;
use super::content::Content;
use super::gzip;
use super::misdeed::{Misdeed, RawPart};
use super::request::Request;

/// How long an answer stands still.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pause {
    /// Until the client goes.
    Forever,
    /// So many milliseconds.
    Ms(u64),
}

impl From<Option<u64>> for Pause {
    fn from(ms: Option<u64>) -> Self {
        ms.map_or(Self::Forever, Self::Ms)
    }
}

/// Everything that happens to one answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Mischief {
    pub(super) latency_ms: u64,
    pub(super) hangup: bool,
    /// Body bytes and whether by reset.
    pub(super) cut: Option<(u64, bool)>,
    /// Before the headers.
    pub(super) stall_first: Option<Pause>,
    /// After so many body bytes.
    pub(super) stall: Option<(u64, Pause)>,
    pub(super) drip: Option<(u64, u64)>,
    pub(super) rate: u64,
    pub(super) corrupt: Vec<u64>,
    pub(super) extra: u64,
    pub(super) no_length: bool,
    pub(super) chunked: bool,
    /// What is written in the place of an answer, and whether the connection stays open.
    pub(super) raw: Option<(Vec<RawPart>, bool)>,
    /// Repository, file and seed of a commit that comes first.
    pub(super) touch: Vec<(String, String, u64)>,
    redirect_loop: bool,
    ignore_range: bool,
    shift: u64,
    short: u64,
    gzip: bool,
    other_seed: Option<u64>,
    replace: Option<Answer>,
    headers: Vec<(String, Option<String>)>,
    json: Vec<(String, serde_json::Value)>,
}

impl Mischief {
    pub(super) fn add(&mut self, misdeed: &Misdeed) {
        match misdeed {
            Misdeed::Cut { after, reset } => self.cut = Some((*after, *reset)),
            Misdeed::Hangup => self.hangup = true,
            Misdeed::Stall {
                after: None,
                for_ms,
            } => self.stall_first = Some(Pause::from(*for_ms)),
            Misdeed::Stall {
                after: Some(after),
                for_ms,
            } => self.stall = Some((*after, Pause::from(*for_ms))),
            Misdeed::Drip { bytes, every_ms } => self.drip = Some(((*bytes).max(1), *every_ms)),
            Misdeed::Latency(ms) => self.latency_ms += ms,
            Misdeed::Rate(rate) => self.rate = *rate,
            Misdeed::Corrupt { offset } => self.corrupt.push(*offset),
            Misdeed::Answer {
                status,
                headers,
                body,
            } => {
                let mut answer = Answer::new(*status);
                answer.headers.clone_from(headers);
                answer.body = Body::Bytes(body.clone().into());
                self.replace = Some(answer);
            }
            Misdeed::Header { name, value } => self.headers.push((name.clone(), value.clone())),
            Misdeed::Json { pointer, value } => self.json.push((pointer.clone(), value.clone())),
            Misdeed::IgnoreRange => self.ignore_range = true,
            Misdeed::ShiftRange(bytes) => self.shift = *bytes,
            Misdeed::Short(bytes) => self.short = *bytes,
            Misdeed::Extra(bytes) => self.extra = *bytes,
            Misdeed::NoLength => self.no_length = true,
            Misdeed::Chunked => self.chunked = true,
            Misdeed::Gzip => self.gzip = true,
            Misdeed::OtherVersion { seed } => self.other_seed = Some(*seed),
            Misdeed::Expired => {
                self.replace = Some(cdn::refused(403, "AccessDenied", "Request has expired"));
            }
            Misdeed::RedirectLoop => self.redirect_loop = true,
            Misdeed::Bomb { bytes } => {
                let mut answer = Answer::text(200, "application/json", gzip::bomb(*bytes));
                answer.set("Content-Encoding", Some("gzip"));
                self.replace = Some(answer);
            }
            Misdeed::Touch { repo, path, seed } => {
                self.touch.push((repo.clone(), path.clone(), *seed));
            }
            Misdeed::Raw { parts, hold } => self.raw = Some((parts.clone(), *hold)),
        }
    }

    /// The answer that stands in for the true one.
    pub(super) fn replacement(&mut self, request: &Request) -> Option<Answer> {
        if self.redirect_loop {
            let hop: u64 = request
                .param("hop")
                .and_then(|hop| hop.parse().ok())
                .unwrap_or(0);
            let location = format!("{}?hop={}", request.path, hop + 1);
            return Some(Answer::new(302).with("Location", &location));
        }
        self.replace.take()
    }

    /// Changes what the server believes it was asked.
    pub(super) fn alter_request(&self, request: &mut Request) {
        if self.ignore_range {
            request.headers.retain(|(name, _)| name != "range");
        }
        if self.shift > 0 {
            for (name, value) in &mut request.headers {
                if name == "range" {
                    *value = shifted(value, self.shift);
                }
            }
        }
    }

    /// Changes what the server answers.
    pub(super) fn alter_answer(&mut self, mut answer: Answer) -> io::Result<Answer> {
        if let (Some(seed), Body::File { content, .. }) = (self.other_seed, &mut answer.body) {
            *content = Content::generated(seed, content.size());
            let etag = format!("\"{}\"", content.sha256());
            answer.set("ETag", Some(&etag));
        }
        for (pointer, value) in &self.json {
            let mut body: serde_json::Value =
                serde_json::from_slice(&answer.body.collect()?).unwrap_or_default();
            if let Some(place) = body.pointer_mut(pointer) {
                *place = value.clone();
                answer.body = Body::Bytes(body.to_string().into());
            }
        }
        if self.short > 0 {
            answer.body = answer.body.shorter(self.short);
        }
        if self.gzip {
            answer.body = Body::Bytes(Bytes::from(gzip::stored(&answer.body.collect()?)));
            answer.set("Content-Encoding", Some("gzip"));
            self.no_length = true;
        }
        for (name, value) in &self.headers {
            answer.set(name, value.as_deref());
        }
        Ok(answer)
    }
}

fn shifted(range: &str, by: u64) -> String {
    let parse = || {
        let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse::<u64>().ok()?, end.to_owned()))
    };
    parse().map_or_else(
        || range.to_owned(),
        |(start, end)| format!("bytes={}-{end}", start + by),
    )
}
