//! The practice hub in parts: its content, its globs, its counting of faults.

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::content::{Content, hex};
use super::fault::{Fault, FaultBook, When, glob};
use super::misdeed::Misdeed;
use super::practice::PracticeHub;
use super::request::{Place, Request};
use super::settings::HubConfig;

fn get(path: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        path: path.to_owned(),
        query: String::new(),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

proptest! {
    #[test]
    fn any_range_of_generated_content_is_a_part_of_the_whole(seed: u64, start in 0u64..5_000_000, length in 0u64..3_000_000) {
        let content = Content::generated(seed, 5_000_000);
        let whole = content.read(0..5_000_000).unwrap();
        let end = (start + length).min(5_000_000);
        let part = content.read(start..start + length).unwrap();
        prop_assert!(part == whole[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
    }
}

#[test]
fn a_digest_is_that_of_the_bytes_and_differs_by_seed_and_tile() {
    let content = Content::generated(7, 3_500_000);
    let bytes = content.read(0..u64::MAX).unwrap();
    assert_eq!(bytes.len(), 3_500_000);
    assert_eq!(content.sha256(), hex(&Sha256::digest(&bytes)));
    assert_ne!(content.sha256(), Content::generated(8, 3_500_000).sha256());
    assert_ne!(bytes[..1 << 20], bytes[1 << 20..2 << 20]);
}

#[test]
fn the_git_digest_is_that_of_git() {
    // `printf 'hello\n' | git hash-object --stdin`
    let expected = "ce013625030ba8dba906f756967f9e9ca394464a";
    assert_eq!(Content::bytes("hello\n").git_sha1(), expected);
}

#[test]
fn a_file_on_disk_is_served_as_it_is() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"0123456789").unwrap();
    let content = Content::disk(file.path()).unwrap();
    assert_eq!(content.size(), 10);
    assert_eq!(content.read(3..6).unwrap(), b"345");
    assert_eq!(content.sha256(), hex(&Sha256::digest(b"0123456789")));
}

#[test]
fn a_star_means_slashes_too() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("*model.onnx", "org/name/model.onnx", true),
        ("org/*/x", "org/a/b/x", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("*.onnx", "model.onnx2", false),
        ("*a*b", "xaxbxa", false),
    ] {
        assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn a_fault_counts_only_the_requests_that_it_means() {
    let book = FaultBook::default();
    let fault = Fault::cdn("*.bin", Misdeed::Hangup).when(When::Nth(2));
    let id = book.add(fault);
    let strikes = |place, path: &str, object| book.strike(place, &get(path), object).hangup;
    assert!(!strikes(Place::Cdn, "/x/1", Some("org/name/a.bin")));
    assert!(!strikes(Place::Hub, "/x/1", Some("org/name/a.bin")));
    assert!(!strikes(Place::Cdn, "/x/1", Some("org/name/a.txt")));
    assert!(strikes(Place::Cdn, "/x/1", Some("org/name/a.bin")));
    assert!(!strikes(Place::Cdn, "/x/1", Some("org/name/a.bin")));
    assert_eq!(book.struck(id), Some(1));
}

#[test]
fn faults_are_read_from_json() {
    let fault: Fault = serde_json::from_str(
        r#"{"path": "*", "place": "cdn", "when": {"first": 2}, "does": {"cut": {"after": 10}}}"#,
    )
    .unwrap();
    let cut = Misdeed::Cut {
        after: 10,
        reset: false,
    };
    assert_eq!(fault, Fault::new("*", cut).at(Place::Cdn).first(2));
    assert!(serde_json::from_str::<Fault>(r#"{"path": "*", "dose": "hangup"}"#).is_err());
}

#[test]
fn only_the_first_answer_of_a_connection_waits_for_the_handshake() {
    use std::io::{Read as _, Write as _};

    let mut config = HubConfig::default();
    config.settings.connect_latency_ms = 300;
    let hub = PracticeHub::start(config).unwrap();
    let address = hub.endpoint().replace("http://", "");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut exchange = || {
        let start = std::time::Instant::now();
        stream
            .write_all(b"GET /nothing HTTP/1.1\r\nHost: hub\r\n\r\n")
            .unwrap();
        let mut buffer = [0; 4 << 10];
        assert_ne!(stream.read(&mut buffer).unwrap(), 0);
        start.elapsed()
    };
    let (first, second) = (exchange(), exchange());
    assert!(first.as_millis() >= 250, "{first:?}");
    assert!(second < first, "{second:?}");
}
