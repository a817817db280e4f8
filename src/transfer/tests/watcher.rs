//! An owner with a folder that checks every claim against the true content.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::super::{Keeper, Known, Opening};
use super::scripted::as_usize;
use crate::domain::{Failure, HashMark, RangeSet};

/// How the owner answers the next calls.
#[derive(Default)]
pub(super) struct Manners {
    /// Files that somebody else has.
    pub(super) present: Vec<usize>,
    /// Files that are locked for this many more asks.
    pub(super) locked: BTreeMap<usize, usize>,
    /// What earlier checkpoints claim.
    pub(super) have: BTreeMap<usize, RangeSet>,
    /// How far they say that it was hashed.
    pub(super) hash: BTreeMap<usize, HashMark>,
    /// The answer to every checkpoint.
    pub(super) checkpoint: Option<Failure>,
    /// Files whose opening never ends.
    pub(super) silent: Vec<usize>,
    /// Opened in place of every part.
    pub(super) device: Option<&'static str>,
    /// The answer to every finish.
    pub(super) finish: Option<Failure>,
}

/// What the owner was told.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) checkpoints: usize,
    pub(super) recorded: BTreeMap<usize, RangeSet>,
    pub(super) marks: BTreeMap<usize, HashMark>,
    pub(super) noted: BTreeMap<usize, Known>,
    pub(super) finished: Vec<usize>,
    pub(super) finish_calls: usize,
    pub(super) opened: Vec<usize>,
}

/// An owner with a folder; panics when the engine claims something untrue.
pub(super) struct Owner {
    pub(super) folder: PathBuf,
    pub(super) _folder: Option<tempfile::TempDir>,
    pub(super) contents: Vec<Bytes>,
    pub(super) manners: Mutex<Manners>,
    pub(super) heard: Mutex<Heard>,
    pub(super) may_write: AtomicBool,
    /// After this many asks it may write no more.
    pub(super) writes_left: AtomicU64,
    /// Whether claims are compared with the content; off for sources that lie.
    pub(super) strict: AtomicBool,
    /// Held for writing, it makes the disk hang.
    pub(super) gate: RwLock<()>,
    /// Held for writing, it keeps files from being finished.
    pub(super) finishing: tokio::sync::RwLock<()>,
    pub(super) busy: AtomicBool,
}

impl Owner {
    pub(super) fn part(&self, index: usize) -> PathBuf {
        self.folder.join(format!("{index}.part"))
    }

    pub(super) fn finished(&self) -> Vec<usize> {
        let mut finished = self.heard.lock().unwrap().finished.clone();
        finished.sort_unstable();
        finished
    }

    /// What is claimed must be there.
    fn compare(&self, index: usize, ranges: &RangeSet) {
        for range in ranges.iter() {
            let file = File::open(self.part(index)).unwrap();
            let mut bytes = vec![0; as_usize(range.end - range.start)];
            file.read_exact_at(&mut bytes, range.start).unwrap();
            let (from, to) = (as_usize(range.start), as_usize(range.end));
            assert!(bytes == self.contents[index][from..to]);
        }
    }

    fn enter(&self) {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two calls at once");
    }
}

impl Keeper for Owner {
    fn open(&self, index: usize) -> BoxFuture<'_, Result<Opening, Failure>> {
        async move {
            self.heard.lock().unwrap().opened.push(index);
            if self.manners.lock().unwrap().silent.contains(&index) {
                std::future::pending::<()>().await;
            }
            let mut manners = self.manners.lock().unwrap();
            if manners.present.contains(&index) {
                return Ok(Opening::Present);
            }
            if let Some(asks) = manners.locked.get_mut(&index).filter(|asks| **asks > 0) {
                *asks -= 1;
                return Ok(Opening::Later);
            }
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(
                    manners
                        .device
                        .map_or_else(|| self.part(index), PathBuf::from),
                )
                .unwrap();
            Ok(Opening::Part {
                file: Arc::new(file),
                known: Known {
                    ranges: manners.have.get(&index).cloned().unwrap_or_default(),
                    hash: manners.hash.get(&index).cloned(),
                },
                unsynced: 0,
            })
        }
        .boxed()
    }

    fn checkpoint(&self, files: Vec<(usize, Known)>) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            self.enter();
            tokio::task::yield_now().await;
            for (index, Known { ranges, .. }) in &files {
                assert!(ranges.end() <= self.contents[*index].len() as u64);
                if self.strict.load(Ordering::SeqCst) {
                    self.compare(*index, ranges);
                }
            }
            let mut heard = self.heard.lock().unwrap();
            assert!(
                files
                    .iter()
                    .all(|(index, _)| !heard.finished.contains(index))
            );
            heard.checkpoints += 1;
            for (index, known) in files {
                heard.recorded.insert(index, known.ranges);
                heard.marks.extend(known.hash.map(|mark| (index, mark)));
            }
            self.busy.store(false, Ordering::SeqCst);
            self.manners
                .lock()
                .unwrap()
                .checkpoint
                .clone()
                .map_or(Ok(()), Err)
        }
        .boxed()
    }

    fn note(&self, index: usize, known: &Known) {
        if self.strict.load(Ordering::SeqCst) {
            self.compare(index, &known.ranges);
        }
        let mut heard = self.heard.lock().unwrap();
        heard.noted.insert(index, known.clone());
    }

    fn finish(&self, indexes: Vec<usize>) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            self.enter();
            drop(self.finishing.read().await);
            for index in &indexes {
                let bytes = std::fs::read(self.part(*index)).unwrap();
                assert!(bytes == self.contents[*index], "file {index} is wrong");
            }
            self.busy.store(false, Ordering::SeqCst);
            let mut heard = self.heard.lock().unwrap();
            heard.finish_calls += 1;
            let refusal = self.manners.lock().unwrap().finish.clone();
            if refusal.is_none() {
                heard.finished.extend(indexes);
            }
            refusal.map_or(Ok(()), Err)
        }
        .boxed()
    }

    fn may_write(&self) -> bool {
        let _gate = self.gate.read().unwrap();
        let left = |left: u64| left.checked_sub(1);
        self.may_write.load(Ordering::SeqCst)
            && self
                .writes_left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                .is_ok()
    }
}
