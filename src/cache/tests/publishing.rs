//! Publication: whole or not at all, also when two do it at once.

use std::os::unix::fs::{MetadataExt as _, symlink};

use super::*;
use crate::domain::{FailureCode, Revision};

#[test]
fn a_published_model_is_what_python_expects() {
    let place = Place::new();
    let files = [
        place.blob("config.json", b"{}"),
        place.blob("sub/dir/w.bin", b"weights"),
    ];
    place.publish(&files).unwrap();
    place
        .cache
        .write_ref(&place.repo, &Revision::main(), &place.commit)
        .unwrap();
    for (path, up) in [("config.json", "../../"), ("sub/dir/w.bin", "../../../../")] {
        let target = fs::read_link(place.pointer(path)).unwrap();
        let file = files
            .iter()
            .find(|file| file.path.as_str() == path)
            .unwrap();
        assert_eq!(
            target.to_str().unwrap(),
            format!("{up}blobs/{}", file.digest)
        );
    }
    assert_eq!(
        fs::read(place.pointer("sub/dir/w.bin")).unwrap(),
        b"weights"
    );
    let main = place.cache.repo_dir(&place.repo).join("refs/main");
    assert_eq!(fs::read(&main).unwrap(), place.commit.as_str().as_bytes());

    // Again: nothing changes, not even the inodes.
    let before = fs::symlink_metadata(place.pointer("config.json"))
        .unwrap()
        .ino();
    let ref_before = fs::metadata(&main).unwrap().ino();
    place.publish(&files).unwrap();
    place
        .cache
        .write_ref(&place.repo, &Revision::main(), &place.commit)
        .unwrap();
    assert_eq!(
        fs::symlink_metadata(place.pointer("config.json"))
            .unwrap()
            .ino(),
        before
    );
    assert_eq!(fs::metadata(&main).unwrap().ino(), ref_before);
    assert_eq!(
        place.blobs().len(),
        2,
        "no temporary is left: {:?}",
        place.blobs()
    );
}

#[test]
fn a_part_of_another_length_or_with_a_second_name_is_no_blob() {
    let place = Place::new();
    let part = place.part(b"short");
    let digest = part.digest().clone();
    let result = place.cache.publish_blob(&place.repo, &part, &digest, 6);
    assert!(
        matches!(
            result,
            Err(CacheError::WrongLength {
                expected: 6,
                got: 5,
                ..
            })
        ),
        "{result:?}"
    );
    let path = place.cache.part_path(&place.repo, &part);
    fs::hard_link(&path, path.with_extension("second")).unwrap();
    assert!(
        place
            .cache
            .publish_blob(&place.repo, &part, &digest, 5)
            .is_err()
    );
    assert!(!place.cache.blob_path(&place.repo, &digest).exists());
    let absent = PartName::fresh(&digest);
    assert!(
        place
            .cache
            .publish_blob(&place.repo, &absent, &digest, 5)
            .is_err()
    );
}

#[test]
fn a_good_blob_stays_and_a_damaged_one_is_replaced() {
    let place = Place::new();
    let file = place.blob("f", b"good");
    let path = place.cache.blob_path(&place.repo, &file.digest);
    let inode = fs::metadata(&path).unwrap().ino();
    let again = place.part(b"good");
    let published = place
        .cache
        .publish_blob(&place.repo, &again, &file.digest, 4)
        .unwrap();
    assert_eq!(published, Published::AlreadyThere);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(place.blobs().len(), 1, "the part is gone");

    fs::write(&path, "cut").unwrap();
    let again = place.part(b"good");
    let published = place
        .cache
        .publish_blob(&place.repo, &again, &file.digest, 4)
        .unwrap();
    assert_eq!(published, Published::Placed);
    assert_eq!(fs::read(&path).unwrap(), b"good");

    // A dangling link is replaced itself; nothing appears where it pointed to.
    let victim = place.cache.root().join("victim");
    fs::remove_file(&path).unwrap();
    symlink(&victim, &path).unwrap();
    let again = place.part(b"good");
    place
        .cache
        .publish_blob(&place.repo, &again, &file.digest, 4)
        .unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert!(!victim.exists());
}

#[test]
fn a_snapshot_appears_whole_or_not_at_all() {
    let place = Place::new();
    let here = place.blob("a", b"here");
    let absent = planned("b", b"absent");
    let result = place.publish(&[here.clone(), absent]);
    assert!(
        matches!(result, Err(CacheError::BlobMissing { .. })),
        "{result:?}"
    );
    assert!(
        !place
            .cache
            .snapshot_dir(&place.repo, &place.commit)
            .exists()
    );

    for (one, other) in [("a", "a/b"), ("x/y", "x/y/z/w"), ("same", "same")] {
        let clash = [planned(one, b"here"), planned(other, b"here")];
        let error = place.publish(&clash).unwrap_err();
        assert_eq!(
            error.failure().code,
            FailureCode::UnsafePath,
            "{one} {other}"
        );
    }
    assert!(
        !place
            .cache
            .snapshot_dir(&place.repo, &place.commit)
            .exists()
    );
}

#[test]
fn a_publication_that_died_half_way_is_finished_by_the_next() {
    let place = Place::new();
    let files = [place.blob("a", b"one"), place.blob("sub/b", b"two")];
    // What a kill leaves: a pointer, a temporary link, a folder without a file.
    place.publish(&files[..1]).unwrap();
    fs::create_dir_all(place.pointer("sub")).unwrap();
    let leftover = place.cache.blobs_dir(&place.repo).join("0123abcd.tmp");
    symlink("../../blobs/x", &leftover).unwrap();
    place.publish(&files).unwrap();
    assert_eq!(fs::read(place.pointer("sub/b")).unwrap(), b"two");
}

#[test]
fn a_blob_that_was_proven_wrong_is_discarded_by_name_only() {
    let place = Place::new();
    let file = place.blob("f", b"wrong");
    let blob = place.cache.blob_path(&place.repo, &file.digest);
    let store = place.cache.root().join("payload");
    fs::copy(&blob, &store).unwrap();
    fs::remove_file(&blob).unwrap();
    symlink(&store, &blob).unwrap();
    place.publish(std::slice::from_ref(&file)).unwrap();
    let open = || {
        place
            .cache
            .open_file(&place.repo, &place.commit, &file.path)
            .unwrap()
    };
    assert_eq!(open().unwrap().metadata().unwrap().len(), 5);
    assert!(place.cache.discard_blob(&place.repo, &file.digest).unwrap());
    assert!(!place.cache.discard_blob(&place.repo, &file.digest).unwrap());
    assert!(store.exists());
    assert!(open().is_none());
}

#[test]
fn whatever_lies_in_the_place_of_a_pointer_is_never_followed() {
    let place = Place::new();
    let file = place.blob("dir/f", b"content");
    let victim = place.cache.root().join("victim");
    fs::write(&victim, "untouched").unwrap();
    fs::create_dir_all(place.pointer("dir")).unwrap();
    symlink(&victim, place.pointer("dir/f")).unwrap();
    place.publish(std::slice::from_ref(&file)).unwrap();
    assert_eq!(fs::read(place.pointer("dir/f")).unwrap(), b"content");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");

    // A linked folder is refused.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::remove_dir_all(place.pointer("dir")).unwrap();
    symlink(elsewhere.path(), place.pointer("dir")).unwrap();
    assert!(matches!(
        place.publish(&[file]),
        Err(CacheError::Foreign { .. })
    ));
    assert_eq!(names(elsewhere.path()), [""; 0]);
}

#[test]
fn two_who_publish_the_same_at_once_both_succeed() {
    let place = Place::new();
    let contents: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 1000]).collect();
    let files: Vec<PlannedFile> = contents
        .iter()
        .enumerate()
        .map(|(n, content)| planned(&format!("d{}/f{n}", n % 3), content))
        .collect();
    let barrier = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let parts: Vec<PartName> = contents.iter().map(|c| place.part(c)).collect();
                barrier.wait();
                for (file, part) in files.iter().zip(&parts) {
                    place
                        .cache
                        .publish_blob(&place.repo, part, &file.digest, file.size)
                        .unwrap();
                }
                place.publish(&files).unwrap();
                place
                    .cache
                    .write_ref(&place.repo, &Revision::main(), &place.commit)
                    .unwrap();
            });
        }
    });
    for (file, content) in files.iter().zip(&contents) {
        assert_eq!(
            &fs::read(place.pointer(file.path.as_str())).unwrap(),
            content
        );
    }
    assert_eq!(
        place.blobs().len(),
        20,
        "neither parts nor temporaries are left"
    );
    assert_eq!(
        names(&place.cache.repo_dir(&place.repo).join("refs")),
        ["main"]
    );
}

#[test]
fn without_links_the_snapshot_holds_the_files() {
    let mut place = Place::new();
    place.cache = place.cache.clone().without_links();
    let files = [
        place.blob("a", b"shared"),
        planned("sub/b", b"shared"),
        place.blob("c", b"own"),
    ];
    for _ in 0..2 {
        place.publish(&files).unwrap();
        for (path, content) in [("a", "shared"), ("sub/b", "shared"), ("c", "own")] {
            let at = place.pointer(path);
            assert!(fs::symlink_metadata(&at).unwrap().is_file());
            assert_eq!(fs::read_to_string(&at).unwrap(), content);
        }
    }
    // Another program moved the blobs away, as Python does here: the files themselves are enough.
    for file in &files {
        let _gone = fs::remove_file(place.cache.blob_path(&place.repo, &file.digest));
    }
    place.publish(&files).unwrap();
    place.cache.links = true;
    place.publish(&files).unwrap();
    assert!(
        files
            .iter()
            .all(|file| place.cache.shows_file(&place.repo, &place.commit, file))
    );
}

#[test]
fn a_ref_is_exactly_its_commit_and_moves_by_a_rename() {
    let place = Place::new();
    let write = |revision: &str, commit: &CommitHash| {
        place
            .cache
            .write_ref(&place.repo, &revision.parse().unwrap(), commit)
    };
    let other: CommitHash = "f".repeat(40).parse().unwrap();
    write("feature/x", &place.commit).unwrap();
    write("feature/x", &other).unwrap();
    let refs = place.cache.repo_dir(&place.repo).join("refs");
    assert_eq!(
        fs::read(refs.join("feature/x")).unwrap(),
        other.as_str().as_bytes()
    );
    // A line break that somebody added is taken out.
    fs::write(refs.join("feature/x"), format!("{other}\n")).unwrap();
    write("feature/x", &other).unwrap();
    assert_eq!(fs::read(refs.join("feature/x")).unwrap().len(), 40);
    // A link is replaced, not written through.
    let victim = place.cache.root().join("victim");
    fs::write(&victim, "untouched").unwrap();
    symlink(&victim, refs.join("v1")).unwrap();
    write("v1", &other).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(
        fs::read(refs.join("v1")).unwrap(),
        other.as_str().as_bytes()
    );
    // A branch cannot be file and folder; the error says where.
    let error = write("feature", &other).unwrap_err();
    assert!(error.to_string().contains("refs/feature"), "{error}");
    assert!(write("v1/deeper", &other).is_err());
    // A full commit needs none.
    write(place.commit.as_str(), &place.commit).unwrap();
    assert_eq!(names(&refs), ["feature", "v1"]);
    assert_eq!(place.blobs(), [""; 0]);
}
