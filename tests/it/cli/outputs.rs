//! What the commands print: for people and for programs, and never a control character into a pipe.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::support::Sandbox;
use crate::world::{WDV3, hub, sandbox};

/// Runs a command for programs and reads its one value.
#[track_caller]
fn value(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let text = sandbox
        .run(&[arguments, &["--format", "json"]].concat())
        .ok();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The text of a command without what differs from run to run.
#[track_caller]
fn text(sandbox: &Sandbox, commit: &str, arguments: &[&str]) -> String {
    let ran = sandbox.run(arguments);
    let clean = |text: &str| !text.chars().any(|c| c.is_control() && c != '\n');
    assert!(clean(&ran.stdout) && clean(&ran.stderr), "{ran:#?}");
    let text = ran.ok();
    text.replace(&sandbox.path("").display().to_string(), "[sandbox]/")
        .replace(commit, "[commit]")
        .split(' ')
        .map(|word| {
            if word.len() >= 36
                && word
                    .trim_end_matches([',', '\n'])
                    .parse::<uuid::Uuid>()
                    .is_ok()
            {
                "[job],"
            } else {
                word
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn each_command_says_what_it_did() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let commit = hub.head(WDV3, "main").unwrap();
    let mut story = String::new();
    for line in [
        "models ls",
        "queue",
        "models add wd SmilingWolf/wd-vit-tagger-v3 --kind caption --template wdv3 --size 6MB --files 2",
        "models add wd SmilingWolf/wd-vit-tagger-v3 --kind caption --template wdv3",
        "models ls",
        "status",
        "status wd",
        "cancel wd",
        "clear wd",
        "pull wd",
        "status",
        "models ls",
        "queue",
        "models rm wd",
        "models ls",
        "pause --queue",
        "queue",
        "resume --queue",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let said = text(&sandbox, &commit, &arguments);
        writeln!(story, "$ modelhaul {line}").unwrap();
        story.push_str(&said);
    }
    insta::assert_snapshot!("story", story);
}

#[test]
fn programs_get_one_value_each() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let added = value(
        &sandbox,
        &["models", "add", "wd", WDV3, "--template", "wdv3"],
    );
    assert_eq!(
        (&added["created"], &added["model_id"]),
        (&json!(true), &json!("wd"))
    );
    let pulled = value(&sandbox, &["pull", "wd"]);
    assert_eq!(pulled["status"], "completed");
    assert!(pulled["cache"]["path"].is_string());
    assert_eq!(value(&sandbox, &["status"])[0]["model_id"], "wd");
    assert_eq!(value(&sandbox, &["status", "wd"])["state"], "completed");
    assert_eq!(value(&sandbox, &["queue"])["queue"], json!([]));
    assert_eq!(value(&sandbox, &["models", "ls"])[0]["complete"], true);
    assert_eq!(value(&sandbox, &["wait", "wd"])["state"], "completed");
    assert_eq!(value(&sandbox, &["cancel", "wd"])["state"], "completed");
    assert_eq!(value(&sandbox, &["retry", "wd"])["state"], "completed");
    assert_eq!(value(&sandbox, &["clear", "wd"])["parts_deleted"], 0);
    let checks = value(&sandbox, &["doctor"]);
    for check in checks.as_array().unwrap() {
        assert_ne!(check["verdict"], "fail", "{checks:#}");
    }
    assert_eq!(value(&sandbox, &["models", "rm", "wd"])["removed"], true);
    let quiet = sandbox.run(&["pull", "-q", WDV3, "-i", "*.csv"]);
    assert_eq!((quiet.code, &*quiet.stderr), (Some(0), ""), "{quiet:#?}");
}

#[test]
fn a_flag_goes_before_the_environment_before_the_file_before_the_default() {
    let mut sandbox = Sandbox::new();
    let folder = sandbox.path("home/.config/modelhaul");
    fs::create_dir_all(&folder).unwrap();
    let look = |sandbox: &Sandbox, flags: &[&str]| {
        let shown = value(sandbox, &[&["config", "show"], flags].concat());
        let setting = shown["settings"]["max_retries"].clone();
        (
            setting["value"].clone(),
            setting["origin"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(look(&sandbox, &[]), (json!("10"), "default".to_owned()));
    fs::write(folder.join("config.toml"), "max_retries = 6\n").unwrap();
    let (shown, origin) = look(&sandbox, &[]);
    assert!(
        shown == "6" && origin.contains("config.toml"),
        "{shown} {origin}"
    );
    sandbox.set_env("HF_DOWNLOAD_MAX_RETRIES", "7");
    let (shown, origin) = look(&sandbox, &[]);
    assert!(
        shown == "7" && origin.contains("HF_DOWNLOAD_MAX_RETRIES"),
        "{shown} {origin}"
    );
    let (shown, origin) = look(&sandbox, &["--max-retries", "8"]);
    assert!(
        shown == "8" && origin.contains("--max-retries"),
        "{shown} {origin}"
    );
    sandbox.set_env("HF_TOKEN", "hf_CANARYcanary");
    let text = sandbox.run(&["config", "show"]).ok();
    assert!(!text.contains("CANARY"), "{text}");
}
