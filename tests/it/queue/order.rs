//! One at a time, in the order of priority and then of asking.

use super::kit::{MIB, begin, hub, one_big};
use crate::support::Sandbox;

#[test]
fn models_come_one_at_a_time_by_priority_and_then_in_the_order_of_asking() {
    let names = ["me/a", "me/b", "me/c", "me/d"];
    let hub = hub(16 * MIB, names.map(|name| one_big(name, 3 * MIB)));
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    sandbox.run(&["pause", "--queue"]).ok();
    for name in names {
        begin(&service, name);
    }
    let db = sandbox.db();
    let raised = "UPDATE jobs SET priority = 5 WHERE model_key =
                  (SELECT model_key FROM models WHERE model_id = 'me/c')";
    assert_eq!(db.execute(raised), 1);
    sandbox.run(&["resume", "--queue"]).ok();
    for name in names {
        service.wait_completed(name);
    }
    let attempts = db.rows(
        "SELECT m.model_id AS id, a.started_at_ms AS began, a.ended_at_ms AS ended FROM attempts a
           JOIN jobs j USING (job_key) JOIN models m USING (model_key) ORDER BY a.started_at_ms",
    );
    let order: Vec<_> = attempts
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    assert_eq!(order, ["me/c", "me/a", "me/b", "me/d"]);
    for pair in attempts.windows(2) {
        assert!(
            pair[0]["ended"].as_i64() <= pair[1]["began"].as_i64(),
            "{pair:?}"
        );
    }
    // The hub saw the same: no model was asked for before the one before it was done.
    let mut seen: Vec<String> = Vec::new();
    for record in hub.requests() {
        let Some(object) = record.object else {
            continue;
        };
        let name = object.split('/').take(2).collect::<Vec<_>>().join("/");
        if seen.last() != Some(&name) {
            seen.push(name);
        }
    }
    assert_eq!(seen, ["me/c", "me/a", "me/b", "me/d"]);
}
