//! The dashboard: what is served and how, and the walk through it in a real browser.
//!
//! Without Node or Chromium the walk is left out, and says so; with `MODELHAUL_REQUIRE_BROWSER` set it fails instead.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::Reply;
use crate::world::{hub, sandbox};

/// The one vendored file; `npm run vendor` in `tests/web` makes it anew from the locked package.
const LIT: &str = "691d6fee8ba5e2e552146ae114d921649f5e7e7cf6babd0de33c0f4a6c58796c";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[track_caller]
fn head<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply
        .header(name)
        .unwrap_or_else(|| panic!("no {name}: {reply:?}"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn the_page_and_its_files_are_served_with_a_strict_policy() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let http = service.http();
    let page = http.get("/");
    assert_eq!(page.status, 200);
    let policy = head(&page, "content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(rule), "{rule}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(head(&page, "cache-control"), "no-cache");
    assert!(head(&page, "content-type").starts_with("text/html"));
    let text = page.text();
    for address in [
        "/library",
        "/activity",
        "/settings",
        "/jobs/anything",
        "/?state=failed",
    ] {
        assert_eq!(http.get(address).text(), text, "{address}");
    }

    // Every file of the page is there under the page's own hash, for ever; under another one there is nothing.
    let start = text.find("/ui/").unwrap();
    let prefix = &text[start..start + "/ui/".len() + 17];
    let mut files = Vec::new();
    sources(&root().join("web"), &mut files);
    let mut seen = 0;
    for file in files {
        let path = file.strip_prefix(root().join("web")).unwrap();
        let path = path.to_str().unwrap();
        let reply = http.get(&format!("{prefix}{path}"));
        if ["index.html", "docs.html"].contains(&path) {
            assert_eq!(reply.status, 404, "a page has its own addresses");
            continue;
        }
        assert_eq!(reply.status, 200, "{prefix}{path}");
        assert_eq!(reply.text().as_bytes(), fs::read(&file).unwrap(), "{path}");
        assert!(
            head(&reply, "cache-control").contains("immutable"),
            "{path}"
        );
        let kind = head(&reply, "content-type");
        let ending = path.rsplit_once('.').unwrap().1;
        let wanted = match ending {
            "js" => "text/javascript",
            "css" => "text/css",
            "svg" => "image/svg+xml",
            other => panic!("{path}: {other} has no content type"),
        };
        assert!(kind.starts_with(wanted), "{path}: {kind}");
        let etag = head(&reply, "etag");
        let again = http.request(
            "GET",
            &format!("{prefix}{path}"),
            &[("If-None-Match", etag)],
            None,
        );
        assert_eq!((again.status, again.text().len()), (304, 0), "{path}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
    for strange in [
        "/ui/0000000000000000/app.css".to_owned(),
        format!("{prefix}../Cargo.toml"),
        format!("{prefix}..%2f..%2fCargo.toml"),
        format!("{prefix}vendor"),
        format!("{prefix}none.js"),
    ] {
        assert_eq!(http.get(&strange).status, 404, "{strange}");
    }
}

#[test]
fn the_page_of_the_document_has_all_its_files_here_and_a_strict_policy() {
    let hub = hub();
    let sandbox = sandbox(&hub);
    let service = sandbox.serve();
    let page = service.http().get("/docs");
    assert_eq!(page.status, 200);
    let policy = head(&page, "content-security-policy");
    assert!(policy.contains("script-src 'self'; "), "{policy}");
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    let text = page.text();
    assert!(
        !text.contains("http:") && !text.contains("https:"),
        "{text}"
    );
    let mut files = 0;
    let mut program = String::new();
    let addresses = text.split('"').filter(|part| {
        let mut places = ["/docs/", "/ui/"].iter();
        places.any(|place| part.starts_with(place))
    });
    for address in addresses {
        let reply = service.http().get(address);
        assert_eq!(reply.status, 200, "{address}");
        if address.ends_with("docs.js") {
            program = reply.text();
        }
        files += 1;
    }
    assert_eq!(files, 6);
    assert!(program.contains("'/api/v1/openapi.json'"), "{program}");
    for strange in [
        "/docs/swagger-initializer.js",
        "/docs/..%2fCargo.toml",
        "/docs/none",
    ] {
        assert_eq!(service.http().get(strange).status, 404, "{strange}");
    }
}

#[test]
fn the_sources_hold_nothing_that_the_policy_forbids() {
    let mut files = Vec::new();
    sources(&root().join("web"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        if file.ends_with("vendor/lit-html.js") {
            assert_eq!(hex(&Sha256::digest(&text)), LIT, "the vendored file");
            assert!(text.contains("Redistribution and use"), "its licence");
            continue;
        }
        for forbidden in [
            "unsafeHTML",
            "unsafeSVG",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "<style",
            " style=",
            "onclick=",
            "javascript:",
        ] {
            assert!(!text.contains(forbidden), "{}: {forbidden}", file.display());
        }
        let inline = text.matches("<script").count() - text.matches("<script src=").count();
        let modules = text.matches("<script type=\"module\" src=").count();
        assert_eq!(inline, modules, "{}: an inline script", file.display());
        let lines = text.lines().count();
        assert!(lines <= 400, "{}: {lines} lines", file.display());
    }
    let lock: Value = serde_json::from_str(
        &fs::read_to_string(root().join("tests/web/package-lock.json")).unwrap(),
    )
    .unwrap();
    let packages = lock["packages"].as_object().unwrap();
    assert!(packages.contains_key("node_modules/lit-html"));
    for (name, package) in packages {
        assert!(package.get("resolved").is_none(), "{name} names a registry");
    }
}

fn there(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").output();
    asked.is_ok_and(|ran| ran.status.success())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the variable speaks to the tests, not to the product"
)]
fn said(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

#[test]
fn the_walk_through_every_screen_in_a_browser() {
    let chromium = said("MODELHAUL_CHROMIUM")
        .unwrap_or_else(|| PathBuf::from("/usr/bin/chromium"))
        .exists();
    let missing: Vec<&str> = [
        ("Node", there("node")),
        ("npm", there("npm")),
        ("Chromium", chromium),
    ]
    .into_iter()
    .filter_map(|(name, here)| (!here).then_some(name))
    .collect();
    let required = said("MODELHAUL_REQUIRE_BROWSER").is_some();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        assert!(!required, "not here: {missing}");
        eprintln!("left out: the walk through the dashboard, for lack of {missing}");
        return;
    }
    let bin = Path::new(env!("CARGO_BIN_EXE_modelhaul")).parent().unwrap();
    let ran = Command::new(root().join("scripts/screens"))
        .env("MODELHAUL_BIN_DIR", bin)
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    if !ran.status.success() && text.contains("npm error") && !required {
        eprintln!("left out: the walk through the dashboard, for lack of its packages");
        return;
    }
    assert!(ran.status.success(), "{text}");
    for part in ["real:", "states:", "load:"] {
        assert!(text.contains(part), "{part} did not run\n{text}");
    }
}
