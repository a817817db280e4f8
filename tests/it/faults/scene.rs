//! What the cases of clients share: a service before a hub of known speed, an administrator, and raw requests.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use modelhaul::testing::{HubConfig, PracticeHub, RepoSpec, Settings};
use serde_json::{Value, json};

use crate::support::{Client, Reply, Sandbox, Service};

/// One MiB.
pub(super) const MIB: u64 = 1 << 20;

/// A hub that sends so many bytes per second in all.
pub(super) fn hub(rate: u64, repos: impl IntoIterator<Item = RepoSpec>) -> PracticeHub {
    let config = HubConfig {
        settings: Settings {
            rate_total: rate,
            ..Settings::default()
        },
        ..HubConfig::with(repos)
    };
    PracticeHub::start(config).unwrap()
}

/// A repository with one big file and a small one.
pub(super) fn one_big(id: &str, size: u64) -> RepoSpec {
    RepoSpec::new(id)
        .file("config.json", "{}\n")
        .generated("big.bin", size)
}

/// Registers a repository under an id.
#[track_caller]
pub(super) fn register(service: &Service, id: &str, repo: &str) {
    let body = json!({"model_id": id, "kind": "generic", "repo_id": repo});
    service.register(&body).ok();
}

/// Asks for what only an administrator may do.
#[track_caller]
pub(super) fn as_admin(
    sandbox: &Sandbox,
    service: &Service,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Reply {
    let authorization = format!("Bearer {}", admin_token(sandbox));
    let headers = [("Authorization", authorization.as_str())];
    service.http().request(method, path, &headers, body)
}

/// The token that the service made.
pub(super) fn admin_token(sandbox: &Sandbox) -> String {
    let token = fs::read_to_string(sandbox.path("admin-token")).unwrap();
    token.trim().to_owned()
}

/// A connection to a server, on which nothing is waited for longer than half a minute.
pub(crate) fn connect(client: &Client) -> TcpStream {
    let address = client.url();
    let stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).unwrap();
    stream.set_write_timeout(patience).unwrap();
    stream
}

/// Sends bytes as they are and reads until the other side closes; what came is answered, also after a reset.
pub(super) fn raw(client: &Client, request: &[u8]) -> String {
    let mut stream = connect(client);
    // The other side may have said no and closed before all of it was sent.
    drop(stream.write_all(request));
    rest(&mut stream)
}

/// Everything that still comes.
pub(super) fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status codes of all answers in a text.
pub(super) fn codes(text: &str) -> Vec<u16> {
    text.split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| answer[..3].parse().unwrap())
        .collect()
}

/// How long `times` requests took, the longest last.
pub(crate) fn timed(times: usize, mut ask: impl FnMut()) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let since = Instant::now();
            ask();
            since.elapsed()
        })
        .collect();
    took.sort_unstable();
    took
}

/// The time within which 99 of 100 were done.
pub(crate) fn p99(took: &[Duration]) -> Duration {
    took[(took.len() * 99).div_ceil(100) - 1]
}
