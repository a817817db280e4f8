//! Sources that behave as a script says, and an owner that checks every claim against the true content.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::super::hasher::ContentHasher;
use super::super::{
    Body, Engine, FileTask, Keeper, Opening, Options, Progress, RateLimiter, Source, SourceError,
    SourceErrorKind, TransferError,
};
use crate::domain::{Digest, Failure, FailureCode, RangeSet, RepoPath};

/// What a source does with one request.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Gives the range in chunks of this size.
    Serve(usize),
    /// Gives this many bytes, then ends without a word.
    Cut(u64),
    /// Gives this many bytes, then an error.
    Break(u64),
    /// Gives this many bytes, then nothing for ever.
    Stall(u64),
    /// Gives the range with the byte at this position of the file changed.
    Flip(u64),
    /// Gives more bytes than were asked for.
    TooMany,
    /// Gives empty chunks for ever.
    Empty,
    /// Says that ranges are ignored unless the whole file is asked for.
    OnlyWhole,
    /// Refuses.
    Fail(SourceError),
    /// Answers after this long, then gives the range.
    Late(Duration),
    /// Gives chunks of this size with a pause before each.
    Slow(usize, Duration),
}

type Script = dyn Fn(usize, &Range<u64>) -> Act + Send + Sync;

/// One file's bytes, given as a script says.
pub(super) struct Scripted {
    content: Bytes,
    script: Box<Script>,
    /// Requests so far.
    pub(super) opened: AtomicUsize,
    pub(super) asked: Mutex<Vec<Range<u64>>>,
    pub(super) now_open: Arc<AtomicUsize>,
    pub(super) most_open: AtomicUsize,
    pub(super) given: Arc<AtomicU64>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Scripted")
    }
}

impl Scripted {
    pub(super) fn new(
        content: Bytes,
        script: impl Fn(usize, &Range<u64>) -> Act + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            content,
            script: Box::new(script),
            opened: AtomicUsize::new(0),
            asked: Mutex::default(),
            now_open: Arc::default(),
            most_open: AtomicUsize::new(0),
            given: Arc::default(),
        })
    }
}

impl Source for Scripted {
    fn open(&self, range: Range<u64>) -> BoxFuture<'_, Result<Box<dyn Body>, SourceError>> {
        assert!(range.start < range.end && range.end <= self.content.len() as u64);
        let act = (self.script)(self.opened.fetch_add(1, Ordering::SeqCst), &range);
        self.asked.lock().unwrap().push(range.clone());
        let open = self.now_open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(open, Ordering::SeqCst);
        let guard = OpenGuard(Arc::clone(&self.now_open));
        let mut rest = self
            .content
            .slice(as_usize(range.start)..as_usize(range.end));
        let given = Arc::clone(&self.given);
        async move {
            let mut body = ScriptedBody {
                rest: Bytes::new(),
                chunk: 64 << 10,
                end: End::None,
                pause: Duration::ZERO,
                given,
                _guard: guard,
            };
            match act {
                Act::Serve(chunk) => body.chunk = chunk,
                Act::Cut(bytes) => rest.truncate(as_usize(bytes)),
                Act::Break(bytes) => {
                    rest.truncate(as_usize(bytes));
                    body.end = End::Break;
                }
                Act::Stall(bytes) => {
                    rest.truncate(as_usize(bytes));
                    body.end = End::Stall;
                }
                Act::Flip(at) => {
                    if range.contains(&at) {
                        let mut wrong = rest.to_vec();
                        wrong[as_usize(at - range.start)] ^= 1;
                        rest = wrong.into();
                    }
                }
                Act::TooMany => rest = [&rest[..], &[7; 100_000]].concat().into(),
                Act::Empty => {
                    rest = Bytes::new();
                    body.end = End::Empty;
                }
                Act::OnlyWhole if range == (0..self.content.len() as u64) => {}
                Act::OnlyWhole => {
                    return Err(SourceError::new(
                        SourceErrorKind::RangeIgnored,
                        Failure::new(FailureCode::BadResponse, "the range was ignored"),
                    ));
                }
                Act::Fail(error) => return Err(error),
                Act::Late(pause) => tokio::time::sleep(pause).await,
                Act::Slow(chunk, pause) => {
                    body.chunk = chunk;
                    body.pause = pause;
                }
            }
            body.rest = rest;
            Ok(Box::new(body) as Box<dyn Body>)
        }
        .boxed()
    }
}

struct OpenGuard(Arc<AtomicUsize>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

enum End {
    None,
    Break,
    Stall,
    Empty,
}

struct ScriptedBody {
    rest: Bytes,
    chunk: usize,
    end: End,
    pause: Duration,
    given: Arc<AtomicU64>,
    _guard: OpenGuard,
}

impl Body for ScriptedBody {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, SourceError>> {
        async move {
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
            if !self.rest.is_empty() {
                let chunk = self.rest.split_to(self.chunk.min(self.rest.len()));
                self.given.fetch_add(chunk.len() as u64, Ordering::SeqCst);
                return Ok(Some(chunk));
            }
            match self.end {
                End::None => Ok(None),
                End::Break => Err(SourceError::transient(
                    FailureCode::Network,
                    "reset by peer",
                )),
                End::Stall => std::future::pending().await,
                End::Empty => Ok(Some(Bytes::new())),
            }
        }
        .boxed()
    }
}

/// How the owner answers the next calls.
#[derive(Default)]
pub(super) struct Manners {
    /// Files that somebody else has.
    pub(super) present: Vec<usize>,
    /// Files that are locked for this many more asks.
    pub(super) locked: BTreeMap<usize, usize>,
    /// What earlier checkpoints claim.
    pub(super) have: BTreeMap<usize, RangeSet>,
    /// The answer to every checkpoint.
    pub(super) checkpoint: Option<Failure>,
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
    pub(super) finished: Vec<usize>,
    pub(super) finish_calls: usize,
    pub(super) opened: Vec<usize>,
}

/// An owner with a folder; panics when the engine claims something untrue.
pub(super) struct Owner {
    pub(super) folder: PathBuf,
    _folder: Option<tempfile::TempDir>,
    contents: Vec<Bytes>,
    pub(super) manners: Mutex<Manners>,
    pub(super) heard: Mutex<Heard>,
    pub(super) may_write: AtomicBool,
    /// After this many asks it may write no more.
    pub(super) writes_left: AtomicU64,
    /// Whether claims are compared with the content; off for sources that lie.
    pub(super) strict: AtomicBool,
    /// Held for writing, it makes the disk hang.
    pub(super) gate: RwLock<()>,
    busy: AtomicBool,
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

    fn enter(&self) {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two calls at once");
    }
}

impl Keeper for Owner {
    fn open(&self, index: usize) -> BoxFuture<'_, Result<Opening, Failure>> {
        async move {
            self.heard.lock().unwrap().opened.push(index);
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
                have: manners.have.get(&index).cloned().unwrap_or_default(),
            })
        }
        .boxed()
    }

    fn checkpoint(&self, files: Vec<(usize, RangeSet)>) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            self.enter();
            tokio::task::yield_now().await;
            for (index, ranges) in &files {
                assert!(ranges.end() <= self.contents[*index].len() as u64);
                if self.strict.load(Ordering::SeqCst) {
                    let file = File::open(self.part(*index)).unwrap();
                    for range in ranges.iter() {
                        let mut bytes = vec![0; as_usize(range.end - range.start)];
                        file.read_exact_at(&mut bytes, range.start).unwrap();
                        assert!(
                            bytes
                                == self.contents[*index]
                                    [as_usize(range.start)..as_usize(range.end)]
                        );
                    }
                }
            }
            let mut heard = self.heard.lock().unwrap();
            assert!(
                files
                    .iter()
                    .all(|(index, _)| !heard.finished.contains(index))
            );
            heard.checkpoints += 1;
            heard.recorded.extend(files);
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

    fn finish(&self, indexes: Vec<usize>) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            self.enter();
            tokio::task::yield_now().await;
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
        let mut stage = Self::within(folder.path().to_owned(), sources);
        Arc::get_mut(&mut stage.owner).unwrap()._folder = Some(folder);
        stage
    }

    /// Files with these sources in a folder that is there.
    pub(super) fn within(folder: PathBuf, sources: Vec<Arc<Scripted>>) -> Self {
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
                _folder: None,
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
        Digest::GitSha1(String::new())
    } else {
        Digest::Sha256(String::new())
    };
    let mut hasher = ContentHasher::new(&kind, bytes.len() as u64);
    hasher.update(bytes);
    Digest::parse(&hasher.finish()).unwrap()
}

fn as_usize(value: u64) -> usize {
    usize::try_from(value).unwrap()
}
