//! Taking out what was proven wrong, and nothing else.

use std::os::unix::fs::symlink;

use super::*;

fn wrong(place: &Place, file: &PlannedFile) -> Vec<Identity> {
    let found = place
        .cache
        .suspects(&place.repo, &place.commit, file)
        .unwrap();
    found.into_iter().map(|suspect| suspect.identity).collect()
}

fn discard(place: &Place, file: &PlannedFile, wrong: &[Identity]) {
    place
        .cache
        .discard_wrong(&place.repo, &place.commit, file, wrong)
        .unwrap();
}

#[test]
fn a_wrong_blob_goes_and_its_pointer_waits_for_the_right_one() {
    let place = Place::new();
    let file = place.blob("sub/a", b"right");
    place.publish(std::slice::from_ref(&file)).unwrap();
    let identities = wrong(&place, &file);
    assert_eq!(identities.len(), 1, "pointer and blob are the same file");
    discard(&place, &file, &identities);
    assert_eq!(place.blobs(), [""; 0]);
    assert!(
        fs::symlink_metadata(place.pointer("sub/a"))
            .unwrap()
            .is_symlink()
    );
    assert!(wrong(&place, &file).is_empty());
}

#[test]
fn what_came_meanwhile_stays() {
    let place = Place::new();
    let file = place.blob("a", b"right");
    place.publish(std::slice::from_ref(&file)).unwrap();
    let identities = wrong(&place, &file);
    let blob = place.cache.blob_path(&place.repo, &file.digest);
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, b"fresh").unwrap();
    discard(&place, &file, &identities);
    assert_eq!(fs::read(&blob).unwrap(), b"fresh");
}

#[test]
fn a_plain_file_of_the_snapshot_goes_itself_and_a_link_without_its_target() {
    let place = Place::new();
    let (plain, linked) = (place.blob("plain", b"one"), place.blob("linked", b"three"));
    place.publish(&[plain.clone(), linked.clone()]).unwrap();
    let outside = tempfile::tempdir().unwrap();
    let elsewhere = outside.path().join("x");
    fs::write(&elsewhere, b"wrong").unwrap();
    for (path, file) in [("plain", &plain), ("linked", &linked)] {
        fs::remove_file(place.pointer(path)).unwrap();
        if path == "plain" {
            fs::write(place.pointer(path), b"two").unwrap();
        } else {
            symlink(&elsewhere, place.pointer(path)).unwrap();
        }
        let suspects = place
            .cache
            .suspects(&place.repo, &place.commit, file)
            .unwrap();
        assert_eq!(
            suspects.iter().map(|s| s.shown).collect::<Vec<_>>(),
            [true, false]
        );
        discard(&place, file, &[suspects[0].identity]);
        assert!(!place.pointer(path).exists(), "{path}");
    }
    assert_eq!(place.blobs().len(), 2, "the blobs are right");
    assert_eq!(fs::read(&elsewhere).unwrap(), b"wrong");
}

#[test]
fn a_shared_payload_stays_when_its_link_goes() {
    let place = Place::new();
    let file = place.blob("a", b"right");
    place.publish(std::slice::from_ref(&file)).unwrap();
    let payload = place.cache.root().join("payload");
    fs::write(&payload, b"wrong").unwrap();
    let blob = place.cache.blob_path(&place.repo, &file.digest);
    fs::remove_file(&blob).unwrap();
    symlink("../../payload", &blob).unwrap();
    discard(&place, &file, &wrong(&place, &file));
    assert!(fs::symlink_metadata(&blob).is_err());
    assert_eq!(fs::read(&payload).unwrap(), b"wrong");
}
