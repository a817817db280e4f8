//! The examples: an app with modelhaul inside is killed, and goes on at its next start.

use std::path::PathBuf;
use std::process::Command;

use modelhaul::testing::{Content, RepoSpec};
use rustix::process::Signal;

use crate::queue::kit::{MIB, hub};
use crate::support::{FileServer, LONG, Sandbox, Served, Service, holds, wait_for};

/// An example as a command; cargo builds them before the tests.
fn example(sandbox: &Sandbox, name: &str, arguments: &[&str]) -> Command {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_modelhaul"));
    let program = program.with_file_name("examples").join(name);
    assert!(
        program.exists(),
        "`cargo build --examples` makes {}",
        program.display()
    );
    let mut command = sandbox.command(program);
    command.args(arguments);
    command
}

/// Ends an app as Ctrl-C does.
#[track_caller]
fn end(mut app: Service) {
    app.signal(Signal::INT);
    let status = app.wait_exit(LONG);
    assert!(status.success(), "{status}\n{}", app.logs());
}

#[test]
fn an_app_that_was_killed_goes_on_where_it_was() {
    let size = 24 * MIB;
    let spec = RepoSpec::new("me/model").generated("model.safetensors", size);
    let hub = hub(8 * MIB, [spec.clone()]);
    let sandbox = Sandbox::with(&hub);
    let folder = sandbox.path("").display().to_string();
    let run = || example(&sandbox, "embed", &[&folder, &hub.endpoint(), "me/model"]);
    let mut first = run().spawn().unwrap();
    wait_for(LONG, "a half of it", || {
        holds(hub.total_bytes_sent() >= size / 2)
    });
    first.kill().unwrap();
    first.wait().unwrap();
    let said = run().output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{said:?}");
    assert!(text.contains("completed"), "{text}");
    let snapshots = sandbox.path("hub/models--me--model/snapshots");
    let commit = hub.head("me/model", "main").unwrap();
    let model = std::fs::read(snapshots.join(commit).join("model.safetensors")).unwrap();
    assert!(model == spec.files()[0].content.read(0..size).unwrap());
    let again = hub.total_bytes_sent() - size;
    assert!(again < 8 * MIB, "{again} bytes were sent again");
}

#[test]
fn a_function_of_an_app_reports_is_cancelled_and_goes_on_after_a_kill() {
    let size = 6 * MIB;
    let content = Content::generated(3, size);
    let server = FileServer::start();
    server.serve("/words", Served::new(content.clone()).rate(MIB));
    let sandbox = Sandbox::new();
    let folder = sandbox.path("").display().to_string();
    let url = server.at("/words");
    let serve = || {
        let command = example(
            &sandbox,
            "with_axum",
            &[&folder, "http://127.0.0.1:9", "0", &url],
        );
        Service::spawn(command, &sandbox.path(""))
    };
    let app = serve();
    assert_eq!(app.http().get("/hello").text(), "hello from the app\n");
    app.start("words").ok();
    // The function's own words, not the growth of the file, which has another name yet.
    let status = app.wait_bytes("words", MIB);
    assert_eq!(
        status["progress"]["current_file"], "words.txt",
        "{status:#}"
    );
    app.http().post("/api/v1/models/words/cancel", None).ok();
    app.wait_status("words", "ended", |status| status["state"] == "cancelled");
    app.start("words").ok();
    app.wait_bytes("words", 3 * MIB);
    app.kill9();
    let app = serve();
    app.wait_completed("words");
    let words = std::fs::read(sandbox.path("words.txt")).unwrap();
    assert!(words == content.read(0..size).unwrap());
    let sent = server.sent();
    assert!(sent < size + 2 * MIB, "{sent} bytes were sent for {size}");
    let job = sandbox
        .db_at("app.db")
        .value("SELECT count(*) FROM jobs WHERE state = 'completed'");
    assert_eq!(job, 1);
    end(app);
}

#[test]
fn the_client_of_a_function_leads_to_no_inner_network() {
    let server = FileServer::start();
    server.serve(
        "/to-inner",
        Served::new(Content::generated(1, 9))
            .status(302)
            .header("location", "http://169.254.169.254/secret"),
    );
    let sandbox = Sandbox::new();
    let folder = sandbox.path("").display().to_string();
    let url = server.at("/to-inner");
    let command = example(
        &sandbox,
        "with_axum",
        &[&folder, "http://127.0.0.1:9", "0", &url],
    );
    let app = Service::spawn(command, &sandbox.path(""));
    app.start("words").ok();
    let status = app.wait_status("words", "ended", |status| status["state"] == "failed");
    assert_eq!(status["error"]["code"], "handler_failed", "{status:#}");
    let text = status.to_string();
    assert!(text.contains("not public"), "{text}");
    end(app);
}
