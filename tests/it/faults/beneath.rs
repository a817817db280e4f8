//! Group H, paths: what somebody with write access to the cache has put there, and names that lead out of it. The cases
//! of addresses belong to artifacts outside the hub.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::kit::{Case, Invariants};
use super::scene::{MIB, as_admin, hub, one_big, register};
use crate::support::{Sandbox, Service};

const ID: &str = "me/model";

/// A folder that is not the cache's, with a file in it.
fn precious(sandbox: &Sandbox) -> std::path::PathBuf {
    let folder = sandbox.path("precious");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "not to be touched").unwrap();
    folder
}

#[track_caller]
fn assert_untouched(folder: &Path, what: &str) {
    let names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["file"], "{what}");
    let text = fs::read_to_string(folder.join("file")).unwrap();
    assert_eq!(text, "not to be touched", "{what}");
}

fn ended(service: &Service) -> serde_json::Value {
    service.wait_status(ID, "an end", |status| {
        matches!(status["state"].as_str(), Some("failed" | "completed"))
    })
}

#[test]
fn h127_links_where_the_cache_writes() {
    let case = Case::open(
        "127",
        "links to a foreign file or folder in the place of a blob, a pointer, a ref, a lock, and of each folder of the cache",
    );
    let spec = one_big(ID, MIB);
    let mut seen = Vec::new();
    for what in [
        "blob",
        "pointer",
        "ref",
        "lock",
        "repo",
        "blobs",
        "snapshots",
        "commit",
        "refs",
        "locks",
    ] {
        let hub = hub(0, [spec.clone()]);
        let sandbox = Sandbox::with(&hub);
        let folder = precious(&sandbox);
        let file = folder.join("file");
        let commit = hub.head(ID, "main").unwrap();
        let (repo, locks) = (
            sandbox.repo_folder(ID),
            sandbox.cache().join(".locks/models--me--model"),
        );
        let etag = spec.files().iter().find(|file| file.lfs).unwrap().etag();
        let (at, target) = match what {
            "blob" => (repo.join("blobs").join(etag), &file),
            "pointer" => (
                repo.join("snapshots").join(&commit).join("config.json"),
                &file,
            ),
            "ref" => (repo.join("refs/main"), &file),
            "lock" => (locks.join(format!("{etag}.lock")), &file),
            "repo" => (repo.clone(), &folder),
            "commit" => (repo.join("snapshots").join(&commit), &folder),
            "locks" => (locks, &folder),
            name => (repo.join(name), &folder),
        };
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, &at).unwrap();
        let watched = Invariants::watch(&sandbox);
        let service = sandbox.serve();
        register(&service, ID, ID);
        service.start(ID).ok();
        let end = ended(&service);
        assert_untouched(&folder, what);
        if end["state"] == "failed" {
            let error = &end["error"];
            let named = at.file_name().unwrap().to_str().unwrap();
            assert!(
                error["message"].as_str().unwrap().contains(named),
                "{what}: the path: {error:#}"
            );
            seen.push(format!("{what}: {}", error["code"].as_str().unwrap()));
            fs::remove_file(&at).unwrap();
            assert_eq!(service.start(ID).status, 202, "{what}");
            service.wait_completed(ID);
        } else {
            seen.push(format!("{what}: replaced"));
        }
        sandbox.assert_snapshot(&spec, &commit);
        assert_untouched(&folder, what);
        watched.check(&sandbox, Some(&service));
    }
    case.pass(format_args!(
        "nothing was written through one; {}",
        seen.join(", ")
    ));
}

#[test]
fn h128_names_that_lead_out_of_the_cache() {
    let case = Case::open(
        "128",
        "delete, clear and remove with ids, repositories and revisions that lead out; a repository that is a link",
    );
    let spec = one_big(ID, MIB);
    let hub = hub(0, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let folder = precious(&sandbox);
    let watched = Invariants::watch(&sandbox).allow("precious");
    let service = sandbox.serve();
    register(&service, ID, ID);
    service.start(ID).ok();
    service.wait_completed(ID);
    let away = [
        "..",
        "../precious",
        "..%2Fprecious",
        "%2e%2e%2fprecious",
        "a%2F..%2F..%2Fprecious",
        "models--me--model",
        ".locks",
        "me%2Fmodel%2F..",
        "/precious",
        "me/..",
    ];
    let mut asked = 0;
    for name in away {
        for (method, path) in [
            ("DELETE", format!("/api/v1/models/{name}")),
            (
                "POST",
                format!("/api/model-download/{name}/clear?purge=true"),
            ),
            ("DELETE", format!("/api/v1/cache/{name}/main")),
            ("DELETE", format!("/api/v1/cache/{name}/model/main")),
            ("DELETE", format!("/api/v1/cache/me/{name}/main")),
            ("DELETE", format!("/api/v1/cache/me/model/{name}")),
        ] {
            let reply = as_admin(&sandbox, &service, method, &path, None);
            assert!(
                [400, 404, 405, 422].contains(&reply.status),
                "{method} {path}: {} {}",
                reply.status,
                reply.text()
            );
            asked += 1;
        }
        let revision = format!("{ID}@{name}");
        for arguments in [
            &["cache", "rm", name, "--yes"][..],
            &["cache", "rm", &revision, "--yes"],
            &["cache", "rm", ID, name, "--yes"],
            &["clear", name],
        ] {
            let ran = sandbox.run(arguments);
            assert_ne!(ran.code, Some(0), "{arguments:?}: {ran:#?}");
            asked += 1;
        }
    }
    assert_untouched(&folder, "a name that leads out");
    sandbox.assert_snapshot(&spec, &hub.head(ID, "main").unwrap());

    // A repository whose folder is a link elsewhere, with a cache's layout behind it.
    let linked = sandbox.repo_folder("me/linked");
    let behind = folder.join("file");
    symlink(&folder, &linked).unwrap();
    let ran = sandbox.run(&["cache", "rm", "me/linked", "--yes"]);
    assert!(behind.exists(), "{ran:#?}");
    assert_untouched(&folder, "behind a linked repository");
    if linked.is_symlink() {
        fs::remove_file(&linked).unwrap();
    }
    watched.check(&sandbox, Some(&service));
    case.pass(format_args!(
        "{asked} requests and commands refused; behind a linked repository nothing was touched"
    ));
}

#[test]
fn d86_modes_follow_the_mask_and_secrets_do_not() {
    let case = Case::open(
        "86",
        "umask 000, 027 and 077: modes of blobs, locks, database and token files",
    );
    let spec = one_big(ID, MIB);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (mask, blob, lock) in [
        ("000", 0o666, 0o664),
        ("027", 0o640, 0o640),
        ("077", 0o600, 0o600),
    ] {
        let hub = hub(0, [spec.clone()]);
        let sandbox = Sandbox::with(&hub);
        let watched = Invariants::watch(&sandbox);
        let mut command = sandbox.command("/bin/sh");
        let script = "umask \"$1\"; exec \"$0\" serve --listen 127.0.0.1:0";
        command.args(["-c", script, env!("CARGO_BIN_EXE_modelhaul"), mask]);
        let service = Service::spawn(command, &sandbox.path(""));
        register(&service, ID, ID);
        service.start(ID).ok();
        service.wait_completed(ID);
        let etag = spec.files().iter().find(|file| file.lfs).unwrap().etag();
        let found = mode(&sandbox.repo_folder(ID).join("blobs").join(etag));
        assert_eq!(found, blob, "blob under {mask}: {found:o}");
        let locks = sandbox.cache().join(".locks/models--me--model");
        let found = mode(&locks.join(format!("{etag}.lock")));
        assert_eq!(found, lock, "lock under {mask}: {found:o}");
        for name in [
            "modelhaul.db",
            "modelhaul.db-wal",
            "modelhaul.db-shm",
            "admin-token",
        ] {
            let found = mode(&sandbox.path(name));
            assert_eq!(found, 0o600, "{name} under {mask}: {found:o}");
        }
        watched.check(&sandbox, Some(&service));
    }
    case.pass("blobs 666, 640, 600; locks 664, 640, 600; database and token 600 each time");
}
