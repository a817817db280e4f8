//! What the hub says of a repository as a whole: its commit, its flags, its branches and tags.

use serde_json::{Value, json};

use super::answer::Answer;
use super::hold;
use super::repo::{Gate, Repo};
use super::request::Request;
use super::state::State;

/// The user behind a token.
pub(super) fn whoami(state: &State, token: Option<&str>) -> Answer {
    let world = hold(&state.world);
    if token.is_some_and(|token| world.tokens.contains(token)) {
        Answer::json(200, &json!({"type": "user", "name": "practice"}))
    } else {
        Answer::error(401, None, "Invalid username or password.")
    }
}

/// `/api/models/{id}` and `/api/models/{id}/revision/{revision}`.
pub(super) fn model(state: &State, id: &str, revision: &str, request: &Request) -> Answer {
    let (flags, commit) = {
        let world = hold(&state.world);
        match world.find(id, revision, request.token(), false) {
            Ok((repo, commit)) => (flags(repo), commit),
            Err(answer) => return answer,
        }
    };
    let with_blobs = request
        .param("blobs")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let siblings: Vec<Value> = commit
        .files
        .iter()
        .map(|file| {
            let mut entry = json!({"rfilename": file.path});
            if with_blobs {
                entry["size"] = file.content.size().into();
                if file.lfs {
                    let (oid, size) = file.content.pointer();
                    entry["blobId"] = oid.into();
                    entry["lfs"] = json!({
                        "sha256": file.content.sha256(),
                        "size": file.content.size(),
                        "pointerSize": size,
                    });
                } else {
                    entry["blobId"] = file.etag().into();
                }
            }
            entry
        })
        .collect();
    let mut body = json!({
        "_id": "65f000000000000000000000",
        "id": id,
        "modelId": id,
        "author": id.split_once('/').map_or("", |(owner, _)| owner),
        "sha": commit.sha,
        "createdAt": "2024-03-02T00:00:00.000Z",
        "lastModified": "2024-03-02T00:00:00.000Z",
        "downloads": 1,
        "likes": 1,
        "tags": [],
        "siblings": siblings,
    });
    for (name, value) in flags {
        body[name] = value;
    }
    Answer::json(200, &body)
}

fn flags(repo: &Repo) -> [(&'static str, Value); 3] {
    let gated = match repo.gate {
        Gate::None => Value::Bool(false),
        Gate::Auto => "auto".into(),
        Gate::Manual => "manual".into(),
    };
    [
        ("private", repo.private.into()),
        ("gated", gated),
        ("disabled", repo.disabled.into()),
    ]
}

/// `/api/models/{id}/refs`.
pub(super) fn refs(state: &State, id: &str, request: &Request) -> Answer {
    let world = hold(&state.world);
    let repo = match world.admit(id, request.token(), false) {
        Ok(repo) => repo,
        Err(answer) => return answer,
    };
    let entry = |name: &str, reference: String, commit: &str| json!({"name": name, "ref": reference, "targetCommit": commit});
    let (pulls, branches): (Vec<_>, Vec<_>) = repo
        .branches
        .iter()
        .partition(|(name, _)| name.starts_with("refs/pr/"));
    let branches: Vec<Value> = branches
        .iter()
        .map(|(name, commit)| entry(name, format!("refs/heads/{name}"), commit))
        .collect();
    let tags: Vec<Value> = repo
        .tags
        .iter()
        .map(|(name, commit)| entry(name, format!("refs/tags/{name}"), commit))
        .collect();
    let mut body = json!({"branches": branches, "converts": [], "tags": tags});
    if request.param("include_prs").is_some() {
        let pulls: Vec<Value> = pulls
            .iter()
            .map(|(name, commit)| entry(name, (*name).clone(), commit))
            .collect();
        body["pullRequests"] = pulls.into();
    }
    Answer::json(200, &body)
}
