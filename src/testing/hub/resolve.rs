//! From a file's name to its bytes: regular files here, LFS files by a signed link to the CDN.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::{Digest as _, Sha1};

use super::answer::Answer;
use super::content::hex;
use super::repo::FileSpec;
use super::repo::type_and_name;
use super::request::{Place, Request};
use super::state::State;
use super::{cdn, hold};
use crate::clock::Clock as _;

/// What stays as it is in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// `/{id}/resolve/{revision}/{path}`.
pub(super) fn resolve(
    state: &State,
    id: &str,
    revision: &str,
    path: &str,
    request: &Request,
) -> Answer {
    let (commit, file) = match file(state, id, revision, path, request) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    if file.lfs {
        return to_cdn(state, id, &commit, &file);
    }
    if state.settings().resolve_cache {
        let path = utf8_percent_encode(path, PATH);
        let location = format!(
            "/api/resolve-cache/{}/{}/{commit}/{path}?etag=%22{}%22",
            type_and_name(id).0,
            type_and_name(id).1,
            file.etag()
        );
        return Answer::text(
            307,
            "text/plain; charset=utf-8",
            format!("Temporary Redirect. Redirecting to {location}"),
        )
        .with("Location", &location)
        .with("X-Repo-Commit", &commit);
    }
    bytes(&commit, &file, request)
}

/// `/api/resolve-cache/models/{id}/{commit}/{path}`.
pub(super) fn cached(
    state: &State,
    id: &str,
    commit: &str,
    path: &str,
    request: &Request,
) -> Answer {
    match file(state, id, commit, path, request) {
        Ok((commit, file)) if !file.lfs => bytes(&commit, &file, request),
        Ok(_) => Answer::error(404, Some("EntryNotFound"), "Entry not found"),
        Err(answer) => answer,
    }
}

fn file(
    state: &State,
    id: &str,
    revision: &str,
    path: &str,
    request: &Request,
) -> Result<(String, FileSpec), Answer> {
    let world = hold(&state.world);
    let (_, commit) = world.find(id, revision, request.token(), true)?;
    let file = commit.files.iter().find(|file| file.path == path);
    file.map(|file| (commit.sha.clone(), file.clone()))
        .ok_or_else(|| {
            Answer::error(404, Some("EntryNotFound"), "Entry not found")
                .with("X-Repo-Commit", &commit.sha)
        })
}

fn bytes(commit: &str, file: &FileSpec, request: &Request) -> Answer {
    cdn::ranged(request, &file.content, &format!("\"{}\"", file.etag()))
        .with("X-Repo-Commit", commit)
}

fn to_cdn(state: &State, id: &str, commit: &str, file: &FileSpec) -> Answer {
    let name = format!("{id}/{}", file.path);
    let owner = hex(&Sha1::digest(&name));
    let sha256 = file.content.sha256();
    let path = format!("/xet-bridge-us/{}/{sha256}", &owner[..24]);
    hold(&state.world)
        .objects
        .insert(path.clone(), (name, file.content.clone()));
    let query = state.signer.query(
        &path,
        state.clock.now(),
        state.clock.monotonic(),
        state.settings().signed_ttl_ms,
    );
    let location = format!("{}{path}?{query}", state.endpoint(Place::Cdn));
    Answer::text(
        302,
        "text/plain; charset=utf-8",
        format!("Found. Redirecting to {location}"),
    )
    .with("Location", &location)
    .with("X-Repo-Commit", commit)
    .with("X-Linked-Etag", &format!("\"{sha256}\""))
    .with("X-Linked-Size", &file.content.size().to_string())
    .with("Accept-Ranges", "bytes")
}
