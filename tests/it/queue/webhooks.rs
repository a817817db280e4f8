//! Webhooks, told by the real service to a real receiver.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::support::{LONG, Sandbox, wait_for};
use crate::world::{hub, sandbox};
use serde_json::{Value, json};

const SECRET: &str = "a secret that nobody sees";

/// A request as it came.
#[derive(Debug)]
struct Told {
    headers: Vec<(String, String)>,
    body: String,
}

impl Told {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver that gives these answers one after the other, the last one for ever; it ends with the test's process.
fn receiver(answers: &'static [&'static str]) -> (String, Receiver<Told>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, came) = mpsc::channel();
    std::thread::spawn(move || {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept() else {
                return;
            };
            let mut reader = BufReader::new(stream);
            let mut headers = Vec::new();
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some((name, value)) = line.trim_end().split_once(": ") {
                    headers.push((name.to_ascii_lowercase(), value.to_owned()));
                }
                line.clear();
            }
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            let answer = answers.get(number).or(answers.last()).unwrap();
            let text =
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            drop(reader.get_mut().write_all(text.as_bytes()));
            if told.send(Told { headers, body }).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}/hook?key=canary"), came)
}

/// Adds a webhook to the sandbox's configuration.
fn configure(sandbox: &Sandbox, url: &str, more: &str) {
    let path = sandbox.path("home/.config/modelhaul/config.toml");
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    let hook = format!("{more}\n[[webhook]]\nurl = '{url}'\nsecret = '{SECRET}'\n");
    text.push_str(&hook);
    fs::write(path, text).unwrap();
}

const LOCAL: &str = "webhook_networks = ['127.0.0.0/8']";

fn wd() -> Value {
    json!({"model_id": "wd", "kind": "caption", "repo_id": crate::world::WDV3, "template": "wdv3"})
}

/// The signature by another implementation.
fn signed_by_openssl(seconds: &str, body: &str) -> String {
    use std::process::{Command, Stdio};
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("{seconds}.{body}");
    openssl
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let printed = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
    printed.trim().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn the_end_of_a_job_is_told_signed_and_again_until_it_arrives() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let (url, came) = receiver(&[
        "500 No",
        "302 Found\r\nlocation: http://127.0.0.1:1/",
        "204 Fine",
    ]);
    configure(&sandbox, &url, LOCAL);
    let service = sandbox.serve();
    service.register(&wd());
    service.start("wd");
    let told: Vec<Told> = (0..3).map(|_| came.recv_timeout(LONG).unwrap()).collect();
    let last = &told[2];
    assert_eq!(last.header("x-modelhaul-event"), "job.completed");
    assert_eq!(last.json()["model_id"], "wd");
    assert_eq!(last.json()["state"], "completed");
    assert!(last.json()["error"].is_null());
    let ids: Vec<&str> = told
        .iter()
        .map(|told| told.header("x-modelhaul-delivery"))
        .collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
    let (seconds, given) = last
        .header("x-modelhaul-signature")
        .split_once(",v1=")
        .unwrap();
    let seconds = seconds.strip_prefix("t=").unwrap();
    assert_eq!(given, signed_by_openssl(seconds, &last.body));
    wait_for(LONG, "the outbox is empty", || {
        (sandbox.db().value("SELECT count(*) FROM deliveries") == 0).then_some(())
    });
    assert!(
        came.recv_timeout(Duration::from_millis(700)).is_err(),
        "told once more"
    );
    let logs = service.logs();
    assert!(
        logs.contains("could not be told") && !logs.contains("canary") && !logs.contains(SECRET)
    );
    let db = String::from_utf8_lossy(&fs::read(sandbox.path("modelhaul.db")).unwrap()).into_owned();
    assert!(!db.contains("canary") && !db.contains(SECRET));
    assert!(
        !service
            .http()
            .get("/api/v1/config")
            .text()
            .contains("canary")
    );
}

#[test]
fn what_was_to_be_told_survives_a_kill_and_a_receiver_that_is_not_there_yet() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    // A place where nobody listens yet.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    configure(&sandbox, &format!("http://{address}/hook"), LOCAL);
    let service = sandbox.serve();
    service.register(&wd());
    service.start("wd");
    service.wait_completed("wd");
    wait_for(LONG, "the first try has failed", || {
        let tries = sandbox
            .db()
            .value("SELECT coalesce(max(tries), 0) FROM deliveries");
        (tries != 0).then_some(())
    });
    service.kill9();
    let listener = TcpListener::bind(address).unwrap();
    let service = sandbox.serve();
    let (stream, _) = listener.accept().unwrap();
    let mut first = String::new();
    BufReader::new(stream).read_line(&mut first).unwrap();
    assert!(first.starts_with("POST /hook "), "{first}");
    service.stop();
}

#[test]
fn a_receiver_in_a_network_that_is_not_allowed_is_never_connected_to() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let (url, came) = receiver(&["204 Fine"]);
    configure(&sandbox, &url, "");
    let service = sandbox.serve();
    service.register(&wd());
    service.start("wd");
    service.wait_completed("wd");
    let error = wait_for(LONG, "it is refused", || {
        let error = sandbox.db().value("SELECT max(last_error) FROM deliveries");
        error.as_str().map(str::to_owned)
    });
    assert!(
        error.contains("not public") && !error.contains("127"),
        "{error}"
    );
    assert!(came.try_recv().is_err());
}

#[test]
fn a_webhook_that_cannot_be_understood_is_refused_with_its_line_and_without_its_secret() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    configure(&sandbox, "ftp://canary.test/", "");
    let ran = sandbox.run(&["config", "show"]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(
        ran.stderr.contains("config.toml:4") && ran.stderr.contains("http"),
        "{ran:?}"
    );
    assert!(
        !ran.stderr.contains("canary") && !ran.stderr.contains(SECRET),
        "{ran:?}"
    );
}

#[test]
fn a_kill_between_telling_and_forgetting_tells_twice_under_one_number() {
    let hub = hub();
    let mut sandbox = sandbox(&hub);
    let (url, came) = receiver(&["204 Fine"]);
    configure(&sandbox, &url, LOCAL);
    sandbox.set_env("MODELHAUL_FAILPOINTS", "webhook-told=kill");
    let mut service = sandbox.serve();
    service.register(&wd());
    service.start("wd");
    assert!(!service.wait_exit(LONG).success());
    sandbox.set_env("MODELHAUL_FAILPOINTS", "");
    let service = sandbox.serve();
    let number = |told: Told| told.header("x-modelhaul-delivery").to_owned();
    let first = number(came.recv_timeout(LONG).unwrap());
    assert_eq!(first, number(came.recv_timeout(LONG).unwrap()));
    service.wait_completed("wd");
    service.stop();
}

#[test]
fn a_message_is_given_up_at_last_and_kept_for_people() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let (url, came) = receiver(&["503 Busy"]);
    configure(&sandbox, &url, LOCAL);
    let service = sandbox.serve();
    service.register(&wd());
    service.start("wd");
    came.recv_timeout(LONG).unwrap();
    sandbox.db().execute("UPDATE deliveries SET tries = 19");
    wait_for(LONG, "it is given up", || {
        (sandbox
            .db()
            .value("SELECT count(*) FROM deliveries WHERE dead = 1")
            == 1)
            .then_some(())
    });
    let rows = sandbox
        .db()
        .rows("SELECT state, model, last_error FROM v_deliveries");
    assert_eq!(
        rows,
        [json!({"state": "given up", "model": "wd", "last_error": "the receiver answered 503"})]
    );
    // Nobody is configured any more: what was still to be told goes with it.
    service.stop();
    fs::write(
        sandbox.path("home/.config/modelhaul/config.toml"),
        "backoff = '50ms'\n",
    )
    .unwrap();
    let _service = sandbox.serve();
    wait_for(LONG, "it is forgotten", || {
        (sandbox.db().value("SELECT count(*) FROM deliveries") == 0).then_some(())
    });
}
