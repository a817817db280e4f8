//! Many who listen, and some who never read.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::{next, until};
use crate::faults::scene::{connect, p99, timed};
use crate::queue::kit::{MIB, begin, hub as slow_hub, one_big, registration};
use crate::support::{LONG, SHORT, Sandbox, holds, wait_for};

const REQUEST: &str = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// What 200 listeners may take.
const MOST: u64 = 50 * 1_000_000;
/// What a status call may take beside them, on a crowded machine and without optimisation.
const QUICK: Duration = Duration::from_millis(250);

fn ask(client: &crate::support::Client) -> TcpStream {
    let mut stream = connect(client);
    stream.write_all(REQUEST.as_bytes()).unwrap();
    stream
}

/// Lines of the trail that 20 deaf listeners cannot take in: some 2 MB.
const LINES: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
     INSERT INTO events (at_ms, kind, detail) SELECT 1800000000000, 'by_hand', hex(zeroblob(20000)) FROM n";
const ROUNDS: u64 = 4;
/// What one round is at least, as JSON.
const ROUND: u64 = 50 * 40_000;

/// 180 that read and 20 that do not, while a model is downloaded, 150 wait, and more is told than the deaf ones' sockets hold.
#[test]
fn two_hundred_listeners_cost_little_and_keep_nobody_waiting() {
    // Four minutes: it must not end before all have heard of it, on any machine.
    let hub = slow_hub(MIB / 4, [one_big("org/big", 64 * MIB)]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let db = sandbox.db();
    for n in 0..150 {
        service
            .register(&registration(&format!("org/waits-{n}")))
            .ok();
    }
    begin(&service, "org/big");
    service.wait_bytes("org/big", MIB / 4);
    for n in 0..150 {
        service.start(&format!("org/waits-{n}")).ok();
    }
    let before = service.rss();
    let mut most = before;
    let deaf: Vec<TcpStream> = (0..20).map(|_| ask(service.http())).collect();
    let (heard, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let received: Vec<AtomicU64> = (0..180).map(|_| AtomicU64::new(0)).collect();
    let streams: Vec<TcpStream> = (0..180).map(|_| ask(service.http())).collect();
    std::thread::scope(|scope| {
        for (mut stream, received) in streams.into_iter().zip(&received) {
            let (heard, over) = (&heard, &over);
            scope.spawn(move || {
                stream
                    .set_read_timeout(Some(Duration::from_millis(200)))
                    .unwrap();
                let mut buffer = vec![0; 64 << 10];
                let mut said = false;
                while !over.load(Ordering::Relaxed) {
                    let Ok(count) = stream.read(&mut buffer) else {
                        continue;
                    };
                    assert!(count > 0, "the stream ended");
                    received.fetch_add(count as u64, Ordering::Relaxed);
                    if !said
                        && String::from_utf8_lossy(&buffer[..count]).contains("event: progress")
                    {
                        said = true;
                        heard.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        wait_for(LONG, "all who read hear of the progress", || {
            most = most.max(service.rss());
            holds(heard.load(Ordering::Relaxed) == 180)
        });
        let mut took = timed(200, || {
            service.status("org/big");
        });
        took.sort_unstable();
        let quiet = p99(&took);
        for round in 1..=ROUNDS {
            db.execute(LINES);
            wait_for(LONG, "all who read hear all of it", || {
                most = most.max(service.rss());
                let all = |one: &AtomicU64| one.load(Ordering::Relaxed) >= round * ROUND;
                holds(received.iter().all(all))
            });
        }
        let mut took = timed(200, || {
            service.status("org/big");
        });
        took.sort_unstable();
        let after = p99(&took);
        most = most.max(service.rss());
        over.store(true, Ordering::Relaxed);
        let grown = most - before;
        println!(
            "200 listeners, 20 deaf: at most {} KiB more, status p99 {quiet:?}, after {} MB to each {after:?}",
            grown / 1024,
            ROUNDS * ROUND / 1_000_000
        );
        assert!(grown < MOST, "memory grew by {grown} bytes");
        for p99 in [quiet, after] {
            assert!(p99 < QUICK, "a status call took {p99:?}");
        }
    });
    drop(deaf);
    wait_for(SHORT, "the places are free again", || {
        holds(service.open_files() < 60)
    });
}

#[test]
fn who_does_not_keep_up_is_told_and_dropped_and_comes_again() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let db = sandbox.db();
    let mut stream = service.http().stream("/api/v1/events", &[]);
    let begun = next(&mut stream).unwrap();
    // Far more than the buffers of both ends hold, while nobody reads.
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
                INSERT INTO events (at_ms, kind, detail) SELECT 1800000000000, 'by_hand', hex(zeroblob(20000)) FROM n";
    let mut watcher = service.http().stream("/api/v1/events", &[]);
    next(&mut watcher).unwrap();
    let before = service.rss();
    // 96 MB in all: more than the bound below, and told before the server gives a deaf connection up.
    for _ in 0..6 {
        db.execute(many);
        let last = db
            .value("SELECT max(event_id) FROM events")
            .as_i64()
            .unwrap();
        until(&mut watcher, |event| {
            event.name == "job" && event.number() >= last
        });
    }
    let grown = service.rss().saturating_sub(before);
    let told = until(&mut stream, |event| event.name == "bye");
    assert_eq!(told.last().unwrap().data["reason"], "lagged");
    assert!(next(&mut stream).is_none());
    let heard = super::numbers(&told);
    let expected: Vec<i64> = (begun.number() + 1..).take(heard.len()).collect();
    assert_eq!(heard, expected, "up to the goodbye nothing is missing");
    // It goes on where it was.
    let last = told
        .iter()
        .rev()
        .find_map(|event| event.id.clone())
        .unwrap();
    let mut stream = service
        .http()
        .stream("/api/v1/events", &[("Last-Event-ID", &last)]);
    assert_eq!(next(&mut stream).unwrap().name, "resumed");
    let all = db
        .value("SELECT max(event_id) FROM events")
        .as_i64()
        .unwrap();
    let told = until(&mut stream, |event| {
        event.name == "job" && event.number() == all
    });
    assert_eq!(super::numbers(&told)[0], heard.last().unwrap() + 1);
    assert!(grown < 64 * MIB, "memory grew by {grown} bytes");
}

#[test]
fn there_is_no_place_for_more_than_can_listen() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let streams: Vec<TcpStream> = (0..256).map(|_| ask(service.http())).collect();
    // One that overtakes an earlier one keeps its place.
    let mut overtaken = Vec::new();
    let refused = wait_for(SHORT, "all places are taken", || {
        // A stream that is let in does not end: only its head is read.
        let mut stream = ask(service.http());
        let mut text = vec![0; 4096];
        let count = stream.read(&mut text).unwrap();
        let text = String::from_utf8_lossy(&text[..count]).into_owned();
        let refused = !text.starts_with("HTTP/1.1 200");
        overtaken.push(stream);
        refused.then_some(text)
    });
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("too_many_streams"), "{refused}");
    assert!(refused.contains("retry-after"), "{refused}");
    // Everything else is answered, and nobody who listens was closed for it.
    for _ in 0..20 {
        assert_eq!(service.http().get("/healthz").status, 200);
    }
    let mut first = streams.into_iter().next().unwrap();
    first.set_read_timeout(Some(SHORT)).unwrap();
    let mut text = vec![0; 1024];
    assert!(first.read(&mut text).unwrap() > 0);
    assert!(text.starts_with(b"HTTP/1.1 200"));
}
