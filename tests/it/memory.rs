//! Memory does not grow with the size of a file.

use std::fs;
use std::path::Path;

use modelhaul::testing::{HubConfig, PracticeHub, RepoSpec};
use serde_json::json;

use crate::support::Service;
use crate::world::sandbox;

const MIB: u64 = 1 << 20;
/// What the whole service may take, at its worst moment.
const MOST: u64 = 64 * MIB;

/// The most memory that a process ever had, without the pages of its own program file, in bytes.
///
/// A test build's file is many times as large as the product's, and its pages are the kernel's to drop.
fn peak(service: &Service) -> u64 {
    let path = format!("/proc/{}/status", service.pid());
    let status = fs::read_to_string(Path::new(&path)).unwrap();
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let text = line.unwrap().trim().trim_end_matches(" kB");
        text.parse().unwrap()
    };
    (kib("VmHWM:") - kib("RssFile:")) * 1024
}

fn download(size: u64) {
    let spec = RepoSpec::new("org/big").generated("model.safetensors", size);
    let hub = PracticeHub::start(HubConfig::with([spec.clone()])).unwrap();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let body = json!({"model_id": "big", "kind": "generic", "repo_id": "org/big", "template": "everything"});
    service.register(&body).ok();
    service.start("big").ok();
    service.wait_completed("big");
    let peak = peak(&service);
    assert!(peak < MOST, "{} MiB at the peak", peak / MIB);
    assert_eq!(sandbox.blobs("org/big"), [spec.files()[0].etag()]);
}

#[test]
fn a_large_file_takes_little_memory() {
    download(256 * MIB);
}

#[test]
#[ignore = "takes a GiB of disk"]
fn a_file_of_a_gibibyte_takes_no_more() {
    download(1024 * MIB);
}
