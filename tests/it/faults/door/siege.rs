//! Messages that could be read in two ways, and crowds that never finish theirs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::faults::kit::{Case, Invariants, slowness};
use crate::faults::scene::{MIB, codes, connect, hub, one_big, p99, raw, register, timed};
use crate::support::{Client, LONG, SHORT, Sandbox, Service, holds, wait_for};

#[test]
fn g110_ambiguous_messages_are_one_request_or_none() {
    let case = Case::open(
        "110b",
        "length and chunks at once, two lengths, bare line ends, pipelined requests",
    );
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox);
    // A hidden second request: whoever is in front must not see another number of requests than we do.
    let hidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (name, request) in [
        (
            "length and chunks",
            format!(
                "POST /api/v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
            ),
        ),
        (
            "chunks and length",
            format!(
                "POST /api/v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{hidden}"
            ),
        ),
        (
            "two lengths",
            format!(
                "POST /api/v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n{hidden}",
                hidden.len()
            ),
        ),
        (
            "another coding",
            format!(
                "POST /api/v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"
            ),
        ),
        (
            "a space before the colon",
            format!(
                "POST /api/v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length : 5\r\n\r\nabcde{hidden}"
            ),
        ),
        (
            "a folded header",
            format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n{hidden}"),
        ),
    ] {
        let answer = raw(service.http(), request.as_bytes());
        assert!(!answer.contains("/hidden"), "{name}: {answer}");
        let codes = codes(&answer);
        assert!(
            codes.len() <= 1 && codes.iter().all(|code| *code >= 400),
            "{name}: {answer}"
        );
    }
    // Pipelined requests are answered in their order.
    let mut request = String::new();
    for n in 0..100 {
        let limit = n % 2;
        write!(
            request,
            "GET /api/v1/jobs?limit={limit} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        .unwrap();
    }
    request.push_str("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let expected: Vec<u16> = (0..100)
        .map(|n| if n % 2 == 0 { 400 } else { 200 })
        .chain([200])
        .collect();
    assert_eq!(codes(&raw(service.http(), request.as_bytes())), expected);
    watched.check(&sandbox, Some(&service));
    case.pass("none hides a second request; 101 pipelined ones are answered in order");
}

#[test]
fn i139_the_second_version_of_http_is_not_spoken() {
    let case = Case::open(
        "139",
        "HTTP/2: its preface with rapid resets behind it, and an Upgrade to h2c",
    );
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1_u32..200).step_by(2) {
        // HEADERS without content, and RST_STREAM.
        preface.extend([0, 0, 1, 1, 5]);
        preface.extend(stream.to_be_bytes());
        preface.push(0x82);
        preface.extend([0, 0, 4, 3, 0]);
        preface.extend(stream.to_be_bytes());
        preface.extend([0, 0, 0, 8]);
    }
    let answer = raw(service.http(), &preface);
    assert!(codes(&answer).iter().all(|code| *code >= 400), "{answer}");
    let upgrade = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let answer = raw(service.http(), upgrade.as_bytes());
    assert!(!answer.contains(" 101 "), "{answer}");
    assert_eq!(service.http().get("/healthz").status, 200);
    case.pass("the connection is closed; no upgrade is granted");
}

/// Asks for the status again and again while `crowd` does its worst; the times of a normal client.
fn besieged(service: &Service, id: &str, crowd: impl FnOnce(&Client) + Send) -> Vec<Duration> {
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let siege = scope.spawn(|| {
            crowd(service.http());
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut took = Vec::new();
        let since = Instant::now();
        while !over.load(std::sync::atomic::Ordering::Relaxed) || took.len() < 50 {
            took.extend(timed(1, || {
                service.status(id);
            }));
            assert!(since.elapsed() < LONG, "the siege does not end");
        }
        siege.join().unwrap();
        took.sort_unstable();
        took
    })
}

/// Opens connections that send `bytes` and no more, `count` in all, and keeps those that were not closed for `time`.
fn crowd(client: &Client, count: usize, bytes: &[u8], time: Duration) {
    let mut open = Vec::new();
    let since = Instant::now();
    for n in 0..count {
        let mut stream = connect(client);
        // It may have been closed for the next one already.
        drop(stream.write_all(bytes));
        open.push(stream);
        if n % 500 == 499 {
            // The test has a bound of open files too; those in front were closed by the service long ago.
            open.drain(..400);
        }
    }
    wait_for(LONG, "the crowd stays for a while", || {
        for stream in &mut open {
            drop(stream.write_all(b"X"));
        }
        holds(since.elapsed() >= time)
    });
}

#[test]
fn g137_a_crowd_does_not_keep_a_client_from_its_status() {
    // Without room for it a client would wait 10 s and more, until those in front of it are given up. How quick the
    // calls are is for the machine without other load, below.
    siege(
        Case::open(
            "137a",
            "3,000 silent connections, half headers, half bodies, deaf readers during a download; status calls p99 < 3 s",
        ),
        Duration::from_secs(3),
    );
}

#[test]
#[ignore = "needs a machine without other load"]
fn g137_a_crowd_does_not_slow_down_a_client() {
    siege(
        Case::open(
            "137b",
            "the same on an idle machine; status calls p99 < 300 ms",
        ),
        Duration::from_millis(300),
    );
}

fn siege(case: Case, bound: Duration) {
    let spec = one_big("org/siege", 12 * MIB);
    let hub = hub(MIB, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let watched = Invariants::watch(&sandbox).idle(&service);
    register(&service, "siege", "org/siege");
    service.start("siege").ok();
    service.wait_bytes("siege", MIB / 2);
    let (memory, files) = (service.rss(), service.open_files());
    let second = Duration::from_secs(1);
    let half_body = "POST /api/v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n{";
    let many = "GET /api/v1/templates HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let mut worst = Vec::new();
    let mut seen_files = 0;
    for (name, count, bytes) in [
        ("silent", 3000, &b""[..]),
        ("half a header", 600, b"GET /healthz HTTP/1.1\r\nHost: loc"),
        ("half a body", 600, half_body.as_bytes()),
        ("deaf to their answers", 100, many.as_bytes()),
    ] {
        let took = besieged(&service, "siege", |client| {
            crowd(client, count, bytes, second);
        });
        seen_files = seen_files.max(service.open_files());
        let p99 = p99(&took);
        // A machine that runs other tests gets more, as its load says.
        let bound = bound.mul_f64(slowness());
        assert!(
            p99 < bound,
            "{name}: p99 {p99:?} of {}, bound {bound:?}",
            took.len()
        );
        worst.push(p99);
    }
    assert!(
        seen_files < files + 320,
        "{files} open files grew to {seen_files}"
    );
    let grown = service.rss().saturating_sub(memory);
    assert!(grown < 120 * MIB, "memory grew by {grown} bytes");
    service.wait_completed("siege");
    wait_for(SHORT, "the seats are free again", || {
        holds(service.open_files() <= files + 20)
    });
    sandbox.assert_snapshot(&spec, &hub.head("org/siege", "main").unwrap());
    watched.check(&sandbox, Some(&service));
    case.pass(format_args!(
        "p99 of a status call {worst:.0?}; memory grew by {grown} bytes; the download was whole"
    ));
}
