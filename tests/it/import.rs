//! `import`: what is on the machine already is compared and taken in, and only the rest is fetched.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use modelhaul::testing::{PracticeHub, RepoSpec};
use serde_json::Value;

use crate::queue::kit::hub;
use crate::support::Sandbox;

const ID: &str = "me/model";

fn spec() -> RepoSpec {
    RepoSpec::new(ID)
        .file("config.json", "{}\n")
        .file("sub/words.txt", "one\ntwo\n")
        .generated("a.bin", 300_001)
        .generated("b.bin", 300_001)
}

/// What another tool has left: one file at its place, one flat, one that is wrong, and strangers.
fn old_folder(sandbox: &Sandbox, spec: &RepoSpec) -> std::path::PathBuf {
    let folder = sandbox.path("old");
    fs::create_dir_all(folder.join("elsewhere/deep")).unwrap();
    let content = |path: &str| {
        let file = spec.files().iter().find(|file| file.path == path);
        file.unwrap().content.read(0..u64::MAX).unwrap()
    };
    fs::write(folder.join("config.json"), content("config.json")).unwrap();
    fs::write(folder.join("words.txt"), content("sub/words.txt")).unwrap();
    // The right content under another name, and the right name with another content of the same length.
    fs::write(
        folder.join("elsewhere/deep/x.safetensors"),
        content("a.bin"),
    )
    .unwrap();
    let mut wrong = content("b.bin");
    wrong[7] ^= 1;
    fs::write(folder.join("b.bin"), wrong).unwrap();
    fs::write(folder.join("stranger"), "nobody asked for this").unwrap();
    folder
}

fn hub_of(spec: &RepoSpec) -> PracticeHub {
    hub(0, [spec.clone()])
}

#[test]
fn what_is_here_is_not_fetched_and_what_is_wrong_is_not_taken() {
    let spec = spec();
    let hub = hub_of(&spec);
    let sandbox = Sandbox::with(&hub);
    let folder = old_folder(&sandbox, &spec);
    let place = folder.display().to_string();
    let path = sandbox.run(&["import", "-q", &place, ID]).ok();
    let commit = hub.head(ID, "main").unwrap();
    assert!(path.trim_end().ends_with(&commit), "{path}");
    sandbox.assert_snapshot(&spec, &commit);
    let blobs = sandbox.blobs(ID);
    assert_eq!(blobs.len(), spec.files().len(), "{blobs:?}");
    let asked: Vec<String> = hub
        .requests_for("*/resolve/*")
        .into_iter()
        .map(|record| record.path)
        .collect();
    assert!(
        asked.iter().all(|path| path.ends_with("b.bin")),
        "{asked:?}"
    );
    assert!(!asked.is_empty());
    // What lay there is as it was.
    let facts = fs::metadata(folder.join("config.json")).unwrap();
    assert_eq!((facts.nlink(), facts.len()), (1, 3));
    assert!(folder.join("elsewhere/deep/x.safetensors").exists());
}

#[test]
fn without_a_download_the_report_says_what_became_of_each_file() {
    let spec = spec();
    let hub = hub_of(&spec);
    let sandbox = Sandbox::with(&hub);
    let folder = old_folder(&sandbox, &spec);
    let place = folder.display().to_string();
    let arguments = ["import", &place, ID, "--no-download", "--format", "json"];
    let outcomes = |text: &str| -> Vec<(String, String)> {
        let report: Value = serde_json::from_str(text).unwrap();
        let files = report["files"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let one = |file: &Value| (text(&file["path"]), text(&file["outcome"]));
        files.iter().map(one).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        pairs.iter().map(own).collect()
    };
    let first = outcomes(&sandbox.run(&arguments).ok());
    let expected = [
        ("a.bin", "taken"),
        ("b.bin", "different"),
        ("config.json", "taken"),
        ("sub/words.txt", "taken"),
    ];
    assert_eq!(first, pairs(&expected));
    assert!(hub.requests_for("*/resolve/*").is_empty());
    let second = outcomes(&sandbox.run(&arguments).ok());
    let expected = [
        ("a.bin", "was_here"),
        ("b.bin", "different"),
        ("config.json", "was_here"),
        ("sub/words.txt", "was_here"),
    ];
    assert_eq!(second, pairs(&expected));
    let left: Vec<String> = sandbox
        .blobs(ID)
        .into_iter()
        .filter(|name| name.contains('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_hard_link_needs_no_room_and_a_wrong_place_is_said() {
    let spec = spec();
    let hub = hub_of(&spec);
    let sandbox = Sandbox::with(&hub);
    let folder = old_folder(&sandbox, &spec);
    // A link to a file counts as the file that it leads to, and what cannot be read is in nobody's way.
    let linked = folder.join("elsewhere/deep/x.safetensors");
    fs::copy(&linked, sandbox.path("moved")).unwrap();
    fs::remove_file(&linked).unwrap();
    std::os::unix::fs::symlink(sandbox.path("moved"), &linked).unwrap();
    std::os::unix::fs::symlink(sandbox.path("hf"), folder.join("aside")).unwrap();
    let place = folder.display().to_string();
    sandbox
        .run(&["import", "-q", &place, ID, "--hard-link"])
        .ok();
    sandbox.assert_snapshot(&spec, &hub.head(ID, "main").unwrap());
    let there = fs::metadata(sandbox.path("moved")).unwrap();
    assert_eq!(there.nlink(), 2);
    for name in sandbox.blobs(ID) {
        let blob = fs::symlink_metadata(sandbox.repo_folder(ID).join("blobs").join(&name));
        assert!(blob.unwrap().is_file(), "{name} is no file of its own");
    }
    let nowhere = sandbox.run(&["import", "/nowhere/at/all", ID]);
    assert_eq!(nowhere.code, Some(2), "{nowhere:#?}");
    assert!(
        nowhere.stderr.contains("nothing at /nowhere/at/all"),
        "{nowhere:#?}"
    );
}
