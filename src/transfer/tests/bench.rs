//! Speed by hand over loopback: `cargo test --lib transfer::tests::bench -- --ignored --nocapture --test-threads 1`.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::super::hasher::ContentHasher;
use super::super::{
    Body, Engine, FileTask, Keeper, Known, Opening, Options, Progress, RateLimiter, Source,
    SourceError,
};
use super::fixture::content;
use crate::domain::{Digest, Failure, FailureCode, RepoPath};

/// The content repeats a block of this many bytes.
const BLOCK: usize = 8 << 20;

/// Serves ranges: 16 bytes ask, then the bytes come; the connection stays open.
fn serve(block: Bytes, latency: Duration, speed: Option<u64>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, block) = (stream.unwrap(), block.clone());
            std::thread::spawn(move || {
                let mut ask = [0; 16];
                stream.set_nodelay(true).unwrap();
                while stream.read_exact(&mut ask).is_ok() {
                    let mut at = u64::from_le_bytes(ask[..8].try_into().unwrap());
                    let end = u64::from_le_bytes(ask[8..].try_into().unwrap());
                    std::thread::park_timeout(latency);
                    let (start, first) = (Instant::now(), at);
                    while at < end {
                        let from = usize::try_from(at).unwrap() % BLOCK;
                        let most = if speed.is_some() { 128 << 10 } else { 1 << 20 };
                        let count = (BLOCK - from)
                            .min(most)
                            .min(usize::try_from(end - at).unwrap());
                        if stream.write_all(&block[from..from + count]).is_err() {
                            return;
                        }
                        at += count as u64;
                        if let Some(speed) = speed {
                            let due = Duration::from_micros((at - first) * 1_000_000 / speed);
                            std::thread::park_timeout(due.saturating_sub(start.elapsed()));
                        }
                    }
                }
            });
        }
    });
    address
}

#[derive(Debug)]
struct Loopback {
    address: SocketAddr,
    idle: Arc<Mutex<Vec<TcpStream>>>,
}

struct LoopbackBody {
    stream: Option<TcpStream>,
    idle: Arc<Mutex<Vec<TcpStream>>>,
    left: u64,
}

fn broken(error: &std::io::Error) -> SourceError {
    SourceError::transient(FailureCode::Network, error.to_string())
}

impl Source for Loopback {
    fn open(&self, range: Range<u64>) -> BoxFuture<'_, Result<Box<dyn Body>, SourceError>> {
        async move {
            let idle = self.idle.lock().unwrap().pop();
            let mut stream = match idle {
                Some(stream) => stream,
                None => TcpStream::connect(self.address)
                    .await
                    .map_err(|e| broken(&e))?,
            };
            let ask = [range.start.to_le_bytes(), range.end.to_le_bytes()].concat();
            stream.write_all(&ask).await.map_err(|e| broken(&e))?;
            Ok(Box::new(LoopbackBody {
                stream: Some(stream),
                idle: Arc::clone(&self.idle),
                left: range.end - range.start,
            }) as Box<dyn Body>)
        }
        .boxed()
    }
}

impl Body for LoopbackBody {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, SourceError>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(0));
        };
        let mut filled = ReadBuf::new(buffer);
        let read = ready!(Pin::new(stream).poll_read(context, &mut filled));
        read.map_err(|e| broken(&e))?;
        let count = filled.filled().len();
        self.left -= count as u64;
        if self.left == 0 {
            self.idle.lock().unwrap().extend(self.stream.take());
        }
        Poll::Ready(Ok(count))
    }
}

struct Plain(tempfile::TempDir);

impl Keeper for Plain {
    fn open(&self, index: usize) -> BoxFuture<'_, Result<Opening, Failure>> {
        let path = self.0.path().join(index.to_string());
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .unwrap();
        let file = Arc::new(file);
        async move {
            Ok(Opening::Part {
                file,
                known: Known::default(),
                unsynced: 0,
            })
        }
        .boxed()
    }

    fn checkpoint(&self, _: Vec<(usize, Known)>) -> BoxFuture<'_, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    fn note(&self, _: usize, _: &Known) {}

    fn finish(&self, _: Vec<usize>) -> BoxFuture<'_, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    fn may_write(&self) -> bool {
        true
    }
}

/// In memory where there is room for it: the engine is measured here, not the disk.
fn folder() -> tempfile::TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.unwrap_or_else(|_| tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap())
}

fn digest(block: &[u8], size: u64) -> Digest {
    let mut hasher = ContentHasher::new(&Digest::Sha256(Arc::default()), size);
    let mut left = usize::try_from(size).unwrap();
    while left > 0 {
        let count = left.min(BLOCK);
        hasher.update(&block[..count]);
        left -= count;
    }
    Digest::parse(&hasher.finish()).unwrap()
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or("").to_owned()
}

/// Seconds of one run.
async fn fetch(options: Options, sizes: &[u64], latency: Duration, speed: Option<u64>) -> f64 {
    let block = content(BLOCK, 7);
    let address = serve(block.clone(), latency, speed);
    let idle = Arc::new(Mutex::new(Vec::new()));
    let mut known = std::collections::BTreeMap::new();
    let task = |(index, size): (usize, &u64)| FileTask {
        path: RepoPath::parse(&index.to_string()).unwrap(),
        size: *size,
        digest: known
            .entry(*size)
            .or_insert_with(|| digest(&block, *size))
            .clone(),
        source: Arc::new(Loopback {
            address,
            idle: Arc::clone(&idle),
        }),
    };
    let tasks = sizes.iter().enumerate().map(task).collect();
    let engine = Engine::new(options, Arc::new(RateLimiter::new(None)));
    let keeper = Arc::new(Plain(folder()));
    let start = Instant::now();
    let run = engine.run(
        tasks,
        keeper,
        Arc::new(Progress::new()),
        CancellationToken::new(),
    );
    run.await.unwrap();
    start.elapsed().as_secs_f64()
}

/// The yardstick: the same steps by one thread, one after the other. Seconds of receive, write, hash, sync.
fn plainly(address: SocketAddr, size: u64) -> [f64; 4] {
    let folder = folder();
    let mut file = std::fs::File::create(folder.path().join("x")).unwrap();
    let mut hasher = ContentHasher::new(&Digest::Sha256(Arc::default()), size);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let ask = [0_u64.to_le_bytes(), size.to_le_bytes()].concat();
    stream.write_all(&ask).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut seconds = [0.0; 4];
    let mut lap = Instant::now();
    let mut add = |step: usize| {
        seconds[step] += lap.elapsed().as_secs_f64();
        lap = Instant::now();
    };
    for _ in 0..size >> 20 {
        stream.read_exact(&mut buffer).unwrap();
        add(0);
        file.write_all(&buffer).unwrap();
        add(1);
        hasher.update(&buffer);
        add(2);
    }
    file.sync_data().unwrap();
    add(3);
    seconds
}

/// Processor seconds of this process so far, the serving threads included.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let fields: Vec<f64> = after_name
        .split(' ')
        .filter_map(|field| field.parse().ok().or(Some(0.0)))
        .collect();
    (fields[11] + fields[12]) / 100.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes gigabytes and measures; run by hand"]
async fn one_file_of_two_gib_as_fast_as_it_comes() {
    let size = 2_u64 << 30;
    let address = serve(content(BLOCK, 7), Duration::ZERO, None);
    for _ in 0..4 {
        let before = processor();
        let parts = tokio::task::spawn_blocking(move || plainly(address, size));
        let parts = parts.await.unwrap();
        let plain: f64 = parts.iter().sum();
        let between = processor();
        let seconds = fetch(Options::default(), &[size], Duration::ZERO, None).await;
        println!(
            "step by step {plain:.2} s ({parts:.2?}, cpu {:.2}), engine {seconds:.2} s = {:.2} x (cpu {:.2}), {}",
            between - before,
            seconds / plain,
            processor() - between,
            peak_memory()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes gigabytes and measures; run by hand"]
async fn sixteen_slow_connections_add_up() {
    for initial_connections in [4, 16, 4, 16] {
        let options = Options {
            initial_connections,
            ..Options::default()
        };
        let size = 1_u64 << 30;
        let seconds = fetch(options, &[size], Duration::ZERO, Some(40_000_000)).await;
        println!(
            "1 GiB at 16 x 40 MB/s from {initial_connections} on: {seconds:.2} s, ideal 1.68 s, {}",
            peak_memory()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; run by hand"]
async fn small_files_wait_for_the_network_only() {
    for _ in 0..3 {
        let latency = Duration::from_millis(30);
        let seconds = fetch(Options::default(), &[50_000; 200], latency, None).await;
        println!("200 x 50 KB at 30 ms: {seconds:.3} s, bound 0.375 s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes gigabytes and measures; run by hand"]
async fn memory_stays_small_with_many_connections() {
    let options = Options {
        max_connections: 32,
        initial_connections: 32,
        ..Options::default()
    };
    let seconds = fetch(options, &[2 << 30], Duration::ZERO, None).await;
    println!(
        "2 GiB over 32 connections: {seconds:.2} s, {}",
        peak_memory()
    );
}
