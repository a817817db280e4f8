//! A server that says exactly the bytes it is told to, and a hub client that asks it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{TimeZone as _, Utc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use super::{Hub, HubOptions, Tls, TokenSource};
use crate::clock::ManualClock;
use crate::domain::{CommitHash, Digest, PlannedFile, RepoId, RepoPath};
use crate::redact::Token;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) target: String,
    headers: HashMap<String, String>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The asked range as `first..=last`.
    pub(super) fn range(&self) -> (usize, usize) {
        let range = self
            .header("range")
            .unwrap()
            .strip_prefix("bytes=")
            .unwrap();
        let (first, last) = range.split_once('-').unwrap();
        (first.parse().unwrap(), last.parse().unwrap())
    }
}

enum Step {
    Send(Vec<u8>),
    Hang,
    Gate(Arc<Semaphore>),
    Reset,
}

/// What the server does with one request; the connection is closed at the end unless it is kept.
pub(super) struct Reply {
    head: String,
    steps: Vec<Step>,
    keep: bool,
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self {
            head: format!("HTTP/1.1 {status} Status\r\n"),
            steps: Vec::new(),
            keep: false,
        }
    }

    pub(super) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    pub(super) fn json(body: &str) -> Self {
        Self::status(200)
            .header("content-type", "application/json")
            .body(body)
    }

    pub(super) fn redirect(status: u16, to: &str) -> Self {
        Self::status(status).header("location", to).body("")
    }

    /// A right answer to a range of `content`.
    pub(super) fn range(seen: &Seen, content: &[u8]) -> Self {
        let (first, last) = seen.range();
        Self::status(206)
            .header(
                "content-range",
                &format!("bytes {first}-{last}/{}", content.len()),
            )
            .body(&content[first..=last])
    }

    /// Never says anything.
    pub(super) fn silence() -> Self {
        Self {
            head: String::new(),
            steps: vec![Step::Hang],
            keep: false,
        }
    }

    /// Something that is no HTTP, then the end.
    pub(super) fn raw(bytes: &str) -> Self {
        Self {
            head: String::new(),
            steps: vec![Step::Send(bytes.into())],
            keep: false,
        }
    }

    /// Breaks the connection.
    pub(super) fn reset() -> Self {
        Self {
            head: String::new(),
            steps: vec![Step::Reset],
            keep: false,
        }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        for part in [name, ": ", value, "\r\n"] {
            self.head += part;
        }
        self
    }

    /// The body with its length.
    pub(super) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.header("content-length", &body.len().to_string())
            .part(body)
    }

    /// Bytes of a body, without a length: the end of the connection ends it.
    pub(super) fn part(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Send(body.into()));
        self
    }

    /// Keeps the connection open without a word.
    pub(super) fn then_hang(mut self) -> Self {
        self.steps.push(Step::Hang);
        self
    }

    /// Leaves the connection open for the next request.
    pub(super) fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// Waits for the gate between two parts.
    pub(super) fn wait(mut self, gate: &Arc<Semaphore>) -> Self {
        self.steps.push(Step::Gate(Arc::clone(gate)));
        self
    }

    /// Holds the whole answer back until the gate opens.
    pub(super) fn gated(mut self, gate: &Arc<Semaphore>) -> Self {
        self.steps.insert(0, Step::Gate(Arc::clone(gate)));
        self
    }

    /// Whether the connection is still good.
    async fn say(mut self, stream: &mut TcpStream) -> std::io::Result<bool> {
        if !self.keep && !self.head.is_empty() {
            self.head += "connection: close\r\n";
        }
        let mut head = Some(format!("{}\r\n", self.head)).filter(|_| !self.head.is_empty());
        for step in self.steps {
            match step {
                Step::Gate(gate) => gate.acquire().await.unwrap().forget(),
                Step::Send(bytes) => {
                    let mut all = head.take().unwrap_or_default().into_bytes();
                    all.extend(bytes);
                    stream.write_all(&all).await?;
                }
                Step::Hang => {
                    stream
                        .write_all(head.take().unwrap_or_default().as_bytes())
                        .await?;
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).await?;
                }
                Step::Reset => return Ok(false),
            }
        }
        if self.keep {
            return Ok(true);
        }
        stream.shutdown().await?;
        Ok(false)
    }
}

/// A server on a port of its own, for as long as it lives.
pub(super) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Answers each request by `answer(request, number of earlier requests)`.
    pub(super) async fn start(
        answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let accepted: Arc<AtomicUsize> = Arc::default();
        let (answer, log, count) = (Arc::new(answer), Arc::clone(&seen), Arc::clone(&accepted));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                connections.spawn(async move {
                    while let Some(request) = read_head(&mut stream).await {
                        let earlier = {
                            let mut log = log.lock().unwrap();
                            log.push(request.clone());
                            log.len() - 1
                        };
                        // A client that goes away early is part of many tests.
                        let said = answer(&request, earlier).say(&mut stream).await;
                        if !said.unwrap_or(false) {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            address,
            seen,
            connections: accepted,
            _tasks: tasks,
        }
    }

    pub(super) fn url(&self) -> Url {
        Url::parse(&format!("http://{}/", self.address)).unwrap()
    }

    /// The URL of a path (which begins with a slash).
    pub(super) fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn hits(&self) -> usize {
        self.seen().len()
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Some(Seen { target, headers })
}

/// Long enough for a slow machine: only tests of silence are impatient.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const SHORT: Duration = Duration::from_millis(500);
pub(super) const SECRET: &str = "hf_secret";
pub(super) const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
pub(super) const SIGNATURE: &str = "X-Amz-Signature=topsecret";

/// The options of a hub client with a token.
pub(super) fn options(endpoint: Url) -> HubOptions {
    HubOptions {
        mirrors: Vec::new(),
        tls: Tls::of_the_system().unwrap(),
        endpoint,
        tokens: TokenSource {
            given: Token::parse(SECRET),
            path: None,
        },
        metadata_timeout: PATIENCE,
        read_timeout: PATIENCE,
        proxy: None,
        no_proxy: None,
        offline: false,
        clock: Arc::new(ManualClock::new(
            Utc.with_ymd_and_hms(2026, 11, 22, 10, 0, 0).unwrap(),
        )),
        metrics: Arc::default(),
    }
}

pub(super) fn hub(server: &Server) -> Hub {
    Hub::new(options(server.url())).unwrap()
}

pub(super) fn impatient(server: &Server) -> Hub {
    Hub::new(HubOptions {
        metadata_timeout: SHORT,
        read_timeout: SHORT,
        ..options(server.url())
    })
    .unwrap()
}

pub(super) fn anonymous(server: &Server) -> Hub {
    let mut options = options(server.url());
    options.tokens.given = None;
    Hub::new(options).unwrap()
}

pub(super) fn repo() -> RepoId {
    "org/name".parse().unwrap()
}

pub(super) fn commit() -> CommitHash {
    SHA.parse().unwrap()
}

pub(super) fn digest() -> Digest {
    Digest::Sha256("a".repeat(64).into())
}

pub(super) fn planned(size: usize) -> PlannedFile {
    PlannedFile {
        path: RepoPath::parse("sub/model.bin").unwrap(),
        size: size as u64,
        digest: digest(),
    }
}

/// Fails when a text holds a secret of these tests.
pub(super) fn assert_clean(text: &impl std::fmt::Debug) {
    let text = format!("{text:?}");
    for secret in [SECRET, "topsecret"] {
        assert!(!text.contains(secret), "{text}");
    }
}
