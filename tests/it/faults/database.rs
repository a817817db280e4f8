//! Group D, storage: full, damaged, empty and foreign databases.

use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use modelhaul::testing::{Fault, Misdeed};

use super::kit::{Case, Invariants};
use crate::queue::disk::{Small, fill};
use crate::queue::kit::{
    MIB, as_admin, assert_whole, begin, configure, hub, one_big, registration,
};
use crate::support::{LONG, Sandbox, holds, wait_for};

const ID: &str = "me/model";

/// Registers until the disk under the database takes no row any more.
#[track_caller]
fn until_refused(service: &crate::support::Service) {
    let mut count = 0;
    wait_for(LONG, "a row that does not fit is refused", || {
        count += 1;
        let reply = service.register(&registration(&format!("me/filler-{count}")));
        assert!(
            reply.status == 201 || reply.status >= 500,
            "{}",
            reply.text()
        );
        holds(reply.status >= 500)
    });
}

#[test]
fn c70_outcomes_and_clear_on_a_full_disk() {
    let case = Case::open(
        "70b",
        "the disk of the database is full: a try fails, another job is cleared, then room is made",
    );
    let spec = one_big(ID, 16 * MIB);
    let hub = hub(MIB, [spec.clone()]);
    let mut sandbox = Sandbox::with(&hub);
    configure(&mut sandbox, "backoff = \"200ms\"\nbackoff_max = \"1s\"\n");
    let Some(disk) = Small::mount(sandbox.path("data"), 5 * MIB) else {
        drop(case);
        return Case::left_out(
            "70b",
            "a full disk under the database",
            "nothing can be mounted here",
        );
    };
    let database = sandbox.path("data/modelhaul.db");
    sandbox.set_env("MODELHAUL_DB", &database.display().to_string());
    symlink(&database, sandbox.path("modelhaul.db")).unwrap();
    let invariants = Invariants::watch(&sandbox)
        .allow("data/")
        .allow("modelhaul.toml");
    // The job of a repository that is gone, whose answer comes when the disk is full.
    let slow = hub.fault(Fault::hub(
        "*me/gone*",
        Misdeed::Stall {
            after: None,
            for_ms: None,
        },
    ));
    let service = sandbox.serve();
    assert!(
        sandbox.path("data/modelhaul.db.reserve").exists(),
        "room is set aside"
    );
    begin(&service, "me/gone");
    begin(&service, ID);
    let ballast = fill(&disk);
    until_refused(&service);
    hub.clear_faults();
    hub.lift(slow);
    // Its metadata never came: the try ends in a wait or, when the stall was lifted in time, in a failure.
    let ended = "SELECT count(*) FROM jobs WHERE attempt = 1 AND state <> 'running' AND error_code IS NOT NULL";
    wait_for(LONG, "the outcome is written", || {
        holds(sandbox.db().value(ended) == 1)
    });
    fs::copy(
        sandbox.path("data/admin-token"),
        sandbox.path("admin-token"),
    )
    .unwrap();
    let path = format!("/api/model-download/{ID}/clear");
    let cleared = as_admin(&sandbox, &service, "POST", &path, None);
    assert_eq!(cleared.status, 200, "{}", cleared.text());
    assert_eq!(service.status(ID)["status"], "not_started");
    fs::remove_file(ballast).unwrap();
    hub.tune(|settings| settings.rate_total = 0);
    wait_for(LONG, "a start is accepted again", || {
        holds(service.start(ID).status == 202)
    });
    service.wait_completed(ID);
    sandbox.assert_snapshot(&spec, &hub.head(ID, "main").unwrap());
    let used = service.logs().contains("set aside is used now");
    invariants.check(&sandbox, Some(&service));
    service.stop();
    let service = sandbox.serve();
    assert!(
        sandbox.path("data/modelhaul.db.reserve").exists(),
        "room is set aside again"
    );
    service.stop();
    case.pass(format_args!(
        "outcome and clear were written (reserve used: {used}); accepted again when there was room"
    ));
}

/// A database with a completed job and a waiting one, left as a kill leaves it.
fn used(sandbox: &Sandbox, hub: &modelhaul::testing::PracticeHub) {
    let service = sandbox.serve();
    begin(&service, ID);
    service.wait_completed(ID);
    sandbox.run(&["pause", "--queue"]).ok();
    hub.add_repo(&one_big("me/next", MIB));
    begin(&service, "me/next");
    service.kill9();
}

#[test]
fn c84_broken_database_files() {
    let case = Case::open(
        "84",
        "database empty, gone, random, cut in half; WAL gone, cut, random; shared memory gone",
    );
    let spec = one_big(ID, MIB);
    let mut seen = Vec::new();
    for harm in [
        "empty",
        "gone",
        "random",
        "half",
        "wal gone",
        "wal cut",
        "wal random",
        "shm gone",
    ] {
        let hub = hub(0, [spec.clone()]);
        let sandbox = Sandbox::with(&hub);
        used(&sandbox, &hub);
        let file = |suffix: &str| -> PathBuf { sandbox.path(&format!("modelhaul.db{suffix}")) };
        let noise: Vec<u8> = (0..60_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let half = |path: PathBuf| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2 / 4096 * 4096)
                .unwrap();
        };
        match harm {
            "empty" => fs::write(file(""), "").unwrap(),
            "gone" => fs::remove_file(file("")).unwrap(),
            "random" => fs::write(file(""), &noise).unwrap(),
            "half" => half(file("")),
            "wal gone" => fs::remove_file(file("-wal")).unwrap(),
            "wal cut" => half(file("-wal")),
            "wal random" => {
                let wal = fs::OpenOptions::new()
                    .write(true)
                    .open(file("-wal"))
                    .unwrap();
                wal.write_all_at(&noise[..4096], 8192).unwrap();
            }
            _ => fs::remove_file(file("-shm")).unwrap(),
        }
        let before: Vec<_> = ["", "-wal"].map(|end| fs::read(file(end)).ok()).to_vec();
        let ran = sandbox.run(&["queue", "--format", "json"]);
        let opened = ran.code == Some(0);
        seen.push(format!(
            "{harm}: {}",
            if opened { "opened" } else { "refused" }
        ));
        if opened {
            // What is there is whole, and never an empty queue in the place of a full one.
            sandbox.db().assert_sound();
            let models = sandbox.db().value("SELECT count(*) FROM models").as_u64();
            let kept = !matches!(harm, "empty" | "gone" | "random" | "half") || models == Some(2);
            assert!(kept, "{harm}: {models:?} models\n{ran:#?}");
            if harm == "shm gone" {
                assert_eq!(models, Some(2), "every committed row is there");
            }
        } else {
            assert!(ran.stderr.len() > 40, "{harm}: {ran:#?}");
            assert!(
                ran.stderr.contains("modelhaul.db"),
                "{harm}: the text names the file: {ran:#?}"
            );
            let after: Vec<_> = ["", "-wal"].map(|end| fs::read(file(end)).ok()).to_vec();
            assert!(before == after, "{harm}: what is left is left alone");
        }
    }
    case.pass(seen.join(", "));
}

#[test]
fn c87_a_newer_database() {
    let case = Case::open("87", "the database was changed by a newer version");
    let sandbox = Sandbox::new();
    sandbox.run(&["queue"]).ok();
    sandbox.db().execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', 1, x'00', 0)",
    );
    let ran = sandbox.run(&["queue"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(
        ran.stderr.contains("newer modelhaul") && ran.stderr.contains("9999"),
        "{ran:#?}"
    );
    let rows = "SELECT count(*) FROM _sqlx_migrations WHERE version = 9999";
    assert_eq!(sandbox.db().value(rows), 1, "nothing changed");
    case.pass("refused with the step that it does not know; nothing changed");
}

/// Two services and a shell on one database while jobs run, for so long that the hub needs `seconds` for all of them.
fn hammer(case: Case, rate: u64, seconds: u64) {
    let size = seconds * rate / 6;
    let specs: Vec<_> = (0..6).map(|n| one_big(&format!("me/m{n}"), size)).collect();
    let hub = hub(rate, specs.clone());
    let sandbox = Sandbox::with(&hub);
    let invariants = Invariants::watch(&sandbox);
    let (first, second) = (sandbox.serve(), sandbox.serve());
    let db = sandbox.db();
    let version = db
        .value("SELECT sqlite_version()")
        .as_str()
        .unwrap()
        .to_owned();
    let number: Vec<u32> = version
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect();
    assert!(number >= vec![3, 51, 3], "{version}");
    for (n, spec) in specs.iter().enumerate() {
        begin([&first, &second][n % 2], spec.id());
    }
    let open = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')";
    let mut rounds = 0;
    wait_for(
        LONG + Duration::from_secs(2 * seconds),
        "all jobs end",
        || {
            db.try_execute("UPDATE settings SET probe = probe + 1")
                .unwrap();
            db.try_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            rounds += 1;
            holds(db.value(open) == 0)
        },
    );
    db.assert_sound();
    for spec in &specs {
        assert_eq!(first.status(spec.id())["status"], "completed");
    }
    invariants.check(&sandbox, Some(&first));
    assert_whole_each(&sandbox, &hub, &specs);
    case.pass(format_args!(
        "SQLite {version}; sound after {rounds} writes and checkpoints beside two services"
    ));
}

#[test]
fn c83_two_connections_that_write_and_checkpoint() {
    let case = Case::open(
        "83",
        "the linked SQLite; two services and a shell that checkpoints on one database while jobs run",
    );
    hammer(case, 4 * MIB, 2);
}

#[test]
#[ignore = "takes ten minutes"]
fn c83_two_connections_that_write_and_checkpoint_for_long() {
    let case = Case::open("83b", "the same for ten minutes");
    hammer(case, MIB / 2, 600);
}

#[track_caller]
fn assert_whole_each(
    sandbox: &Sandbox,
    hub: &modelhaul::testing::PracticeHub,
    specs: &[modelhaul::testing::RepoSpec],
) {
    for spec in specs {
        assert_whole(sandbox, hub, spec);
    }
}
