//! One connection: read a request, let the faults strike, answer, again.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::answer::Answer;
use super::ledger::{Ledger, Recorded};
use super::repo::type_and_name;
use super::request::{Place, Request};
use super::state::State;
use super::{cdn, hold, info, request, resolve, tree, wire};

/// Closes the record of a request, also when its connection is torn down.
struct Open<'a> {
    ledger: &'a Ledger,
    number: u64,
    finished: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.ledger.end(self.number, self.finished);
    }
}

/// Serves a connection until one side ends it.
pub(super) async fn serve(state: &State, place: Place, mut stream: TcpStream) -> io::Result<()> {
    let connection = state.next_connection();
    let mut buffer = Vec::new();
    sleep(Duration::from_millis(state.settings().connect_latency_ms)).await;
    while let Some(mut request) = request::read(&mut stream, &mut buffer).await? {
        let object = object(state, place, &request);
        let number = state.ledger.begin(Recorded {
            number: 0,
            place,
            method: request.method.clone(),
            path: request.path.clone(),
            object: object.clone(),
            headers: request.headers.clone(),
            status: 0,
            bytes_sent: 0,
            at_ms: state.elapsed_ms(),
            connection,
            finished: false,
        });
        let mut open = Open {
            ledger: &state.ledger,
            number,
            finished: false,
        };
        let mut mischief = state.faults.strike(place, &request, object.as_deref());
        if mischief.hangup {
            return Ok(());
        }
        for (repo, path, seed) in &mischief.touch {
            hold(&state.world).touch(repo, path, *seed);
        }
        if let Some((parts, hold)) = mischief.raw.take() {
            wire::raw(&mut stream, state, (number, place), &parts, hold).await?;
            open.finished = true;
            return Ok(());
        }
        mischief.alter_request(&mut request);
        let answer = match mischief.replacement(&request) {
            Some(answer) => answer,
            // Digests of big files may have to be computed first.
            None => block_in_place(|| answer(state, place, &request)),
        };
        let answer = mischief.alter_answer(answer)?;
        let ticket = wire::Ticket {
            state,
            place,
            number,
            head: request.method == "HEAD",
            close: request.wants_close(),
        };
        let keep = wire::send(&mut stream, &ticket, answer, &mischief).await?;
        open.finished = keep.finished;
        if keep.close {
            return wire::close(stream, &mischief).await;
        }
    }
    Ok(())
}

fn answer(state: &State, place: Place, request: &Request) -> Answer {
    match place {
        Place::Cdn => cdn::answer(state, request),
        Place::Hub | Place::Control => hub(state, request),
    }
}

fn hub(state: &State, request: &Request) -> Answer {
    let parts = request.parts();
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    let token = request.token();
    let id = repo_of(&words);
    if let Some(id) = &id
        && let Some(new) = hold(&state.world).moved(id)
    {
        let query = if request.query.is_empty() { "" } else { "?" };
        let path = request.path.replacen(id.as_str(), new, 1);
        return Answer::new(307).with("Location", &format!("{path}{query}{}", request.query));
    }
    let answer = match (words.as_slice(), id) {
        (["api", "whoami-v2"], _) => info::whoami(state, token),
        (["api", "models" | "datasets" | "spaces", rest @ ..], Some(id)) => {
            let rest = &rest[type_and_name(&id).1.split('/').count()..];
            match rest {
                [] => info::model(state, &id, "main", request),
                ["revision", revision] => info::model(state, &id, revision, request),
                ["refs"] => info::refs(state, &id, request),
                ["tree", revision, folder @ ..] => {
                    tree::listing(state, &id, revision, &folder.join("/"), request)
                }
                ["paths-info", revision] => tree::paths_info(state, &id, revision, request),
                _ => not_found(),
            }
        }
        (
            [
                "api",
                "resolve-cache",
                "models" | "datasets" | "spaces",
                rest @ ..,
            ],
            Some(id),
        ) => match &rest[type_and_name(&id).1.split('/').count()..] {
            [commit, path @ ..] => resolve::cached(state, &id, commit, &path.join("/"), request),
            [] => not_found(),
        },
        (["api", ..], _) => not_found(),
        (_, Some(id)) => match &words[id.split('/').count()..] {
            ["resolve", revision, path @ ..] => {
                resolve::resolve(state, &id, revision, &path.join("/"), request)
            }
            _ => not_found(),
        },
        _ => not_found(),
    };
    let mut answer = answer;
    if answer.status == 401 && !state.settings().code_on_401 {
        answer.set("X-Error-Code", None);
    }
    answer
        .with("RateLimit-Policy", "\"fixed window\";\"api\";q=500;w=300")
        .with("RateLimit", "\"api\";r=499;t=300")
}

fn not_found() -> Answer {
    Answer::error(
        404,
        None,
        "Sorry, we can't find the page you are looking for.",
    )
}

/// The repository that a path at the hub speaks of; one with a namespace has two parts, and its type before it.
fn repo_of(words: &[&str]) -> Option<String> {
    const TAILS: [&str; 6] = [
        "resolve",
        "revision",
        "tree",
        "refs",
        "paths-info",
        "xet-read-token",
    ];
    let (kind, rest, bare) = match words {
        ["api", kind @ ("models" | "datasets" | "spaces"), rest @ ..] => (*kind, rest, true),
        ["api", "resolve-cache", kind, rest @ ..] | [kind @ ("datasets" | "spaces"), rest @ ..] => {
            (*kind, rest, false)
        }
        ["api", ..] => return None,
        rest => ("models", rest, false),
    };
    let is_tail = |word: &&str| {
        TAILS.contains(word)
            || (words.get(1) == Some(&"resolve-cache")
                && word.len() == 40
                && word.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let id = match rest {
        [name, tail, ..] if is_tail(tail) => Some((*name).to_owned()),
        [owner, name, tail, ..] if is_tail(tail) => Some(format!("{owner}/{name}")),
        [name] if bare => Some((*name).to_owned()),
        [owner, name] if bare => Some(format!("{owner}/{name}")),
        _ => None,
    };
    match kind {
        "models" => id,
        _ => id.map(|id| format!("{kind}/{id}")),
    }
}

/// `repository/file` of a request, if it means a file.
fn object(state: &State, place: Place, request: &Request) -> Option<String> {
    if place == Place::Cdn {
        return cdn::object(state, request).map(|(name, _)| name);
    }
    let parts = request.parts();
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    let id = repo_of(&words)?;
    let width = id.split('/').count();
    let path = match words.as_slice() {
        ["api", "resolve-cache", _, rest @ ..] => {
            rest.get(type_and_name(&id).1.split('/').count() + 1..)?
        }
        ["api", ..] => return None,
        rest if rest.get(width) == Some(&"resolve") => rest.get(width + 2..)?,
        _ => return None,
    };
    Some(format!("{id}/{}", path.join("/")))
}
