//! Plans: what a download would do, what of it is here, and what counts as complete.

mod choice;
mod promotion;
mod scale;
mod templates;

use std::fs;
use std::os::unix::fs::symlink;

use modelhaul::testing::{PracticeHub, RepoSpec};
use serde_json::{Value, json};

use crate::support::{Sandbox, Service};
use crate::world::WDV3;

/// Registers the tagger under `wd`.
#[track_caller]
fn register_wd(service: &Service) -> Value {
    let body = json!({"model_id": "wd", "kind": "caption", "repo_id": WDV3, "template": "wdv3"});
    service.register(&body).ok()
}

/// Asks for the plan of a model.
fn plan(service: &Service, model_id: &str) -> crate::support::Reply {
    let path = format!("/api/v1/models/{model_id}/plan");
    service.http().post(&path, None)
}

/// The paths of a plan in a state.
fn paths_in(plan: &Value, state: &str) -> Vec<String> {
    let files = plan["files"].as_array().unwrap().iter();
    files
        .filter(|file| file["state"] == state)
        .map(|file| file["path"].as_str().unwrap().to_owned())
        .collect()
}

/// Puts files of a repository into the cache as Python does: blobs, relative links, and the ref.
fn as_python(sandbox: &Sandbox, spec: &RepoSpec, commit: &str, paths: &[&str]) {
    let folder = sandbox.repo_folder(spec.id());
    fs::create_dir_all(folder.join("blobs")).unwrap();
    fs::create_dir_all(folder.join("refs")).unwrap();
    fs::write(folder.join("refs/main"), commit).unwrap();
    for file in spec
        .files()
        .iter()
        .filter(|f| paths.contains(&f.path.as_str()))
    {
        let blob = folder.join("blobs").join(file.etag());
        fs::write(&blob, file.content.read(0..u64::MAX).unwrap()).unwrap();
        let link = folder.join("snapshots").join(commit).join(&file.path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let up = "../".repeat(file.path.matches('/').count() + 2);
        symlink(format!("{up}blobs/{}", file.etag()), link).unwrap();
    }
}

/// Requests for bytes of files; metadata is not among them.
fn files_asked_for(hub: &PracticeHub) -> Vec<String> {
    let mut asked: Vec<String> = hub
        .requests()
        .into_iter()
        .filter(|request| !request.path.starts_with("/api/"))
        .filter_map(|request| request.object)
        .collect();
    asked.sort();
    asked.dedup();
    asked
}

/// Requests for metadata, by path.
fn metadata_asked_for(hub: &PracticeHub) -> Vec<String> {
    let requests = hub.requests().into_iter();
    requests
        .map(|request| request.path)
        .filter(|path| path.starts_with("/api/"))
        .collect()
}
