//! Accepted is kept: whatever was answered with a 2xx is a row, and equal questions make one job.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::kit::{Dice, MIB, assert_whole, hub, one_big, registration};
use crate::support::{Client, LONG, Sandbox, holds, wait_for};

#[test]
fn a_hundred_equal_starts_make_one_job() {
    let spec = one_big("me/model", 2 * MIB);
    let hub = hub(0, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let service = sandbox.serve();
    service.register(&registration("me/model")).ok();
    // Nothing runs yet, so the job cannot be over before the last one asks.
    sandbox.run(&["pause", "--queue"]).ok();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..100)
            .map(|n| {
                let path = ["me/model", "me%2Fmodel"][n % 2];
                let service = &service;
                scope.spawn(move || service.start(path))
            })
            .collect();
        let answers = asking.into_iter();
        answers.map(|answer| answer.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.status == 202));
    let bodies: Vec<_> = answers.iter().map(|answer| answer.ok()).collect();
    let created = bodies.iter().filter(|body| body["created"] == true);
    assert_eq!(created.count(), 1);
    assert!(
        bodies
            .iter()
            .all(|body| body["job_id"] == bodies[0]["job_id"])
    );
    assert_eq!(sandbox.db().value("SELECT count(*) FROM jobs"), 1);
    sandbox.run(&["resume", "--queue"]).ok();
    service.wait_completed("me/model");
    assert_whole(&sandbox, &hub, &spec);
    assert_eq!(hub.counters().cdn_bytes, 2 * MIB, "1.0 times");
}

#[test]
fn what_was_accepted_survives_kills_at_any_moment() {
    // Enough that several starts share a commit.
    const CLIENTS: u64 = 16;
    const KILLS: u32 = 15;
    let sandbox = Sandbox::new();
    // Jobs by model, as the clients were told; and where the service listens now.
    let ledger = Mutex::new(BTreeMap::new());
    let address: Mutex<Option<Client>> = Mutex::new(None);
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let ask = |client: u64| {
        let mut n = 0;
        while !over.load(Ordering::Relaxed) {
            let Some(http) = address.lock().unwrap().clone() else {
                std::thread::yield_now();
                continue;
            };
            n += 1;
            let id = format!("client-{client}/model-{n}");
            let body = registration(&id);
            let added = http.try_request("POST", "/api/v1/models", &[], Some(&body));
            if !added.is_ok_and(|added| added.whole && added.status == 201) {
                continue;
            }
            ledger.lock().unwrap().insert(id.clone(), None);
            let path = format!("/api/model-download/{id}/start");
            let Ok(started) = http.try_request("POST", &path, &[], None) else {
                continue;
            };
            if started.status == 202 && started.whole {
                let job = started.json()["job_id"].as_str().unwrap().to_owned();
                ledger.lock().unwrap().insert(id, Some(job));
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let mut dice = Dice::new();
    std::thread::scope(|scope| {
        let ask = &ask;
        for client in 0..CLIENTS {
            scope.spawn(move || ask(client));
        }
        for _ in 0..KILLS {
            let service = sandbox.serve();
            *address.lock().unwrap() = Some(service.http().clone());
            let until = asked.load(Ordering::Relaxed) + dice.below(60);
            wait_for(LONG, "some starts are accepted", || {
                holds(asked.load(Ordering::Relaxed) >= until)
            });
            service.kill9();
            *address.lock().unwrap() = None;
        }
        over.store(true, Ordering::Relaxed);
    });
    let db = sandbox.db();
    db.assert_sound();
    let models = db.rows("SELECT model_id FROM models");
    let models: Vec<_> = models.iter().map(|row| row["model_id"].as_str()).collect();
    let jobs = db.rows("SELECT m.model_id, j.job_id FROM jobs j JOIN models m USING (model_key)");
    let jobs: BTreeMap<_, _> = jobs
        .iter()
        .map(|row| (row["model_id"].as_str().unwrap(), row["job_id"].as_str()))
        .collect();
    let ledger = ledger.into_inner().unwrap();
    for (id, job) in &ledger {
        assert!(models.contains(&Some(id.as_str())), "{id} was registered");
        if let Some(job) = job {
            assert_eq!(jobs.get(id.as_str()), Some(&Some(job.as_str())), "{id}");
        }
    }
    assert!(ledger.values().flatten().count() > 20, "enough was asked");
    // No kill made a second job of one wish.
    assert_eq!(db.value("SELECT count(*) FROM jobs"), jobs.len());
}
