//! Templates through the doors: lists, one in full, the user's own, and the check against a repository.

use std::fs;

use serde_json::Value;

use crate::support::Sandbox;
use crate::world::{JTP2, WDV3, hub, sandbox};

fn own(sandbox: &Sandbox, name: &str, text: &str) {
    let folder = sandbox.path("own");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn templates_are_listed_shown_and_their_faults_named() {
    let sandbox = Sandbox::new();
    own(
        &sandbox,
        "wdv3.toml",
        "format = 1\nid = \"wdv3\"\ndescription = \"Mine.\"\nrequired = [\"a.onnx\"]\n",
    );
    own(
        &sandbox,
        "bad.toml",
        "format = 1\nid = \"bad\"\ndescription = \"Bad.\"\nrequird = [\"a\"]\n",
    );
    let run = |arguments: &[&str]| {
        let mut line = vec!["--template-dir", "own"];
        line.extend(arguments);
        sandbox.run(&line)
    };
    let listed = run(&["templates", "ls"]);
    assert!(
        listed.stderr.contains("bad.toml:4: `requird`"),
        "{listed:#?}"
    );
    let listed = listed.ok();
    assert!(
        listed.contains("blip-base") && listed.contains("Mine."),
        "{listed}"
    );
    let checked = run(&["templates", "check"]);
    assert_eq!(checked.code, Some(1), "{checked:#?}");
    assert!(checked.stdout.contains("bad.toml:4"), "{checked:#?}");
    let doctor = run(&["doctor"]).stdout;
    assert!(doctor.contains("bad.toml:4"), "{doctor}");
    let shown = run(&["templates", "show", "wdv3"]).ok();
    assert!(shown.contains("required = [\"a.onnx\"]"), "{shown}");
    assert_eq!(run(&["templates", "show", "nothing"]).code, Some(3));

    let service = sandbox.serve_with(&["--template-dir", "own"]);
    let http = service.http();
    let first = http.get("/api/v1/templates?limit=2").ok();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(first["problems"][0]["line"], 4);
    let next = first["next"].as_str().unwrap();
    let second = http
        .get(&format!("/api/v1/templates?limit=500&after={next}"))
        .ok();
    assert_eq!(second["next"], Value::Null);
    let first_id = second["items"][0]["id"].as_str().unwrap();
    assert!(first_id > next);
    let shown = http.get("/api/v1/templates/transformers+code").ok();
    assert_eq!(shown["id"], "transformers+code");
    assert_eq!(http.get("/api/v1/templates/nothing").status, 404);
    assert_eq!(http.get("/api/v1/templates?limit=0").status, 400);
}

#[test]
fn a_template_is_compared_with_a_repository() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let good = sandbox.run(&["templates", "check", "wdv3-vit"]);
    assert_eq!(good.code, Some(0), "{good:#?}");
    assert!(good.stdout.contains(WDV3), "{good:#?}");
    let asked = hub.requests().len();
    assert_eq!(asked, 2, "one revision, one listing");
    let bad = sandbox.run(&["templates", "check", "wdv3", JTP2, "--format", "json"]);
    assert_eq!(bad.code, Some(1), "{bad:#?}");
    let bad: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!(bad["findings"][0]["finding"], "unmatched", "{bad:#}");
    let unknown = sandbox.run(&["templates", "check", "nothing"]);
    assert_eq!(unknown.code, Some(3), "{unknown:#?}");
    let homeless = sandbox.run(&["templates", "check", "diffusers"]);
    assert_eq!(homeless.code, Some(2), "{homeless:#?}");
}
