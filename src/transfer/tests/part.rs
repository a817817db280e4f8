//! One part by itself: bytes are written once, hashed in order, and claimed only when synced.

use std::fs::File;
use std::sync::Arc;

use super::super::buffer::{Buffer, BufferPool};
use super::super::hasher::ContentHasher;
use super::super::keeper::Known;
use super::super::part::{HashStep, Part};
use super::fixture::{content, digest_of};
use crate::domain::{PlannedFile, RangeSet, RepoPath};

const SIZE: usize = 1 << 20;

fn ranges(have: &RangeSet) -> Known {
    Known {
        ranges: have.clone(),
        hash: None,
    }
}

struct Bench {
    pool: Arc<BufferPool>,
    part: Part,
    file: Arc<File>,
    content: bytes::Bytes,
}

impl Bench {
    fn new(have: &RangeSet) -> Self {
        let content = content(SIZE, 3);
        let task = PlannedFile {
            path: RepoPath::parse("a.bin").unwrap(),
            size: SIZE as u64,
            digest: digest_of(&content, false),
        };
        let file = Arc::new(tempfile::tempfile().unwrap());
        let part = Part::prepare(0, &task, Arc::clone(&file), ranges(have), 0).unwrap();
        Self {
            pool: BufferPool::new(16, SIZE),
            part,
            file,
            content,
        }
    }

    async fn buffer(&self, from: usize, to: usize) -> Buffer {
        let mut buffer = self.pool.take().await;
        assert_eq!(buffer.fill(&self.content[from..to]), to - from);
        buffer
    }

    async fn write(&self, from: usize, to: usize) -> u64 {
        let buffer = self.buffer(from, to).await;
        self.part.write(from as u64, buffer).unwrap().gained
    }
}

#[tokio::test]
async fn bytes_that_are_here_are_not_written_again() {
    let bench = Bench::new(&RangeSet::new());
    assert_eq!(bench.write(1000, 2000).await, 1000);
    let mut wrong = bench.pool.take().await;
    wrong.fill(&[9; 3000]);
    assert_eq!(bench.part.write(0, wrong).unwrap().gained, 2000);
    let mut bytes = [0; 3000];
    std::os::unix::fs::FileExt::read_exact_at(&*bench.file, &mut bytes, 0).unwrap();
    assert_eq!(bytes[1000..2000], bench.content[1000..2000]);
    assert!(
        bytes[..1000]
            .iter()
            .chain(&bytes[2000..])
            .all(|byte| *byte == 9)
    );
}

#[tokio::test]
async fn the_hash_is_right_in_any_order_of_writes() {
    // In order and large (kept for the hasher), in order and small (hashed at once), and backwards (read back).
    for step in [SIZE / 4, SIZE / 16] {
        for backwards in [false, true] {
            let bench = Bench::new(&RangeSet::new());
            let mut starts: Vec<usize> = (0..SIZE).step_by(step).collect();
            if backwards {
                starts.reverse();
            }
            for from in starts {
                bench.write(from, from + step).await;
            }
            let mut done = bench.part.hash_step(1).unwrap();
            while done == HashStep::More {
                done = bench.part.hash_step(1).unwrap();
            }
            let right = digest_of(&bench.content, false).to_string();
            assert_eq!(done, HashStep::Complete(right));
            assert_eq!(bench.part.hash_step(1).unwrap(), HashStep::Idle);
        }
    }
}

#[tokio::test]
async fn hashing_stops_at_a_gap_and_goes_on_when_it_is_closed() {
    let bench = Bench::new(&RangeSet::new());
    bench.write(0, 1000).await;
    bench.write(2000, SIZE).await;
    assert_eq!(bench.part.hash_step(u64::MAX).unwrap(), HashStep::Idle);
    assert!(!bench.part.hash_wanted());
    bench.write(1000, 2000).await;
    assert!(bench.part.hash_wanted());
    let right = digest_of(&bench.content, false).to_string();
    assert_eq!(
        bench.part.hash_step(u64::MAX).unwrap(),
        HashStep::Complete(right)
    );
}

/// A part of which everything is here, and what the hash of its content was after `at` bytes.
fn marked(file: &File, at: usize) -> (PlannedFile, Known) {
    let content = content(SIZE, 3);
    std::os::unix::fs::FileExt::write_all_at(file, &content, 0).unwrap();
    let task = PlannedFile {
        path: RepoPath::parse("a.bin").unwrap(),
        size: SIZE as u64,
        digest: digest_of(&content, false),
    };
    let mut hasher = ContentHasher::new(&task.digest, task.size);
    hasher.update(&content[..at]);
    let known = Known {
        ranges: std::iter::once(0..SIZE as u64).collect(),
        hash: hasher.mark(at as u64),
    };
    (task, known)
}

#[tokio::test]
async fn what_was_hashed_before_is_not_read_again() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let at = SIZE - 100;
    let (task, known) = marked(&file, at);
    // Nobody reads what lies before the mark, so nobody sees that it changed.
    std::os::unix::fs::FileExt::write_all_at(&*file, &[0; 100], 0).unwrap();
    let part = Part::prepare(0, &task, Arc::clone(&file), known, 0).unwrap();
    let right = task.digest.to_string();
    assert_eq!(part.hash_step(u64::MAX).unwrap(), HashStep::Complete(right));
    // Once the mark is in doubt, everything is read.
    assert!(part.hash_again());
    let HashStep::Complete(whole) = part.hash_step(u64::MAX).unwrap() else {
        panic!("all is here");
    };
    assert_ne!(whole, task.digest.as_str());
    assert!(!part.hash_again(), "once is enough");
}

#[tokio::test]
async fn a_mark_past_a_gap_or_over_a_hole_is_not_trusted() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let (task, known) = marked(&file, SIZE / 2);
    let gap = Known {
        ranges: std::iter::once(1..SIZE as u64).collect(),
        ..known.clone()
    };
    let part = Part::prepare(0, &task, Arc::clone(&file), gap, 0).unwrap();
    assert!(!part.hash_again());
    file.set_len(0).unwrap();
    file.set_len(SIZE as u64).unwrap();
    let part = Part::prepare(0, &task, Arc::clone(&file), known.clone(), 0).unwrap();
    assert!(!part.hash_again(), "what was hashed is gone");
    let (task, known) = marked(&file, SIZE / 2);
    let part = Part::prepare(0, &task, file, known, 0).unwrap();
    assert!(part.hash_again());
}

#[tokio::test]
async fn what_is_only_noted_is_synced_and_recorded() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let (task, known) = marked(&file, SIZE / 2);
    let part = Part::prepare(0, &task, file, known.clone(), 5).unwrap();
    assert!(part.is_unrecorded());
    part.sync().unwrap();
    assert_eq!(part.take_synced(), Some(known));
}

#[tokio::test]
async fn a_file_that_was_cut_is_noticed() {
    let bench = Bench::new(&RangeSet::new());
    bench.write(SIZE / 2, SIZE).await;
    bench.write(0, SIZE / 2).await;
    assert!(bench.part.is_full_length().unwrap());
    bench.file.set_len(SIZE as u64 - 1).unwrap();
    assert!(!bench.part.is_full_length().unwrap());
    let error = bench.part.hash_step(u64::MAX).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn only_synced_ranges_are_claimed_and_a_reset_takes_claims_back() {
    let bench = Bench::new(&RangeSet::new());
    bench.write(0, 1000).await;
    assert_eq!(bench.part.take_synced(), None);
    bench.part.sync().unwrap();
    bench.write(1000, 2000).await;
    assert_eq!(bench.part.dirty(), 1000);
    assert_eq!(
        bench.part.take_synced().unwrap().ranges.to_string(),
        "0-1000"
    );
    assert_eq!(bench.part.take_synced(), None);
    bench.part.reset();
    assert!(bench.part.is_unrecorded());
    assert_eq!(bench.part.take_synced(), Some(Known::default()));
}

#[tokio::test]
async fn reserving_space_leaves_the_length_alone() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let task = PlannedFile {
        path: RepoPath::parse("a.bin").unwrap(),
        size: 64 << 20,
        digest: digest_of(b"", false),
    };
    let claims: RangeSet = "0-1000".parse().unwrap();
    let part = Part::prepare(0, &task, Arc::clone(&file), ranges(&claims), 0).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 0);
    assert!(
        part.have().is_empty(),
        "nothing is there, whatever was claimed"
    );
}

#[tokio::test]
async fn receiving_waits_for_a_hash_that_lags_but_not_for_bytes_of_an_earlier_run() {
    let bench = Bench::new(&RangeSet::new());
    bench.write(SIZE / 2, SIZE).await;
    bench.part.hash_within(0).await;
    bench.write(0, SIZE / 2).await;
    bench.part.hash_within(SIZE as u64).await;
    let short = std::time::Duration::from_millis(20);
    let waits = tokio::time::timeout(short, bench.part.hash_within(1000)).await;
    assert!(waits.is_err());
    let (step, ()) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            bench.part.hash_step(u64::MAX).unwrap()
        },
        bench.part.hash_within(1000)
    );
    assert!(matches!(step, HashStep::Complete(_)));

    let file = Arc::new(tempfile::tempfile().unwrap());
    file.set_len(SIZE as u64).unwrap();
    let task = PlannedFile {
        path: RepoPath::parse("a.bin").unwrap(),
        size: SIZE as u64,
        digest: digest_of(b"", false),
    };
    let claims: RangeSet = "0-1000000".parse().unwrap();
    let part = Part::prepare(0, &task, file, ranges(&claims), 0).unwrap();
    part.hash_within(0).await;
}
