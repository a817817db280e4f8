//! Lookup: what counts as present, in caches that others made and broke.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;
use crate::domain::{RemoteFile, Revision};

#[test]
fn a_snapshot_shows_only_files_that_can_be_read() {
    let place = Place::new();
    let files = [place.blob("a", b"one"), place.blob("sub/b", b"three")];
    assert!(
        place
            .cache
            .lookup(&place.repo, &Revision::main())
            .unwrap()
            .is_none()
    );
    place.publish(&files).unwrap();
    let dir = place.cache.snapshot_dir(&place.repo, &place.commit);
    fs::write(dir.join("plain"), "plain").unwrap();
    symlink("../../blobs/absent", dir.join("dangling")).unwrap();
    symlink("loop2", dir.join("loop1")).unwrap();
    symlink("loop1", dir.join("loop2")).unwrap();
    symlink(".", dir.join("endless")).unwrap();
    symlink("../..", dir.join("up")).unwrap();
    fs::write(dir.join("back\\slash"), "x").unwrap();

    assert!(
        place
            .cache
            .lookup(&place.repo, &Revision::main())
            .unwrap()
            .is_none(),
        "no ref yet"
    );
    place
        .cache
        .write_ref(&place.repo, &Revision::main(), &place.commit)
        .unwrap();
    let snapshot = place
        .cache
        .lookup(&place.repo, &Revision::main())
        .unwrap()
        .unwrap();
    assert_eq!((&snapshot.commit, &snapshot.dir), (&place.commit, &dir));
    let shown: Vec<(&str, u64, Option<&Digest>)> = snapshot
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.size, file.digest.as_ref()))
        .collect();
    let expected = [
        ("a", 3, Some(&files[0].digest)),
        ("plain", 5, None),
        ("sub/b", 5, Some(&files[1].digest)),
    ];
    assert_eq!(shown, expected);
    let by_commit: Revision = place.commit.as_str().parse().unwrap();
    assert_eq!(
        place.cache.lookup(&place.repo, &by_commit).unwrap(),
        Some(snapshot)
    );
}

#[test]
fn a_blob_counts_through_a_shared_store_but_only_with_its_length() {
    let place = Place::new();
    let file = place.blob("f", b"payload");
    let blob = place.cache.blob_path(&place.repo, &file.digest);
    let store = place.cache.root().join("blobs/ab");
    fs::create_dir_all(&store).unwrap();
    fs::copy(&blob, store.join("abcd")).unwrap();
    fs::remove_file(&blob).unwrap();
    symlink("../../blobs/ab/abcd", &blob).unwrap();
    assert!(place.cache.find_blob(&place.repo, &file.digest, 7));
    assert!(!place.cache.find_blob(&place.repo, &file.digest, 8));
    place.publish(std::slice::from_ref(&file)).unwrap();
    let snapshot = place
        .cache
        .snapshot(&place.repo, &place.commit)
        .unwrap()
        .unwrap();
    assert_eq!(snapshot.sizes(), [(file.path.clone(), 7)]);
    // Without links the shared payload is copied, never moved.
    let other: CommitHash = "e".repeat(40).parse().unwrap();
    let plain = place.cache.clone().without_links();
    plain
        .publish_snapshot(&place.repo, &other, std::slice::from_ref(&file))
        .unwrap();
    assert_eq!(fs::read(store.join("abcd")).unwrap(), b"payload");

    fs::remove_file(store.join("abcd")).unwrap();
    assert!(!place.cache.find_blob(&place.repo, &file.digest, 7));
    let snapshot = place
        .cache
        .snapshot(&place.repo, &place.commit)
        .unwrap()
        .unwrap();
    assert!(snapshot.files.is_empty());
    fs::create_dir(store.join("abcd")).unwrap();
    assert!(!place.cache.find_blob(&place.repo, &file.digest, 7));
}

#[test]
fn a_ref_that_is_no_commit_is_no_ref() {
    let place = Place::new();
    let refs = place.cache.repo_dir(&place.repo).join("refs");
    fs::create_dir_all(&refs).unwrap();
    let read = || {
        place
            .cache
            .read_ref(&place.repo, &Revision::main())
            .unwrap()
    };
    assert_eq!(read(), None);
    for (content, good) in [
        (place.commit.to_string(), true),
        (format!("{}\n", place.commit), true),
        (String::new(), false),
        ("../../../etc".to_owned(), false),
        (format!("{} {}", place.commit, place.commit), false),
        ("0".repeat(10_000), false),
    ] {
        fs::write(refs.join("main"), &content).unwrap();
        assert_eq!(read().is_some(), good, "{content:.80}");
    }
    fs::write(refs.join("main"), b"\xff\xfe").unwrap();
    assert_eq!(read(), None);
    fs::remove_file(refs.join("main")).unwrap();
    symlink("main", refs.join("main")).unwrap();
    assert!(
        place
            .cache
            .read_ref(&place.repo, &Revision::main())
            .is_err()
    );
}

fn listing() -> Vec<RemoteFile> {
    vec![
        RemoteFile {
            path: RepoPath::parse("config.json").unwrap(),
            size: 2,
            digest: Digest::parse(&"1".repeat(40)).unwrap(),
            git_oid: "1".repeat(40),
            xet_hash: None,
        },
        RemoteFile {
            path: RepoPath::parse("sub/w.bin").unwrap(),
            size: 9_000_000_000,
            digest: Digest::parse(&"2".repeat(64)).unwrap(),
            git_oid: "3".repeat(40),
            xet_hash: Some("4".repeat(64)),
        },
    ]
}

#[test]
fn a_listing_reads_back_and_is_the_text_that_python_writes() {
    let place = Place::new();
    let files = listing();
    place
        .cache
        .write_tree(&place.repo, &place.commit, &files)
        .unwrap();
    let read = place.cache.read_tree(&place.repo, &place.commit).unwrap();
    assert_eq!(read.as_ref(), Some(&files));
    let path = place.cache.tree_path(&place.repo, &place.commit);
    let program = "import json, sys\n\
        text = open(sys.argv[1]).read()\n\
        sys.stdout.write(json.dumps(json.loads(text), indent=1, sort_keys=True))";
    let python = Command::new("python3")
        .args(["-c", program])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(python.stdout).unwrap(),
        fs::read_to_string(&path).unwrap()
    );
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"format_version\": 1") && text.contains("\"lfs_size\": 9000000000"));
}

#[test]
fn a_listing_that_is_not_understood_counts_as_absent() {
    let place = Place::new();
    assert_eq!(
        place.cache.read_tree(&place.repo, &place.commit).unwrap(),
        None
    );
    place
        .cache
        .write_tree(&place.repo, &place.commit, &listing())
        .unwrap();
    let path = place.cache.tree_path(&place.repo, &place.commit);
    let good = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"format_version\": 1", "\"format_version\": 2"),
        ("config.json", "../config.json"),
        ("config.json", "/etc/passwd"),
        (&"4".repeat(64), "44"),
        (&"2".repeat(64), "../../x"),
        ("\"size\": 2", "\"size\": -2"),
        ("{", ""),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        fs::write(&path, bad).unwrap();
        assert_eq!(
            place.cache.read_tree(&place.repo, &place.commit).unwrap(),
            None,
            "{to}"
        );
    }
    // One odd hash from the hub does not make Python ignore what we write.
    let mut files = listing();
    files[1].xet_hash = Some("odd".to_owned());
    place
        .cache
        .write_tree(&place.repo, &place.commit, &files)
        .unwrap();
    let read = place
        .cache
        .read_tree(&place.repo, &place.commit)
        .unwrap()
        .unwrap();
    assert_eq!(read[1].xet_hash, None);
}

#[test]
fn an_index_names_its_shards_beside_it() {
    let place = Place::new();
    let index = RepoPath::parse("unet/model.safetensors.index.json").unwrap();
    let at = place.pointer(index.as_str());
    let read = || place.cache.read_shards(&place.repo, &place.commit, &index);
    assert!(matches!(read(), Ok(None)));
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(
        &at,
        r#"{"metadata":{},"weight_map":{"a":"m-2","b":"m-1","c":"m-2"}}"#,
    )
    .unwrap();
    let shards: Vec<String> = read()
        .unwrap()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shards, ["unet/m-1", "unet/m-2"]);
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"weight_map":{}}"#,
        r#"{"weight_map":{"a":"../../x"}}"#,
    ] {
        fs::write(&at, bad).unwrap();
        assert!(matches!(read(), Err(CacheError::Malformed { .. })), "{bad}");
    }
}
