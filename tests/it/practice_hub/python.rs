//! The practice hub before real `huggingface_hub`, the current line and the last old one.

use modelhaul::testing::{Gate, HubConfig, Place, PracticeHub, RepoSpec};

use super::{ID, content, spec, start};
use crate::support::{Sandbox, Venv};

const SNAPSHOT: &str = "
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], revision=sys.argv[2]))
";

#[test]
fn python_downloads_a_whole_snapshot_in_pages() {
    for venv in Venv::all() {
        let (hub, _) = start();
        hub.tune(|settings| settings.page_size = 3);
        let sandbox = Sandbox::with(&hub);
        let folder = venv.python(&sandbox, SNAPSHOT, &[ID, "main"]).ok();
        let commit = hub.head(ID, "main").unwrap();
        assert!(folder.trim().ends_with(&commit), "{folder}");
        sandbox.assert_snapshot(&spec(), &commit);
        assert_eq!(sandbox.cached_ref(ID, "main"), Some(commit));
    }
}

#[test]
fn python_gets_one_file_and_never_shows_its_token_to_the_cdn() {
    let script = "
from huggingface_hub import hf_hub_download
print(hf_hub_download('practice/model', 'model.safetensors'))
";
    for venv in Venv::all() {
        let (hub, _) = start();
        hub.add_token("hf_CANARY");
        let sandbox = Sandbox::with(&hub).env("HF_TOKEN", "hf_CANARY");
        venv.python(&sandbox, script, &[]).ok();
        assert_eq!(sandbox.blobs(ID), [content().sha256()]);
        let seen = |place: Place| {
            let requests = hub.requests().into_iter().filter(move |r| r.place == place);
            requests
                .map(|r| r.authorization().is_some())
                .collect::<Vec<_>>()
        };
        assert!(seen(Place::Hub).contains(&true));
        assert!(!seen(Place::Cdn).is_empty() && !seen(Place::Cdn).contains(&true));
    }
}

#[test]
fn python_tells_the_hub_s_errors_apart() {
    let script = "
import sys
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError
for repo, file, revision, expected in [
    ('practice/gated', 'a', 'main', GatedRepoError),
    ('practice/none', 'a', 'main', RepositoryNotFoundError),
    ('practice/model', 'config.json', 'none', RevisionNotFoundError),
    ('practice/model', 'none', 'main', EntryNotFoundError),
]:
    try:
        hf_hub_download(repo, file, revision=revision)
        sys.exit(f'{repo} {file} was downloaded')
    except expected as error:
        # A gated repository is one that is not found, too; the exact class counts.
        assert type(error).__name__.replace('Remote', '') == expected.__name__, type(error)
";
    for venv in Venv::all() {
        let gated = RepoSpec::new("practice/gated")
            .file("a", "a")
            .gated(Gate::Manual);
        let hub = PracticeHub::start(HubConfig::with([spec(), gated])).unwrap();
        venv.python(&Sandbox::with(&hub), script, &[]).ok();
    }
}

#[test]
fn python_follows_a_rename() {
    for venv in Venv::all() {
        let (hub, _) = start();
        let commit = hub.head(ID, "main").unwrap();
        assert!(hub.rename_repo(ID, "practice/renamed"));
        let sandbox = Sandbox::with(&hub);
        venv.python(&sandbox, SNAPSHOT, &[ID, "main"]).ok();
        sandbox.assert_snapshot(&spec(), &commit);
    }
}
