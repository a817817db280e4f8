//! Chaos: several processes on one database, killed, frozen and robbed of their lease at random; all invariants.

use std::time::{Duration, Instant};

use modelhaul::testing::RepoSpec;

use super::kit::{Case, Invariants, Ledger};
use crate::queue::kit::{Dice, MIB, hub, one_big, registration};
use crate::queue::takeover::short_lease;
use crate::support::{LONG, Sandbox, Service, holds, wait_for};

const PROCESSES: usize = 3;

/// Seconds of chaos.
#[expect(clippy::disallowed_methods, reason = "a person sets it for one run")]
fn duration() -> Duration {
    let given = std::env::var("MODELHAUL_CHAOS_SECONDS").ok();
    Duration::from_secs(given.and_then(|text| text.parse().ok()).unwrap_or(120))
}

/// Counts of what was done.
#[derive(Debug, Default)]
struct Done {
    kills: u32,
    freezes: u32,
    thefts: u32,
    starts: u32,
}

#[test]
#[ignore = "takes two minutes, or MODELHAUL_CHAOS_SECONDS"]
fn c54c_chaos() {
    let case = Case::open(
        "54c",
        "3 processes on one database: SIGKILL, SIGSTOP, SIGCONT, `DELETE FROM lease`, new jobs",
    );
    let length = duration();
    let specs: Vec<RepoSpec> = (0..400)
        .map(|n| one_big(&format!("me/model-{n:03}"), 2 * MIB + n))
        .collect();
    let hub = hub(16 * MIB, specs);
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let db = short_lease(&sandbox);
    let mut dice = Dice::new();
    let mut ledger = Ledger::default();
    let mut done = Done::default();
    let mut processes: Vec<(Service, bool)> =
        (0..PROCESSES).map(|_| (sandbox.serve(), false)).collect();
    let until = Instant::now() + length;
    while Instant::now() < until {
        let victim = usize::try_from(dice.below(PROCESSES as u64)).unwrap();
        match dice.below(10) {
            0 | 1 => {
                let (service, _) = processes.swap_remove(victim);
                service.kill9();
                done.kills += 1;
                let fresh = start_beside(&sandbox, &mut processes);
                processes.push((fresh, false));
            }
            2 | 3 if !processes[victim].1 => {
                processes[victim].0.sigstop();
                processes[victim].1 = true;
                done.freezes += 1;
            }
            4 | 5 => wake(&mut processes),
            6 => {
                // A process that was frozen in a transaction may keep the lock; a person would try again.
                done.thefts += u32::from(
                    db.try_execute_soon("DELETE FROM lease")
                        .is_ok_and(|rows| rows > 0),
                );
            }
            _ => {
                let Some((service, _)) = processes.iter().find(|(_, frozen)| !frozen) else {
                    wake(&mut processes);
                    continue;
                };
                let id = format!("me/model-{:03}", done.starts % 400);
                // With the write lock frozen, this is refused after a while; what is accepted counts.
                let added = service.http().try_request(
                    "POST",
                    "/api/v1/models",
                    &[],
                    Some(&registration(&id)),
                );
                if added.is_ok_and(|reply| reply.status == 201 || reply.status == 200)
                    && let Ok(reply) = service.http().try_request(
                        "POST",
                        &format!("/api/model-download/{id}/start"),
                        &[],
                        None,
                    )
                {
                    ledger.note(&id, &reply);
                    done.starts += 1;
                }
            }
        }
        std::thread::park_timeout(Duration::from_millis(dice.below(400)));
    }
    wake(&mut processes);
    let open = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')";
    hub.tune(|settings| settings.rate_total = 0);
    wait_for(Duration::from_mins(10), "all jobs end", || {
        holds(db.value(open) == 0)
    });
    ledger.check(&sandbox);
    let bad =
        db.rows("SELECT job_id, state, error_code, error FROM jobs WHERE state <> 'completed'");
    assert!(bad.is_empty(), "{bad:#?}");
    for sql in [
        "SELECT count(*) FROM attempts WHERE ended_at_ms IS NULL",
        "SELECT count(*) FROM (SELECT 1 FROM attempts WHERE outcome = 'completed' GROUP BY job_key HAVING count(*) > 1)",
        "SELECT count(*) FROM jobs WHERE retries > 0",
        "SELECT count(*) FROM attempts a JOIN attempts b ON a.job_key = b.job_key AND a.attempt < b.attempt
          WHERE a.lease_token > b.lease_token",
    ] {
        assert_eq!(db.value(sql), 0, "{sql}");
    }
    let (last, _) = &processes[0];
    wait_for(LONG, "the idle service is well", || {
        holds(last.http().get("/readyz").status == 200)
    });
    invariants.check(&sandbox, Some(last));
    case.pass(format_args!(
        "{} s: {} kills, {} freezes, {} leases deleted, {} jobs; none lost, doubled or failed",
        length.as_secs(),
        done.kills,
        done.freezes,
        done.thefts,
        ledger.len()
    ));
}

/// Starts a process; one that is frozen inside a transaction would keep it from opening the database.
fn start_beside(sandbox: &Sandbox, processes: &mut [(Service, bool)]) -> Service {
    wake(processes);
    sandbox.serve()
}

fn wake(processes: &mut [(Service, bool)]) {
    for (service, frozen) in processes.iter_mut().filter(|(_, frozen)| *frozen) {
        service.sigcont();
        *frozen = false;
    }
}
