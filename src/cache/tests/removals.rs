//! Removals: what goes, what stays, and what a crash in the middle leaves.

use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;
use crate::domain::{CacheTarget, Revision};

/// Two commits that share a blob; the second one is `main`.
fn two_commits() -> (Place, CommitHash) {
    let mut place = Place::new();
    let shared = place.blob("shared.bin", b"shared");
    let old = [shared.clone(), place.blob("a", b"old")];
    place.publish(&old).unwrap();
    let first = place.commit.clone();
    place.commit = "f".repeat(40).parse().unwrap();
    let new = [shared, place.blob("a", b"newer")];
    place.publish(&new).unwrap();
    let main = Revision::main();
    place
        .cache
        .write_ref(&place.repo, &main, &place.commit)
        .unwrap();
    let tag: Revision = "refs/pr/1".parse().unwrap();
    place.cache.write_ref(&place.repo, &tag, &first).unwrap();
    (place, first)
}

fn target(text: &str) -> [CacheTarget; 1] {
    [text.parse().unwrap()]
}

fn trash(place: &Place) -> Vec<String> {
    let mut found = names(&place.cache.root().join(".locks"));
    found.retain(|name| name.contains(".trash"));
    found
}

#[test]
fn a_revision_goes_by_its_ref_and_leaves_what_is_shared() {
    let (place, first) = two_commits();
    let plan = place
        .cache
        .plan_removal(&target("org/name@refs/pr/1"))
        .unwrap();
    assert_eq!(plan.removal.freed_size, 3);
    assert_eq!(plan.removal.revisions[0].commit, first.as_str());
    let before = names(&place.cache.repo_dir(&place.repo).join("snapshots"));
    assert_eq!(before.len(), 2, "a plan changes nothing");
    let moved = place.cache.begin_removal(&plan).unwrap();
    let main = Revision::main();
    let left = place.cache.lookup(&place.repo, &main).unwrap().unwrap();
    assert_eq!(left.files.len(), 2);
    assert!(place.cache.snapshot(&place.repo, &first).unwrap().is_none());
    assert_eq!(
        place
            .cache
            .read_ref(&place.repo, &"refs/pr/1".parse().unwrap())
            .unwrap(),
        None
    );
    assert_eq!(place.blobs().len(), 2);
    assert_eq!(trash(&place).len(), 1);
    place.cache.finish_removal(&moved).unwrap();
    assert_eq!(trash(&place), [""; 0]);
}

#[test]
fn a_removal_that_dies_in_the_middle_is_finished_by_the_housework() {
    let (place, first) = two_commits();
    let plan = place.cache.plan_removal(&target(first.as_str())).unwrap();
    drop(place.cache.begin_removal(&plan).unwrap());
    let clock = crate::clock::SystemClock::new();
    let now = crate::clock::Clock::now(&clock);
    assert_eq!(
        place.cache.sweep_trash(now).unwrap(),
        0,
        "it may be under way"
    );
    assert_eq!(
        place
            .cache
            .sweep_trash(now + Duration::from_hours(2))
            .unwrap(),
        1
    );
    assert_eq!(trash(&place), [""; 0]);
    let again = place.cache.plan_removal(&target(first.as_str())).unwrap();
    assert!(again.is_empty());
    assert_eq!(again.removal.missing, [first.to_string()]);
}

#[test]
fn a_repository_that_is_only_begun_can_be_removed() {
    let place = Place::new();
    drop(place.part(b"unfinished"));
    let plan = place.cache.plan_removal(&target("org/name")).unwrap();
    assert!(!plan.is_empty() && plan.removal.freed_size > 0);
    let moved = place.cache.begin_removal(&plan).unwrap();
    place.cache.finish_removal(&moved).unwrap();
    assert!(!place.cache.repo_dir(&place.repo).exists());
}

#[test]
fn nothing_goes_through_a_link() {
    let (place, first) = two_commits();
    let outside = tempfile::tempdir().unwrap();
    let snapshots = place.cache.repo_dir(&place.repo).join("snapshots");
    let moved = outside.path().join("snapshots");
    #[expect(clippy::disallowed_methods, reason = "a person moves a folder away")]
    fs::rename(&snapshots, &moved).unwrap();
    symlink(&moved, &snapshots).unwrap();
    let plan = place.cache.plan_removal(&target(first.as_str())).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    let whole = place.cache.plan_removal(&target("org/name")).unwrap();
    let trash = place.cache.begin_removal(&whole).unwrap();
    place.cache.finish_removal(&trash).unwrap();
    assert_eq!(names(&moved).len(), 2, "the link went, not what it led to");

    let repo = place.cache.root().join("models--org--linked");
    symlink(outside.path(), &repo).unwrap();
    assert!(
        place
            .cache
            .plan_removal(&target("org/linked"))
            .unwrap()
            .is_empty()
    );
    let report = place.cache.report().unwrap();
    assert!(
        report.warnings[0].contains("models--org--linked"),
        "{report:?}"
    );
}

#[test]
fn a_broken_repository_is_reported_and_can_be_removed() {
    let (place, first) = two_commits();
    let blob = place.cache.blob_path(&place.repo, &digest(b"old"));
    fs::remove_file(blob).unwrap();
    let refs = place.cache.repo_dir(&place.repo).join("refs");
    fs::write(refs.join("gone"), "0".repeat(40)).unwrap();
    let report = place.cache.report().unwrap();
    assert_eq!(report.warnings.len(), 2, "{report:?}");
    let revisions = &report.repos[0].revisions;
    assert_eq!(revisions.iter().map(|r| r.dangling).sum::<u64>(), 1);
    let plan = place.cache.plan_removal(&target(first.as_str())).unwrap();
    let moved = place.cache.begin_removal(&plan).unwrap();
    place.cache.finish_removal(&moved).unwrap();
    assert_eq!(place.cache.report().unwrap().repos[0].revisions.len(), 1);
}
