//! The storage behind signed links, and the rules of ranges that both doors keep.

use super::answer::{Answer, Body};
use super::content::Content;
use super::hold;
use super::request::Request;
use super::state::State;
use crate::clock::Clock as _;

/// Above this many bytes the storage refuses a request without a range, as the real one does.
const WHOLE_LIMIT: u64 = 50_000_000_000;

/// The object behind a path: `repository/file` and its bytes.
pub(super) fn object(state: &State, request: &Request) -> Option<(String, Content)> {
    let world = hold(&state.world);
    let parts = request.parts();
    if parts.first().is_some_and(|word| word == "plain") {
        // A repository's name has one or two parts.
        return (2..=3).find_map(|split| {
            let id = parts.get(1..split)?.join("/");
            let path = parts.get(split..)?.join("/");
            let commit = world.repo(&id)?.find("main")?;
            let file = commit.files.iter().find(|file| file.path == path)?;
            Some((format!("{id}/{path}"), file.content.clone()))
        });
    }
    world.objects.get(&request.path).cloned()
}

/// Answers a request to the CDN: signed objects, and `/plain/{repository}/{file}` without a signature.
pub(super) fn answer(state: &State, request: &Request) -> Answer {
    let Some((_, content)) = object(state, request) else {
        return refused(404, "NoSuchKey", "The specified key does not exist.");
    };
    let etag = format!("\"{}\"", &content.sha256()[..32]);
    if request.path.starts_with("/plain/") {
        return ranged(request, &content, &etag)
            .with("Last-Modified", "Sat, 02 Mar 2024 00:00:00 GMT");
    }
    let uses = state.settings().signed_uses;
    if !state.signer.admits(request, state.clock.monotonic(), uses) {
        return refused(403, "AccessDenied", "Request has expired");
    }
    if content.size() > WHOLE_LIMIT && request.header("range").is_none() {
        return refused(400, "InvalidRequest", "The object is too large.");
    }
    ranged(request, &content, &etag).with("Last-Modified", "Sat, 02 Mar 2024 00:00:00 GMT")
}

pub(super) fn refused(status: u16, code: &str, message: &str) -> Answer {
    Answer::text(
        status,
        "application/xml",
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        ),
    )
}

/// The whole file, or the range that was asked for if the file is still the one that `If-Range` names.
pub(super) fn ranged(request: &Request, content: &Content, etag: &str) -> Answer {
    let size = content.size();
    let mut answer = Answer::new(200)
        .with("Content-Type", "application/octet-stream")
        .with("Accept-Ranges", "bytes")
        .with("ETag", etag);
    let (mut start, mut end) = (0, size);
    let same = request.header("if-range").is_none_or(|known| known == etag);
    if let Some(range) = request.header("range").filter(|_| same) {
        match parse(range, size) {
            Asked::Range(first, after) => {
                (start, end) = (first, after);
                answer.status = 206;
                let text = format!("bytes {first}-{}/{size}", after - 1);
                answer = answer.with("Content-Range", &text);
            }
            Asked::OutOfReach => {
                answer.status = 416;
                return answer.with("Content-Range", &format!("bytes */{size}"));
            }
            Asked::Unclear => {}
        }
    }
    answer.body = Body::File {
        content: content.clone(),
        start,
        end,
    };
    answer
}

enum Asked {
    /// First byte, and the one after the last.
    Range(u64, u64),
    OutOfReach,
    Unclear,
}

fn parse(range: &str, size: u64) -> Asked {
    let Some((start, end)) = range.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else {
        return Asked::Unclear;
    };
    let (first, after) = match (start.parse::<u64>(), end.parse::<u64>()) {
        (Ok(first), Ok(last)) if last >= first => (first, last.saturating_add(1).min(size)),
        (Ok(first), Err(_)) if end.is_empty() => (first, size),
        (Err(_), Ok(suffix)) if start.is_empty() => (size.saturating_sub(suffix), size),
        _ => return Asked::Unclear,
    };
    if first < after {
        Asked::Range(first, after)
    } else {
        Asked::OutOfReach
    }
}
