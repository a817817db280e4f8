//! Every `curl` of docs/API.md is run as it stands there, in the order of the document.

use std::fs;
use std::path::Path;

use super::admin;
use crate::world::{hub, sandbox};

/// The `sh` blocks of a document.
fn shell_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match (&mut open, line) {
            (None, "```sh") => open = Some(String::new()),
            (Some(block), "```") => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

#[test]
fn the_examples_of_the_document_work() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/API.md");
    let blocks = shell_blocks(&fs::read_to_string(path).unwrap());
    assert!(blocks.len() > 20, "{}", blocks.len());
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let token = admin(&sandbox);
    let token = token.strip_prefix("Bearer ").unwrap();
    for block in blocks {
        // A job of the example's id does not exist: the newest one stands in for it.
        let jobs = service.http().get("/api/v1/jobs?limit=1").ok();
        let job = jobs["items"][0]["id"].as_str().unwrap_or("none").to_owned();
        let block = block
            .replace("API=http://127.0.0.1:8642", "")
            .replace("019ab2c0-5d1e-7c3a-9a44-1f2e3d4c5b6a", &job)
            .replace("curl ", "curl --fail-with-body ");
        let script = format!(
            "set -eu\nAPI={}\nTOKEN={token}\n{block}",
            service.http().url()
        );
        let mut command = sandbox.command("/bin/bash");
        let ran = command.args(["-c", &script]).output().unwrap();
        assert!(
            ran.status.success(),
            "{block}\n{}\n{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}
