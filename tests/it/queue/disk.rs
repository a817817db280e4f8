//! Full disks, on small file systems in memory; left out where none can be mounted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::kit::{MIB, assert_whole, begin, configure, hub, one_big, registration};
use crate::support::{LONG, Sandbox, holds, wait_for};

const ID: &str = "me/model";

/// A small file system; it goes with the value.
#[derive(Debug)]
pub(crate) struct Small(PathBuf);

impl Small {
    pub(crate) fn mount(path: PathBuf, bytes: u64) -> Option<Self> {
        Self::mount_with(path, &format!("size={bytes}"))
    }

    /// The same with these options of tmpfs.
    pub(crate) fn mount_with(path: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&path)
            .output();
        if mount.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(path));
        }
        eprintln!("left out: no file system can be mounted here");
        None
    }

    /// Changes its options while it is in use.
    #[track_caller]
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = Command::new("mount")
            .args(["-o", &options])
            .arg(&self.0)
            .output();
        let done = done.unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Takes room away.
    pub(crate) fn ballast(&self, bytes: u64) -> PathBuf {
        let path = self.0.join("ballast");
        let length = usize::try_from(bytes).unwrap();
        fs::write(&path, vec![1; length]).unwrap();
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let lazily = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(lazily.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_waits_with_numbers_and_goes_on_by_itself() {
    let spec = one_big(ID, 24 * MIB);
    let hub = hub(0, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    let Some(disk) = Small::mount(sandbox.cache(), 40 * MIB) else {
        return;
    };
    configure(&mut sandbox, "disk_floor = \"1M\"\n");
    let ballast = disk.ballast(24 * MIB);
    let service = sandbox.serve();
    begin(&service, ID);
    let waiting = service.wait_status(ID, "waiting", |status| status["state"] == "waiting");
    assert_eq!(waiting["waiting"]["reason"], "disk_full", "{waiting:#}");
    let error = &waiting["error"];
    assert_eq!(error["code"], "disk_full");
    let message = error["message"].as_str().unwrap();
    // 24 MiB and three bytes.
    assert!(message.contains("25.2 MB are needed"), "{message}");
    assert!(message.contains("B are free"), "{message}");
    assert_eq!(sandbox.db().value("SELECT retries FROM jobs"), 0);
    assert_eq!(
        hub.bytes_sent("me/model/big.bin"),
        0,
        "nothing is fetched in vain"
    );
    fs::remove_file(ballast).unwrap();
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
    service.stop();
}

#[test]
fn a_disk_that_fills_up_in_the_middle_waits_and_goes_on_by_itself() {
    // Many files, so that room is needed again and again.
    let spec = (0..12).fold(modelhaul::testing::RepoSpec::new(ID), |spec, n| {
        spec.generated(&format!("shard-{n:02}.bin"), 2 * MIB + n)
    });
    let hub = hub(4 * MIB, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    let Some(disk) = Small::mount(sandbox.cache(), 40 * MIB) else {
        return;
    };
    configure(&mut sandbox, "disk_floor = \"0\"\n");
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, 3 * MIB);
    let ballast = fill(&disk);
    let waiting = service.wait_status(ID, "waiting", |status| {
        assert_ne!(status["state"], "failed", "{status:#}");
        status["state"] == "waiting"
    });
    assert_eq!(waiting["waiting"]["reason"], "disk_full", "{waiting:#}");
    fs::remove_file(ballast).unwrap();
    service.wait_completed(ID);
    assert_whole(&sandbox, &hub, &spec);
    assert_eq!(sandbox.db().value("SELECT retries FROM jobs"), 0);
    service.stop();
}

#[test]
fn a_full_disk_under_the_database_refuses_what_it_cannot_keep() {
    let hub = hub(0, [one_big(ID, MIB)]);
    let mut sandbox = Sandbox::with(&hub);
    let Some(disk) = Small::mount(sandbox.path("data"), 4 * MIB) else {
        return;
    };
    let database = disk.path().join("modelhaul.db");
    sandbox.set_env("MODELHAUL_DB", &database.display().to_string());
    let service = sandbox.serve();
    service.register(&registration(ID)).ok();
    let ballast = fill(&disk);
    // What the last pages of the log still take is kept; then a start is refused, and never half accepted.
    let mut kept = vec![ID.to_owned()];
    wait_for(LONG, "a row that does not fit is refused", || {
        let id = format!("me/model-{}", kept.len());
        let reply = service.register(&registration(&id));
        if reply.status == 201 {
            kept.push(id);
            return None;
        }
        assert!(reply.status >= 500, "{}", reply.text());
        let code = reply.json()["code"].as_str().unwrap().to_owned();
        holds(!code.is_empty())
    });
    assert_eq!(service.http().get("/healthz").status, 200);
    for id in &kept {
        let shown = service.http().get(&format!("/api/v1/models/{id}"));
        assert_eq!(shown.status, 200, "{id}: {}", shown.text());
    }
    fs::remove_file(ballast).unwrap();
    wait_for(LONG, "a start is accepted again", || {
        holds(service.start(ID).status == 202)
    });
    service.wait_completed(ID);
    service.stop();
}

#[test]
fn a_full_disk_under_the_database_holds_a_download_up_and_does_not_end_it() {
    let spec = one_big(ID, 24 * MIB);
    let hub = hub(4 * MIB, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    let Some(disk) = Small::mount(sandbox.path("data"), 4 * MIB) else {
        return;
    };
    let database = disk.path().join("modelhaul.db");
    sandbox.set_env("MODELHAUL_DB", &database.display().to_string());
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_bytes(ID, 5 * MIB);
    let ballast = fill(&disk);
    wait_for(LONG, "a write is refused", || {
        holds(
            service
                .logs()
                .contains("the disk that holds the database is full"),
        )
    });
    fs::remove_file(ballast).unwrap();
    service.wait_completed(ID);
    let commit = hub.head(ID, "main").unwrap();
    sandbox.assert_snapshot(&spec, &commit);
    let sent = hub.counters().cdn_bytes;
    assert!(sent <= 24 * MIB + 4 * MIB * 3, "{sent}");
    service.stop();
}

/// Takes all the room that is left.
pub(crate) fn fill(disk: &Small) -> PathBuf {
    use std::io::Write as _;
    let path = disk.path().join("ballast");
    let mut file = fs::File::create(&path).unwrap();
    for piece in [64 << 10, 4096] {
        let bytes = vec![1; piece];
        while file.write_all(&bytes).is_ok() {}
    }
    path
}
