//! Runs to be: files with scripted sources, a watching owner, and options that make small files big.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::super::hasher::ContentHasher;
use super::super::{
    Engine, FileTask, Keeper, Options, Progress, RateLimiter, Source, TransferError,
};
pub(super) use super::scripted::{Act, Scripted};
use super::watcher::Owner;
use crate::domain::{Digest, Failure, RepoPath};

/// A run to be: sources, owner, options.
pub(super) struct Stage {
    pub(super) sources: Vec<Arc<Scripted>>,
    pub(super) tasks: Vec<FileTask>,
    pub(super) owner: Arc<Owner>,
    pub(super) options: Options,
    pub(super) limiter: Arc<RateLimiter>,
    pub(super) progress: Arc<Progress>,
    pub(super) cancel: CancellationToken,
}

impl Stage {
    /// Files with these sources in a fresh folder.
    pub(super) fn new(sources: Vec<Arc<Scripted>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::build(folder.path().to_owned(), Some(folder), sources)
    }

    /// Files with these sources in a folder that is there.
    pub(super) fn within(folder: PathBuf, sources: Vec<Arc<Scripted>>) -> Self {
        Self::build(folder, None, sources)
    }

    fn build(
        folder: PathBuf,
        guard: Option<tempfile::TempDir>,
        sources: Vec<Arc<Scripted>>,
    ) -> Self {
        let task = |(index, source): (usize, &Arc<Scripted>)| FileTask {
            path: RepoPath::parse(&format!("files/{index}.bin")).unwrap(),
            size: source.content.len() as u64,
            digest: digest_of(&source.content, index % 2 == 1),
            source: Arc::clone(source) as Arc<dyn Source>,
        };
        Self {
            tasks: sources.iter().enumerate().map(task).collect(),
            owner: Arc::new(Owner {
                folder,
                _folder: guard,
                contents: sources
                    .iter()
                    .map(|source| source.content.clone())
                    .collect(),
                manners: Mutex::default(),
                heard: Mutex::default(),
                may_write: AtomicBool::new(true),
                writes_left: AtomicU64::new(u64::MAX),
                strict: AtomicBool::new(true),
                gate: RwLock::new(()),
                finishing: tokio::sync::RwLock::new(()),
                busy: AtomicBool::new(false),
            }),
            sources,
            options: quick(),
            limiter: Arc::new(RateLimiter::new(None)),
            progress: Arc::new(Progress::new()),
            cancel: CancellationToken::new(),
        }
    }

    /// One file with one script.
    pub(super) fn one(
        size: usize,
        script: impl Fn(usize, &Range<u64>) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::new(vec![Scripted::new(content(size, 1), script)])
    }

    /// The same run with the sources that were put in place of the former ones.
    pub(super) fn with_sources(mut self) -> Self {
        for (task, source) in self.tasks.iter_mut().zip(&self.sources) {
            task.source = Arc::clone(source) as Arc<dyn Source>;
        }
        self
    }

    /// Runs it; nothing may take longer than 30 seconds.
    pub(super) async fn run(&self) -> Result<(), TransferError> {
        let engine = Engine::new(self.options.clone(), Arc::clone(&self.limiter));
        let run = engine.run(
            self.tasks.clone(),
            Arc::clone(&self.owner) as Arc<dyn Keeper>,
            Arc::clone(&self.progress),
            self.cancel.clone(),
        );
        tokio::time::timeout(Duration::from_secs(30), run)
            .await
            .expect("the run must end")
    }

    /// Runs it and wants every file finished once.
    pub(super) async fn succeed(&self) {
        self.run().await.unwrap();
        assert_eq!(
            self.owner.finished(),
            (0..self.tasks.len()).collect::<Vec<_>>()
        );
        let snapshot = self.progress.snapshot();
        let total: u64 = self.tasks.iter().map(|task| task.size).sum();
        assert_eq!(snapshot.present, total);
        assert_eq!(snapshot.files_finished, self.tasks.len());
    }

    /// Runs it and wants it to fail.
    pub(super) async fn fail(&self) -> Failure {
        match self.run().await {
            Err(TransferError::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    /// The failed or stopped run again, with what was recorded, by the same owner.
    pub(super) fn resumed(&self) {
        let mut heard = self.owner.heard.lock().unwrap();
        let recorded = std::mem::take(&mut heard.recorded);
        self.owner.manners.lock().unwrap().have.extend(recorded);
    }
}

/// Waits until something is so; panics after 20 seconds.
pub(super) async fn wait_for(mut fact: impl FnMut() -> bool) {
    let wait = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("it must come true");
}

/// Options with which a few hundred kilobytes take many pieces, and failures take no time.
pub(super) fn quick() -> Options {
    Options {
        max_connections: 8,
        small_file: 32 << 10,
        max_piece: 256 << 10,
        min_piece: 64 << 10,
        steal_min: 16 << 10,
        buffer_size: 64 << 10,
        checkpoint_interval: Duration::from_millis(20),
        stall_timeout: Duration::from_millis(300),
        takeover_after: Duration::from_millis(100),
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(20),
        lock_retry: Duration::from_millis(30),
        lock_patience: Duration::from_millis(200),
        ..Options::default()
    }
}

/// Bytes that look random and are the same for the same seed.
pub(super) fn content(size: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

pub(super) fn digest_of(bytes: &[u8], git: bool) -> Digest {
    let kind = if git {
        Digest::GitSha1(Arc::default())
    } else {
        Digest::Sha256(Arc::default())
    };
    let mut hasher = ContentHasher::new(&kind, bytes.len() as u64);
    hasher.update(bytes);
    Digest::parse(&hasher.finish()).unwrap()
}
