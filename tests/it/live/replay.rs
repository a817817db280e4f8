//! A listener that comes again, after a kill too: it misses no line and hears none twice.

use super::{Told, next, numbers, until};
use crate::queue::kit::{MIB, begin, hub as slow_hub, one_big};
use crate::support::{Sandbox, Service};

/// Listens behind `last` until something fits; what was heard, with the last durable id.
fn listen(service: &Service, last: &mut Option<String>, fits: impl Fn(&Told) -> bool) -> Vec<Told> {
    let id = last.clone();
    let headers: Vec<(&str, &str)> = id.iter().map(|id| ("Last-Event-ID", id.as_str())).collect();
    let mut stream = service.http().stream("/api/v1/events", &headers);
    let first = next(&mut stream).unwrap();
    assert_eq!(
        first.name,
        if id.is_some() { "resumed" } else { "snapshot" }
    );
    let mut told = vec![first];
    told.extend(until(&mut stream, fits));
    *last = told.iter().rev().find_map(|event| event.id.clone()).or(id);
    told
}

#[test]
fn nothing_is_missed_and_nothing_told_twice_across_a_kill() {
    let hub = slow_hub(
        4 * MIB,
        [
            one_big("org/a", 8 * MIB),
            one_big("org/b", MIB),
            one_big("org/c", MIB),
        ],
    );
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    let mut last = None;
    let mut told = Vec::new();
    begin(&service, "org/a");
    told.extend(listen(&service, &mut last, |event| {
        event.name == "progress"
    }));
    let begun = told[0].number();
    // Nobody listens while this happens, and the process dies in the middle.
    begin(&service, "org/b");
    service.kill9();
    let service = sandbox.serve();
    begin(&service, "org/c");
    told.extend(listen(&service, &mut last, |event| {
        event.says("org/a", "completed")
    }));
    service.kill9();
    let service = sandbox.serve();
    told.extend(listen(&service, &mut last, |event| {
        event.says("org/c", "completed")
    }));

    let heard = numbers(&told);
    let end = *heard.last().unwrap();
    let expected: Vec<i64> = (begun + 1..=end).collect();
    assert_eq!(heard, expected, "the lines in their order, each once");
    // And they are the lines that the database has.
    let rows = sandbox
        .db()
        .rows("SELECT event_id, kind, model_id FROM events ORDER BY event_id");
    let rows = rows
        .iter()
        .filter(|row| (begun + 1..=end).contains(&row["event_id"].as_i64().unwrap()));
    let heard: Vec<_> = told.iter().filter(|event| event.name == "job").collect();
    for (row, event) in rows.zip(&heard) {
        assert_eq!(
            (&row["kind"], &row["model_id"]),
            (&event.data["kind"], &event.data["model_id"])
        );
    }
}

#[test]
fn many_lines_are_caught_up_with_page_by_page() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve();
    let db = sandbox.db();
    // Written while somebody listens, by another process and all at once.
    let mut early = service.http().stream("/api/v1/events", &[]);
    let begun = next(&mut early).unwrap().number();
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                INSERT INTO events (at_ms, kind, detail) SELECT 1800000000000, 'by_hand', i FROM n";
    db.execute(many);
    let last = |event: &Told| event.data["detail"] == "1000" || event.data["detail"] == 1000;
    let heard = numbers(&until(&mut early, last));
    let expected: Vec<i64> = (begun + 1..=begun + i64::try_from(heard.len()).unwrap()).collect();
    assert_eq!(heard, expected);
    assert!(heard.len() >= 1000);

    let mut late = service
        .http()
        .stream(&format!("/api/v1/events?after={begun}"), &[]);
    assert_eq!(next(&mut late).unwrap().name, "resumed");
    assert_eq!(numbers(&until(&mut late, last)), expected);
}
