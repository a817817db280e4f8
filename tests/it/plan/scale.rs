//! A repository of ten thousand files: each page is asked for once, and memory stays small.

use modelhaul::testing::{HubConfig, PracticeHub, RepoSpec};
use serde_json::json;

use super::{metadata_asked_for, paths_in, plan};
use crate::support::Sandbox;
use crate::world::quick;

const FILES: usize = 10_000;

#[test]
fn ten_thousand_files_are_listed_page_by_page_once() {
    let spec = (0..FILES).fold(RepoSpec::new("org/many"), |spec, n| {
        spec.file(&format!("f{n:05}.json"), format!("{n}").as_str())
    });
    let hub = PracticeHub::start(HubConfig::with([spec])).unwrap();
    let sandbox = quick(Sandbox::with(&hub));
    let service = sandbox.serve();
    let body = json!({
        "model_id": "many", "kind": "generic", "repo_id": "org/many", "template": "everything",
        "ignore_patterns": ["*7.json"],
    });
    service.register(&body).ok();
    let before = service.rss();
    let told = plan(&service, "many").ok();
    assert_eq!(paths_in(&told, "missing").len(), FILES * 9 / 10);
    assert_eq!(paths_in(&told, "skipped").len(), FILES / 10);
    let grown = service.rss().saturating_sub(before);
    assert!(grown < 96 << 20, "{grown} bytes for {FILES} files");

    let asked = metadata_asked_for(&hub);
    let listings = hub.requests_for("/api/models/org/many/tree/*").len();
    assert_eq!(listings, FILES / 1000, "{asked:?}");
    assert_eq!(
        asked.len(),
        listings + 1,
        "and one question about the revision"
    );
}
