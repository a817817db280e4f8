//! Parts: made, opened, adopted, swept.

use std::collections::HashSet;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use chrono::{TimeDelta, Utc};

use super::*;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::RangeSet;

#[test]
fn a_part_is_opened_only_if_it_is_a_file_of_its_own() {
    let place = Place::new();
    let name = place.part(b"content");
    let path = place.cache.part_path(&place.repo, &name);
    let opened = place.cache.open_part(&place.repo, &name).unwrap().unwrap();
    assert_eq!(opened.metadata().unwrap().len(), 7, "it is not emptied");
    assert!(place.cache.create_part_as(&place.repo, &name).is_err());

    let refused = || {
        let result = place.cache.open_part(&place.repo, &name);
        assert!(
            matches!(result, Err(CacheError::Foreign { .. })),
            "{result:?}"
        );
    };
    let second = path.with_extension("second");
    fs::hard_link(&path, &second).unwrap();
    refused();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&second, &path).unwrap();
    refused();
    assert!(place.cache.delete_part(&place.repo, &name).unwrap());
    assert_eq!(
        fs::read(&second).unwrap(),
        b"content",
        "the link went, its target stays"
    );
    fs::create_dir(&path).unwrap();
    refused();
    fs::remove_dir(&path).unwrap();
    assert!(place.cache.open_part(&place.repo, &name).unwrap().is_none());
    assert!(!place.cache.delete_part(&place.repo, &name).unwrap());
}

#[test]
fn an_adopted_part_is_out_of_reach_of_its_former_writer() {
    let place = Place::new();
    let content: Vec<u8> = (0..100_u8).collect();
    let old = place.part(&content);
    let former = place.cache.open_part(&place.repo, &old).unwrap().unwrap();
    let new = PartName::fresh(old.digest());
    let wanted: RangeSet = [0..10, 50..60, 95..200].into_iter().collect();
    let adopted = place
        .cache
        .adopt_part(&place.repo, &old, &new, &wanted)
        .unwrap();
    let (file, copied) = adopted.unwrap();
    assert_eq!(copied.to_string(), "0-10,50-60,95-100");
    former.write_all_at(&[0xff; 100], 0).unwrap();
    for range in copied.iter() {
        let (start, end) = (
            usize::try_from(range.start).unwrap(),
            usize::try_from(range.end).unwrap(),
        );
        let mut got = vec![0; end - start];
        file.read_exact_at(&mut got, range.start).unwrap();
        assert_eq!(got, content[start..end]);
    }
    assert_eq!(
        place.cache.list_parts(&place.repo).unwrap().len(),
        2,
        "the owner deletes the old one"
    );
    place.cache.delete_part(&place.repo, &old).unwrap();
    let gone = place
        .cache
        .adopt_part(&place.repo, &old, &PartName::fresh(old.digest()), &wanted);
    assert!(gone.unwrap().is_none());
    assert_eq!(place.cache.list_parts(&place.repo).unwrap().len(), 1);
}

#[test]
fn a_sweep_takes_only_old_parts_that_nobody_names_or_locks() {
    let place = Place::new();
    let kept = place.part(b"kept");
    let locked = place.part(b"locked");
    let orphan = place.part(b"orphan");
    let blob = place.blob("f", b"blob");
    let dir = place.cache.blobs_dir(&place.repo);
    for foreign in ["tmp_0123", "x.incomplete", "0123abcd.tmp", "notes.part"] {
        fs::write(dir.join(foreign), "x").unwrap();
    }
    let _lock = place
        .cache
        .try_lock(&place.repo, locked.digest())
        .unwrap()
        .unwrap();
    let keep = HashSet::from([kept.clone()]);
    let now = SystemClock::new().now();
    let sweep = |now: chrono::DateTime<Utc>| {
        let age = Duration::from_hours(1);
        place
            .cache
            .sweep_parts(&place.repo, &keep, age, now)
            .unwrap()
    };
    assert_eq!(sweep(now), Swept::default(), "all of it is young");
    let later = now + TimeDelta::hours(2);
    let swept = sweep(later);
    assert_eq!(swept.files, 2);
    assert!(swept.bytes > 0);
    let mut left = vec![
        kept.to_string(),
        locked.to_string(),
        blob.digest.to_string(),
        "tmp_0123".to_owned(),
        "x.incomplete".to_owned(),
        "notes.part".to_owned(),
    ];
    left.sort();
    assert_eq!(place.blobs(), left);
    assert!(!left.contains(&orphan.to_string()));
    assert_eq!(place.cache.list_parts(&place.repo).unwrap().len(), 2);
}

#[test]
fn repositories_are_found_by_their_folders() {
    let place = Place::new();
    for folder in [
        "models--org--name",
        "models--gpt2",
        "models--a--b--c",
        "datasets--x--y",
        "others--x--y",
        "blobs",
        ".locks",
    ] {
        fs::create_dir_all(place.cache.root().join(folder)).unwrap();
    }
    fs::write(place.cache.root().join("models--file--x"), "").unwrap();
    let repos: Vec<String> = place
        .cache
        .repos()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(repos, ["datasets/x/y", "gpt2", "org/name"]);
    assert!(Cache::new("/nonexistent/hub").repos().unwrap().is_empty());
}
