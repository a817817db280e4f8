//! The contract of a source, and each kind that keeps it. Another source has to pass [`keeps_the_contract`] too.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use super::*;
use crate::clock::SystemClock;
use crate::domain::{CommitHash, Digest, PlannedFile, UrlFile};
use crate::hub::{Hub, HubOptions, Tls, TokenSource, Web, WebOptions};

const SIZE: usize = 300_001;
const PATIENCE: Duration = Duration::from_secs(10);

fn content() -> Vec<u8> {
    (0..=250).cycle().step_by(7).take(SIZE).collect()
}

/// Reads a body to its end, in steps of so many bytes.
async fn read(source: &dyn Source, range: Range<u64>, step: usize) -> Vec<u8> {
    let mut body = source.open(range).await.expect("a body");
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; step]);
    loop {
        match poll_fn(|context| body.poll_read(context, &mut buffer)).await {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// What the engine relies on: exactly the bytes of a range, in any steps; several ranges at once; and a body that is
/// dropped in the middle costs the others nothing.
async fn keeps_the_contract(source: &dyn Source, content: &[u8]) {
    let size = content.len();
    for range in [0..size, 0..1, size - 1..size, 1000..70_000, 65_536..131_072] {
        for step in [1 << 20, 4096, 1023] {
            let got = read(source, range.start as u64..range.end as u64, step).await;
            assert!(
                got == content[range.clone()],
                "{range:?} in steps of {step}"
            );
        }
    }
    let mut dropped = source.open(0..size as u64).await.expect("a body");
    let mut buffer = [0; 100];
    let first = poll_fn(|context| dropped.poll_read(context, &mut buffer)).await;
    assert!((1..=100).contains(&first.expect("some bytes")));
    drop(dropped);
    let parts = (0..8_usize).map(|n| n * size / 8..(n + 1) * size / 8);
    let parts: Vec<Range<usize>> = parts.collect();
    let reads = parts
        .iter()
        .map(|part| read(source, part.start as u64..part.end as u64, 8192));
    for (part, got) in parts.iter().zip(join_all(reads).await) {
        assert!(
            got == content[part.clone()],
            "{part:?} at the same time as others"
        );
    }
}

/// A server that gives ranges of one file, whatever it is asked for; ends when dropped.
struct Server {
    address: String,
    _work: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                conversations.spawn(answer(stream));
            }
        });
        Self {
            address,
            _work: work,
        }
    }

    fn url(&self) -> Url {
        format!("http://{}", self.address)
            .parse()
            .expect("an address")
    }
}

/// Answers one request. A client that goes away in the middle is what the contract allows.
async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_gone) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let range = head.split("range: bytes=").nth(1).expect("a range");
    let range = range.lines().next().expect("a line");
    let (first, last) = range.split_once('-').expect("two places");
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let answer = format!(
        "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {first}-{last}/{SIZE}\r\ncontent-length: {}\r\n\
         etag: \"v1\"\r\nconnection: close\r\n\r\n",
        last - first + 1
    );
    let sent = stream.write_all(answer.as_bytes()).await;
    if sent.is_ok() {
        // It may be gone by now.
        drop(stream.write_all(&content()[first..=last]).await);
    }
}

fn hub(endpoint: Url, mirrors: Vec<Url>) -> Hub {
    Hub::new(HubOptions {
        endpoint,
        mirrors,
        tls: Tls::of_the_system().expect("certificates"),
        tokens: TokenSource::default(),
        metadata_timeout: PATIENCE,
        read_timeout: PATIENCE,
        proxy: None,
        no_proxy: None,
        offline: false,
        clock: Arc::new(SystemClock::new()),
        metrics: Arc::default(),
    })
    .expect("a client")
}

fn planned() -> PlannedFile {
    let hash = Sha256::digest(content());
    let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    PlannedFile {
        path: RepoPath::parse("x.bin").expect("a path"),
        size: SIZE as u64,
        digest: Digest::parse(&hex.concat()).expect("a digest"),
    }
}

fn file(url: &str) -> UrlFile {
    UrlFile {
        url: url.parse().expect("an address"),
        path: RepoPath::parse("x.bin").expect("a path"),
        sha256: None,
        size: None,
        credential: None,
    }
}

fn web(roots: Vec<std::path::PathBuf>) -> Web {
    Web::new(WebOptions {
        offline: false,
        tls: Tls::of_the_system().expect("certificates"),
        networks: vec!["127.0.0.0/8".parse().expect("a network")],
        roots,
        credentials: Vec::new(),
        metadata_timeout: PATIENCE,
        read_timeout: PATIENCE,
        clock: Arc::new(SystemClock::new()),
        metrics: Arc::default(),
    })
}

#[tokio::test]
async fn the_hub_and_its_mirrors_keep_it() {
    let server = Server::start().await;
    let commit: CommitHash = "a".repeat(40).parse().expect("a commit");
    let repo = "org/name".parse().expect("a name");
    let dead: Url = "http://127.0.0.1:9".parse().expect("an address");
    for hub in [hub(server.url(), Vec::new()), hub(dead, vec![server.url()])] {
        let source = ReaderSource::new(hub.file(&repo, &commit, &planned()));
        keeps_the_contract(&source, &content()).await;
    }
}

#[tokio::test]
async fn any_server_keeps_it() {
    let server = Server::start().await;
    let (web, file) = (web(Vec::new()), file(&format!("{}x.bin", server.url())));
    let seen = web.look(&file).await.expect("an answer");
    let source = ReaderSource::new(web.reader(&file, SIZE as u64, Some(seen), false));
    keeps_the_contract(&source, &content()).await;
}

#[tokio::test]
async fn the_disk_keeps_it() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("x.bin"), content()).expect("a file");
    let web = web(vec![folder.path().to_owned()]);
    let file = file(&format!("file://{}/x.bin", folder.path().display()));
    let seen = web.look(&file).await.expect("a file");
    let reader = web.disk_reader(&file, SIZE as u64, Some(seen));
    let source = ReaderSource::new(reader.expect("a file of this machine"));
    keeps_the_contract(&source, &content()).await;
}
