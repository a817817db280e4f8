//! Disks that are full, on a file system of a few megabytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::fixture::{Act, Scripted, Stage, content};
use crate::domain::FailureCode;

struct Tiny(PathBuf);

impl Tiny {
    /// A file system of `size`; needs the right to mount.
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder)
            .output()
            .ok()?;
        done.status.success().then(|| Self(folder.to_owned()))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).output());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_reported_and_the_rest_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_tiny) = Tiny::mount(folder.path(), "6m") else {
        println!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    for size in [3 << 20, 5 << 20] {
        // Below 4 MiB the write fails, above it the reservation.
        let source = Scripted::new(content(size, 1), |_, _| Act::Serve(64 << 10));
        let stage = Stage::within(folder.path().to_owned(), vec![source]);
        if !ballast.exists() {
            std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
        }
        let failure = stage.fail().await;
        assert_eq!(failure.code, FailureCode::DiskFull, "{failure}");
        assert!(failure.message.contains("files/0.bin"));
        std::fs::remove_file(&ballast).unwrap();
        stage.resumed();
        stage.succeed().await;
        std::fs::remove_file(stage.owner.part(0)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_without_room_is_a_full_disk() {
    let stage = Stage::one(100_000, |_, _| Act::Serve(64 << 10));
    stage.owner.manners.lock().unwrap().device = Some("/dev/full");
    assert_eq!(stage.fail().await.code, FailureCode::DiskFull);
    assert_eq!(stage.progress.snapshot().written, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_recorded_or_finished() {
    // The device takes every byte but cannot be synced.
    let stage = Stage::one(100_000, |_, _| Act::Serve(64 << 10));
    stage.owner.manners.lock().unwrap().device = Some("/dev/null");
    let failure = stage.fail().await;
    assert_eq!(failure.code, FailureCode::StorageUnavailable);
    assert!(
        failure.message.starts_with("cannot sync `files/0.bin`"),
        "{failure}"
    );
    let heard = stage.owner.heard.lock().unwrap();
    assert_eq!((heard.checkpoints, heard.finish_calls), (0, 0));
}
