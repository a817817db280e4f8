//! The listing of a commit, in pages with absolute links, and the facts about chosen paths.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::answer::Answer;
use super::content::Content;
use super::hold;
use super::repo::FileSpec;
use super::request::{Place, Request};
use super::state::State;

/// `/api/models/{id}/tree/{revision}[/{folder}]`.
pub(super) fn listing(
    state: &State,
    id: &str,
    revision: &str,
    folder: &str,
    request: &Request,
) -> Answer {
    let commit = match hold(&state.world).find(id, revision, request.token(), false) {
        Ok((_, commit)) => commit,
        Err(answer) => return answer,
    };
    let flag = |name: &str| {
        request
            .param(name)
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1"))
    };
    let (recursive, expand) = (flag("recursive"), flag("expand"));
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    let mut folders = BTreeSet::new();
    let mut entries = Vec::new();
    for file in &commit.files {
        let Some(rest) = file.path.strip_prefix(&prefix) else {
            continue;
        };
        let mut depths = rest.match_indices('/').map(|(at, _)| &rest[..at]);
        if recursive {
            folders.extend(depths.map(|name| format!("{prefix}{name}")));
        } else if let Some(name) = depths.next() {
            folders.insert(format!("{prefix}{name}"));
            continue;
        }
        entries.push(entry(file, expand));
    }
    if !folder.is_empty() && entries.is_empty() && folders.is_empty() {
        return Answer::error(
            404,
            Some("EntryNotFound"),
            &format!("{folder} does not exist on \"{revision}\""),
        );
    }
    let listed = folders.iter().map(|path| {
        json!({"type": "directory", "oid": Content::bytes(path.clone()).git_sha1(), "size": 0, "path": path})
    });
    let entries: Vec<Value> = listed.chain(entries).collect();
    page(state, request, &entries, expand)
}

fn page(state: &State, request: &Request, entries: &[Value], expand: bool) -> Answer {
    let asked = request.param("limit").and_then(|text| text.parse().ok());
    let most = if expand { 50 } else { 1000 };
    let size = asked.unwrap_or(most).min(state.settings().page_size).max(1);
    let start: usize = request
        .param("cursor")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let end = (start.saturating_add(size)).min(entries.len());
    let here = entries.get(start..end).unwrap_or_default();
    let answer = Answer::json(200, &Value::Array(here.to_vec()));
    if end >= entries.len() {
        return answer;
    }
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(
            url::form_urlencoded::parse(request.query.as_bytes())
                .filter(|(name, _)| name != "cursor"),
        )
        .append_pair("cursor", &end.to_string())
        .finish();
    let host = state.endpoint(Place::Hub);
    answer.with(
        "Link",
        &format!("<{host}{}?{query}>; rel=\"next\"", request.path),
    )
}

/// `POST /api/models/{id}/paths-info/{revision}`.
pub(super) fn paths_info(state: &State, id: &str, revision: &str, request: &Request) -> Answer {
    let commit = match hold(&state.world).find(id, revision, request.token(), false) {
        Ok((_, commit)) => commit,
        Err(answer) => return answer,
    };
    // Clients send a form or JSON.
    let paths: Vec<String> = serde_json::from_slice::<Value>(&request.body).map_or_else(
        |_not_json| {
            url::form_urlencoded::parse(&request.body)
                .filter(|(name, _)| name == "paths")
                .map(|(_, value)| value.into_owned())
                .collect()
        },
        |body| {
            let list = body["paths"].as_array().cloned().unwrap_or_default();
            list.iter()
                .filter_map(|path| path.as_str().map(str::to_owned))
                .collect()
        },
    );
    let entries: Vec<Value> = commit
        .files
        .iter()
        .filter(|file| paths.contains(&file.path))
        .map(|file| entry(file, false))
        .collect();
    Answer::json(200, &Value::Array(entries))
}

fn entry(file: &FileSpec, expand: bool) -> Value {
    let size = file.content.size();
    let mut value = json!({"type": "file", "size": size, "path": file.path});
    if file.lfs {
        let (oid, pointer) = file.content.pointer();
        value["oid"] = oid.into();
        value["lfs"] = json!({"oid": file.content.sha256(), "size": size, "pointerSize": pointer});
    } else {
        value["oid"] = file.etag().into();
    }
    if expand {
        value["lastCommit"] = json!({
            "id": "0000000000000000000000000000000000000000",
            "title": "Practice",
            "date": "2024-03-02T00:00:00.000Z",
        });
        value["securityFileStatus"] = json!({"status": "safe"});
    }
    value
}
