//! Groups F and G, the HTTP door: bad bodies and names, foreign hosts and pages, wrong tokens, floods. Bytes are written as
//! they are wherever they matter.

mod access;
mod input;
mod siege;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::scene::connect;
use crate::support::Client;

/// The table of routes as it is written: method, policy, path.
fn table() -> Vec<(&'static str, &'static str, &'static str)> {
    let source = include_str!("../../../../src/api/table.rs");
    let rows: Vec<_> = source
        .lines()
        .filter_map(|line| {
            let (head, _) = line.trim().split_once(" => ")?;
            let words: Vec<&str> = head.split_whitespace().collect();
            let [method, policy, path] = words.as_slice() else {
                return None;
            };
            let path = path.strip_prefix('"')?.strip_suffix('"')?;
            Some((*method, *policy, path))
        })
        .collect();
    assert!(rows.len() > 40, "the table is read: {rows:?}");
    rows
}

/// A path of the template that names nothing that exists.
fn example(path: &str) -> String {
    path.replace("{job_id}", "019ab2c0-5d1e-7c3a-9a44-1f2e3d4c5b6a")
        .replace("{model_id}", "nobody")
        .replace("{org}", "no")
        .replace("{name}", "body")
        .replace("{repo}", "none")
        .replace("{revision}", "main")
        .replace("{template_id}", "none")
        .replace("{hash}", "none")
        .replace("{*path}", "none.js")
}

/// Requests one after the other on one connection.
struct Line {
    stream: TcpStream,
    client: Client,
}

impl Line {
    fn new(client: &Client) -> Self {
        Self {
            stream: connect(client),
            client: client.clone(),
        }
    }

    /// Status and body of the answer.
    fn ask(&mut self, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
        let token = token.map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: 0\r\n\r\n"
        );
        if self.stream.write_all(head.as_bytes()).is_err() {
            self.stream = connect(&self.client);
            self.stream.write_all(head.as_bytes()).unwrap();
        }
        let mut bytes = Vec::new();
        let end = loop {
            let mut buffer = [0; 8192];
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(
                count > 0,
                "{method} {path}: {}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&bytes);
            let Some(end) = text.find("\r\n\r\n") else {
                continue;
            };
            let length = text[..end].lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            let length: usize = if method == "HEAD" {
                0
            } else {
                length.unwrap_or(0)
            };
            if bytes.len() >= end + 4 + length {
                break end + 4;
            }
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.to_ascii_lowercase().contains("\r\nconnection: close") {
            self.stream = connect(&self.client);
        }
        (text[9..12].parse().unwrap(), text[end..].to_owned())
    }
}
