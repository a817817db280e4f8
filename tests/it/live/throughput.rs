//! How fast it went: kept across a restart, and the same for whoever asks.

use serde_json::Value;

use crate::queue::kit::{MIB, begin, hub as slow_hub, one_big};
use crate::support::{LONG, Sandbox, Service, holds, wait_for};

fn sum(service: &Service, span: &str) -> u64 {
    let kept = service
        .http()
        .get(&format!("/api/v1/throughput?span={span}"))
        .ok();
    let step = kept["step_seconds"].as_u64().unwrap();
    let points = kept["points"].as_array().unwrap();
    let t: Vec<i64> = points
        .iter()
        .map(|point| point["t"].as_i64().unwrap())
        .collect();
    assert!(
        t.windows(2)
            .all(|pair| pair[1] == pair[0] + i64::try_from(step).unwrap())
    );
    let bytes = |point: &Value| point["bytes_per_second"].as_u64().unwrap();
    // The last step is not over yet: its mean is over a part of it.
    points.iter().map(bytes).sum::<u64>() * step
}

#[test]
fn the_curve_is_kept_across_a_restart() {
    let hub = slow_hub(4 * MIB, [one_big("org/a", 8 * MIB), one_big("org/b", MIB)]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    for (span, count) in [("5m", 300), ("1h", 360), ("24h", 720)] {
        let empty = service
            .http()
            .get(&format!("/api/v1/throughput?span={span}"))
            .ok();
        let points = empty["points"].as_array().unwrap();
        assert_eq!(points.len(), count, "{span}");
        assert!(points.iter().all(|point| point["bytes_per_second"] == 0));
    }
    assert_eq!(service.http().get("/api/v1/throughput?span=1w").status, 400);
    begin(&service, "org/a");
    service.wait_completed("org/a");
    wait_for(LONG, "all bytes are in the curve", || {
        holds(sum(&service, "5m") >= 8 * MIB)
    });
    let before = sum(&service, "5m");
    assert!(before < 9 * MIB, "{before} bytes");
    service.stop();
    let service = sandbox.serve();
    assert_eq!(sum(&service, "5m"), before, "the same after a restart");
    for span in ["1h", "24h"] {
        assert!(sum(&service, span) > 0, "{span}");
    }
    // A command that worked by itself is in the curve too, however short it was.
    service.stop();
    sandbox.run(&["pull", "org/b"]).ok();
    let service = sandbox.serve();
    let both = sum(&service, "5m");
    assert!(both >= before + MIB, "{before} and {both} bytes");
    let rows = sandbox
        .db()
        .value("SELECT sum(bytes) FROM throughput WHERE step_s = 120");
    assert_eq!(rows.as_u64(), Some(both));
}
