//! Parts of the engine that need no network: glob matching, planning, range sets, hashing, claims and checkpoints.
//!
//! `cargo bench --features testing`. Claims and checkpoints are commits that reach the disk, under `target`.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use modelhaul::domain::RangeSet;
use modelhaul::testing::bench::{Planner, Queue, matching};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

fn globs(criterion: &mut Criterion) {
    let names: Vec<String> = (0..10_000)
        .map(|n| format!("folder-{:02}/model-{n:05}.safetensors", n % 40))
        .collect();
    let mut group = criterion.benchmark_group("fnmatch");
    group.throughput(Throughput::Elements(names.len() as u64));
    for pattern in [
        "*.safetensors",
        "folder-1?/*",
        "*model-[0-4]*[!5].safe*",
        "*a*a*a*a*a*b",
    ] {
        group.bench_function(pattern, |bencher| {
            bencher.iter(|| matching(black_box(pattern), &names));
        });
    }
    group.finish();
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    for count in [100, 1_000, 10_000] {
        group.throughput(Throughput::Elements(count as u64));
        let everything = Planner::new(count, &[], &[]);
        group.bench_function(BenchmarkId::new("everything", count), |bencher| {
            bencher.iter(|| everything.plan());
        });
        let some = Planner::new(
            count,
            &["*.safetensors", "*.json"],
            &["onnx/*", "*-00007*", "*.bin"],
        );
        group.bench_function(BenchmarkId::new("patterns", count), |bencher| {
            bencher.iter(|| some.plan());
        });
    }
    group.finish();
}

/// 1 GiB in buffers of `step` bytes, from 16 places at once, as connections bring them.
fn fill(step: u64) -> RangeSet {
    let share = (1_u64 << 30) / 16;
    let mut set = RangeSet::new();
    for at in (0..share).step_by(usize::try_from(step).expect("a step is small")) {
        for connection in 0..16 {
            let start = connection * share + at;
            set.insert(start..start + step);
        }
    }
    set
}

fn ranges(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ranges");
    group.bench_function("1 GiB in buffers of 512 KiB from 16 places", |bencher| {
        bencher.iter(|| fill(black_box(512 << 10)));
    });
    let set: RangeSet = (0..64_u64)
        .map(|n| n << 25..(n << 25) + (10 << 20))
        .collect();
    let text = set.to_string();
    group.bench_function("64 ranges to text", |bencher| {
        bencher.iter(|| black_box(&set).to_string());
    });
    group.bench_function("64 ranges from text", |bencher| {
        bencher.iter(|| black_box(&text).parse::<RangeSet>());
    });
    group.bench_function("gaps of 64 ranges", |bencher| {
        bencher.iter(|| black_box(&set).gaps(4 << 30));
    });
    group.finish();
}

fn hashes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash");
    let bytes: Vec<u8> = (0..8_u32 << 20)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    // The buffers of the engine, in file order.
    let sha256 = || {
        bytes
            .chunks(512 << 10)
            .fold(Sha256::new(), Sha256::chain_update)
            .finalize()
    };
    group.bench_function("sha256 in buffers of 512 KiB", |bencher| {
        bencher.iter(sha256);
    });
    let sha1 = || {
        bytes
            .chunks(512 << 10)
            .fold(Sha1::new(), Sha1::chain_update)
            .finalize()
    };
    group.bench_function("git sha1 in buffers of 512 KiB", |bencher| {
        bencher.iter(sha1);
    });
    group.finish();
}

fn rows(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut group = criterion.benchmark_group("store");
    group.sample_size(20);
    for jobs in [1, 100, 10_000, 100_000] {
        let folder = tempfile::tempdir_in(target).expect("a folder under target");
        let queue = runtime.block_on(Queue::new(folder.path(), jobs));
        let id = |what| BenchmarkId::new(what, jobs);
        group.bench_function(id("queue: claim and release"), |bencher| {
            bencher.iter(|| runtime.block_on(queue.claim_and_release()));
        });
        group.bench_function(id("queue: counts"), |bencher| {
            bencher.iter(|| runtime.block_on(queue.counts()));
        });
        group.bench_function(id("queue: a job and its place"), |bencher| {
            bencher.iter(|| runtime.block_on(queue.place()));
        });
        group.bench_function(id("queue: first page"), |bencher| {
            bencher.iter(|| runtime.block_on(queue.page()));
        });
        group.bench_function(id("queue: list by state"), |bencher| {
            bencher.iter(|| runtime.block_on(queue.list()));
        });
    }
    for files in [1, 100] {
        let folder = tempfile::tempdir_in(target).expect("a folder under target");
        let queue = runtime.block_on(Queue::new(folder.path(), 1));
        let checkpoints = runtime.block_on(queue.begin(files));
        group.bench_function(BenchmarkId::new("checkpoint, files", files), |bencher| {
            bencher.iter(|| runtime.block_on(checkpoints.record()));
        });
    }
    group.finish();
}

criterion_group!(benches, globs, plans, ranges, hashes, rows);
criterion_main!(benches);
