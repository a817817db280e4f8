//! The floors of the code, read from its sources: who may use whom, and how long a file may be.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

const FLOORS: [(u8, &[&str]); 6] = [
    (0, &["domain", "clock", "redact", "failpoint", "metrics"]),
    (1, &["store", "hub", "transfer", "cache", "catalog"]),
    (2, &["queue"]),
    (3, &["manager"]),
    (4, &["api"]),
    (
        5,
        &[
            "config",
            "server",
            "shutdown",
            "telemetry",
            "cli",
            "testing",
            "main",
            "bin",
        ],
    ),
];
const TOP: u8 = 5;

/// A crate, or a part of the standard library, and the modules that may name it.
const OWNED: [(&str, &[&str]); 4] = [
    ("sqlx", &["store"]),
    ("axum", &["api", "testing"]),
    ("reqwest", &["hub", "testing"]),
    ("std::env", &["config"]),
];

const MOST_LINES: usize = 600;

#[derive(Debug, PartialEq, Eq)]
struct Breach {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}: {}",
            self.file.display(),
            self.line,
            self.what
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

#[test]
fn no_module_uses_one_that_is_not_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.len() > 20, "the sources were not found: {files:?}");
    let breaches: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let source = fs::read_to_string(file).unwrap();
            check(file.strip_prefix(root.join("src")).unwrap(), &source)
        })
        .map(|breach| format!("src/{breach}"))
        .collect();
    let mut tests = Vec::new();
    collect(&root.join("tests"), &mut tests);
    let long = tests.iter().filter_map(|file| {
        let breach = too_long(file, &fs::read_to_string(file).unwrap())?;
        Some(breach.to_string())
    });
    let breaches: Vec<String> = breaches.into_iter().chain(long).collect();
    assert!(
        breaches.is_empty(),
        "broken floors:\n{}",
        breaches.join("\n")
    );
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn floor(module: &str) -> Option<u8> {
    let mut floors = FLOORS.iter();
    floors
        .find(|(_, modules)| modules.contains(&module))
        .map(|(floor, _)| *floor)
}

/// All breaches in one file; its path is relative to `src`.
fn check(file: &Path, source: &str) -> Vec<Breach> {
    let mut breaches: Vec<Breach> = too_long(file, source).into_iter().collect();
    let mut breach = |line, what: String| {
        breaches.push(Breach {
            file: file.to_owned(),
            line,
            what,
        });
    };
    let modules = module_path(file);
    // The root of the library declares every module.
    let Some(own) = modules.first().filter(|_| file != Path::new("lib.rs")) else {
        return breaches;
    };
    let Some(own_floor) = floor(own) else {
        breach(1, format!("`{own}` stands on no floor"));
        return breaches;
    };
    let in_tests = modules.iter().any(|module| module == "tests");
    let tokens = tokens(source);
    let tests = test_code(&tokens);
    for (at, token) in tokens.iter().enumerate() {
        if at > 0 && tokens[at - 1].text == "::" {
            continue;
        }
        let is_test = in_tests || tests.iter().any(|range| range.contains(&at));
        for used in used_modules(&tokens, at, modules.len()) {
            let allowed = match floor(&used.text) {
                _ if used.text == *own => true,
                Some(below) => below < own_floor || own_floor == TOP,
                None => true,
            };
            if !allowed && !is_test {
                let what = format!("`{own}` (floor {own_floor}) may not use `{}`", used.text);
                breach(used.line, what);
            }
        }
        for (name, owners) in OWNED {
            // Tests of the metadata client may stand up a server of their own.
            let allowed = owners.contains(&own.as_str()) || is_test;
            if names(&tokens, at, name) && !allowed {
                breach(token.line, format!("`{own}` may not name `{name}`"));
            }
        }
    }
    breaches
}

fn too_long(file: &Path, source: &str) -> Option<Breach> {
    let lines = source.lines().count();
    (lines > MOST_LINES).then(|| Breach {
        file: file.to_owned(),
        line: lines,
        what: format!("the file has {lines} lines; {MOST_LINES} is the most"),
    })
}

/// `hub/http.rs` is `[hub, http]`, `hub/mod.rs` is `[hub]`.
fn module_path(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let mut parts: Vec<String> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The top modules that a path starting here leads to: `crate::x`, or `super::` up to the root and then `x`.
fn used_modules(tokens: &[Token], at: usize, depth: usize) -> Vec<Token> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut next = match text(at) {
        "crate" => at + 1,
        "super" => {
            let mut climbed = 1;
            let mut end = at + 1;
            while text(end) == "::" && text(end + 1) == "super" {
                climbed += 1;
                end += 2;
            }
            if climbed < depth {
                return Vec::new();
            }
            end
        }
        _ => return Vec::new(),
    };
    if text(next) != "::" {
        return Vec::new();
    }
    next += 1;
    if text(next) != "{" {
        return tokens.get(next).cloned().into_iter().collect();
    }
    let mut used = Vec::new();
    let mut level = 0;
    for (index, token) in tokens.iter().enumerate().skip(next) {
        match token.text.as_str() {
            "{" => level += 1,
            "}" => level -= 1,
            _ if level == 1 && matches!(text(index - 1), "{" | ",") => {
                used.push(token.clone());
            }
            _ => {}
        }
        if level == 0 {
            break;
        }
    }
    used
}

/// Whether the path that starts here begins with `name`, also as `use std::{env, ...}`.
fn names(tokens: &[Token], at: usize, name: &str) -> bool {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    match name.split_once("::") {
        None => text(at) == name && text(at + 1) == "::",
        Some((first, second)) => {
            let grouped = || {
                let group = tokens[at..].iter().skip(3);
                let mut group = group.take_while(|token| token.text != "}" && token.text != ";");
                text(at + 2) == "{" && group.any(|token| token.text == second)
            };
            text(at) == first && text(at + 1) == "::" && (text(at + 2) == second || grouped())
        }
    }
}

/// The token ranges of `#[cfg(test)]` items.
fn test_code(tokens: &[Token]) -> Vec<std::ops::Range<usize>> {
    let pattern = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut ranges = Vec::new();
    for start in 0..tokens.len().saturating_sub(pattern.len()) {
        let here = tokens[start..].iter().map(|token| token.text.as_str());
        if !here.take(pattern.len()).eq(pattern) {
            continue;
        }
        let mut level = 0;
        let end = (start + pattern.len()..tokens.len()).find(|index| {
            match tokens[*index].text.as_str() {
                "{" => level += 1,
                "}" => level -= 1,
                ";" => return level == 0,
                _ => return false,
            }
            level == 0
        });
        ranges.push(start..end.unwrap_or(tokens.len()));
    }
    ranges
}

/// Names and signs of a source, without comments, texts and characters.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let get = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let start = at;
        match chars[at] {
            '/' if get(at + 1) == '/' => {
                while at < chars.len() && chars[at] != '\n' {
                    at += 1;
                }
            }
            '/' if get(at + 1) == '*' => {
                at += 2;
                while at < chars.len() && !(get(at) == '*' && get(at + 1) == '/') {
                    at += 1;
                }
                at += 2;
            }
            'r' if get(at + 1) == '"'
                || (get(at + 1) == '#' && matches!(get(at + 2), '#' | '"')) =>
            {
                let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                at += hashes + 2;
                let ends = |at: usize| (1..=hashes).all(|n| get(at + n) == '#');
                while at < chars.len() && !(chars[at] == '"' && ends(at)) {
                    at += 1;
                }
                at += hashes + 1;
            }
            '"' => {
                at += 1;
                while at < chars.len() && chars[at] != '"' {
                    at += if chars[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
            }
            // A character, or the start of a lifetime.
            '\'' => {
                at += match (get(at + 1), get(at + 2)) {
                    ('\\', _) => chars[at + 3..].iter().take_while(|c| **c != '\'').count() + 4,
                    (_, '\'') => 3,
                    _ => 1,
                };
            }
            c if c.is_alphanumeric() || c == '_' => {
                while get(at).is_alphanumeric() || get(at) == '_' {
                    at += 1;
                }
                let text = chars[start..at].iter().collect();
                tokens.push(Token { text, line });
            }
            ':' if get(at + 1) == ':' => {
                at += 2;
                let text = "::".to_owned();
                tokens.push(Token { text, line });
            }
            c => {
                at += 1;
                if !c.is_whitespace() {
                    let text = c.to_string();
                    tokens.push(Token { text, line });
                }
            }
        }
        let end = at.min(chars.len());
        line += chars[start..end].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

#[test]
fn a_broken_floor_is_found_with_file_and_line() {
    let found = |file: &str, source: &str| -> Vec<(usize, String)> {
        let breaches = check(Path::new(file), source);
        breaches
            .into_iter()
            .map(|breach| (breach.line, breach.what))
            .collect()
    };
    let one = |line: usize, what: &str| vec![(line, what.to_owned())];

    assert_eq!(
        found(
            "cache/publish.rs",
            "// crate::store\n\nuse crate::{domain::Job, store::Store};\n"
        ),
        one(3, "`cache` (floor 1) may not use `store`")
    );
    assert_eq!(
        found(
            "domain/job.rs",
            "fn f() { let _ = \"crate::hub\"; super::super::queue::run(); }"
        ),
        one(1, "`domain` (floor 0) may not use `queue`")
    );
    assert_eq!(
        found("hub/mod.rs", "use super::manager;"),
        one(1, "`hub` (floor 1) may not use `manager`")
    );
    assert_eq!(
        found(
            "queue/claim.rs",
            "\nfn f(c: char) { if c == '\"' { sqlx::query(\"\"); } }"
        ),
        one(2, "`queue` may not name `sqlx`")
    );
    assert_eq!(
        found("transfer/http.rs", "use reqwest::Client;"),
        one(1, "`transfer` may not name `reqwest`")
    );
    assert_eq!(
        found("cache/root.rs", "use std::{env, path::Path};"),
        one(1, "`cache` may not name `std::env`")
    );
    assert_eq!(found("novel.rs", ""), one(1, "`novel` stands on no floor"));
    let long = "\n".repeat(601);
    assert_eq!(
        found("queue/mod.rs", &long),
        one(601, "the file has 601 lines; 600 is the most")
    );

    for (file, source) in [
        (
            "queue/mod.rs",
            "use crate::{store, hub, domain::Job};\nuse super::super::queue::x;",
        ),
        (
            "hub/mod.rs",
            "use reqwest::Client;\n#[cfg(test)]\nmod tests { use axum::Router; }",
        ),
        ("hub/tests.rs", "use axum::Router;"),
        ("hub/pages/mod.rs", "use super::store;"),
        (
            "cli/mod.rs",
            "use crate::{server, manager};\nlet a: &'static str = r#\"sqlx::\"#;",
        ),
        ("config/mod.rs", "use std::env;"),
        ("lib.rs", "pub mod store;"),
    ] {
        assert_eq!(found(file, source), Vec::new(), "{file}");
    }
    assert_eq!(
        found("hub/mod.rs", "#[cfg(test)]\nmod tests;\nuse axum::Router;"),
        one(3, "`hub` may not name `axum`")
    );
}
