//! Repositories that several tests use, and a sandbox that does not wait long before it tries again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use modelhaul::testing::{HubConfig, PracticeHub, RepoSpec};

use crate::support::Sandbox;

/// A tagger in the shape of the real one.
pub(crate) const WDV3: &str = "SmilingWolf/wd-vit-tagger-v3";
/// A repository with two models in folders, in the shape of the real one.
pub(crate) const JTP2: &str = "RedRocket/JointTaggerProject";
/// The size of the tagger's model.
pub(crate) const MODEL: u64 = 6_000_001;

/// The tagger: an ONNX model, its tags, and the same weights in another format.
pub(crate) fn wdv3() -> RepoSpec {
    RepoSpec::new(WDV3)
        .file(".gitattributes", "*.onnx filter=lfs\n")
        .file("README.md", "# WD ViT Tagger v3\n")
        .file("config.json", "{\"num_classes\": 3}\n")
        .file("selected_tags.csv", "tag_id,name\n1,a\n2,b\n3,c\n")
        .generated("model.onnx", MODEL)
        .generated("model.safetensors", 1_500_001)
}

/// Two models in folders; the second one is what the template `jtp2` means.
pub(crate) fn jtp2() -> RepoSpec {
    RepoSpec::new(JTP2)
        .file("README.md", "# Joint Tagger Project\n")
        .file("JTP_PILOT/tags.json", "{\"a\": 0}")
        .generated("JTP_PILOT/e4.safetensors", 900_001)
        .file("JTP_PILOT2/tags.json", "{\"b\": 0}")
        .generated("JTP_PILOT2/e3.safetensors", 1_200_001)
}

/// A hub with both.
pub(crate) fn hub() -> PracticeHub {
    PracticeHub::start(HubConfig::with([wdv3(), jtp2()])).unwrap()
}

/// A sandbox before this hub, whose pauses between attempts are short.
pub(crate) fn sandbox(hub: &PracticeHub) -> Sandbox {
    quick(Sandbox::with(hub))
}

/// The same sandbox with short pauses between attempts.
pub(crate) fn quick(sandbox: Sandbox) -> Sandbox {
    let folder = sandbox.path("home/.config/modelhaul");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("config.toml"),
        "backoff = '50ms'\nbackoff_max = '1s'\n",
    )
    .unwrap();
    sandbox
}

/// The files of a repository that these patterns name exactly.
pub(crate) fn only(spec: &RepoSpec, paths: &[&str]) -> RepoSpec {
    let files = spec.files().iter();
    files
        .filter(|file| paths.contains(&file.path.as_str()))
        .fold(RepoSpec::new(spec.id()), |spec, file| {
            let content = file.content.clone();
            if file.lfs {
                spec.lfs(&file.path, content)
            } else {
                spec.file(&file.path, content)
            }
        })
}

/// Checks that no unfinished file and no file outside of the known places is left in the sandbox.
#[track_caller]
pub(crate) fn assert_tidy(sandbox: &Sandbox) {
    let root = sandbox.path("");
    for path in walk(&root) {
        let name = path.rsplit('/').next().unwrap();
        let known = path.starts_with("hf/hub/")
            || path.starts_with("home/.config/")
            || path.starts_with("modelhaul.db")
            || path == "admin-token"
            || path.starts_with("serve-");
        assert!(known, "{path} lies outside of the cache");
        let unfinished = [".part", ".incomplete", ".tmp", ".new"]
            .iter()
            .any(|end| name.ends_with(end));
        assert!(!unfinished, "{path} was left behind");
    }
}

/// Every blob under a final name has the length and the digest of a file of these repositories.
#[track_caller]
pub(crate) fn assert_whole(sandbox: &Sandbox, specs: &[&RepoSpec]) {
    for spec in specs {
        for name in sandbox.blobs(spec.id()) {
            if name.contains('.') {
                continue;
            }
            let file = spec.files().iter().find(|file| file.etag() == name);
            let file = file.unwrap_or_else(|| panic!("{name} is no blob of {}", spec.id()));
            let path = sandbox.repo_folder(spec.id()).join("blobs").join(&name);
            let bytes = fs::read(&path).unwrap();
            assert!(
                bytes == file.content.read(0..u64::MAX).unwrap(),
                "{name} under its final name is not {}",
                file.path
            );
        }
    }
}

/// All files and links under a folder, as paths from there; links are not followed.
pub(crate) fn walk(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                let inside = path.strip_prefix(root).unwrap();
                found.insert(inside.to_string_lossy().into_owned());
            }
        }
    }
    found
}
