//! What the catalogue asks for and these tests do not show, with the reason; and that nothing else is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::kit::Case;

/// The cases that gate a release (P0) and the nightly ones (P1), by number; 140 is for a day of its own.
const CATALOGUE: [u32; 101] = [
    1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, // A
    19, 20, 22, 23, 24, 25, 28, 29, 30, 31, 32, 33, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 46, 47,
    48, 49, 50, 51, 52, 53, // B
    54, 55, 56, 57, 58, 59, 60, 61, 62, 64, 65, 66, 67, 68, 69, // C
    70, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 86, 87, 89, 90, // D
    91, 92, 94, 95, 97, // E
    98, 99, 100, 101, 103, // F
    105, 106, 107, 108, 109, 110, 111, 112, 113, 115, 116, // G
];

/// Groups H and I.
const REST: [u32; 21] = [
    117, 118, 119, 120, 122, 123, 124, 125, 126, 127, 128, 129, 130, 131, 132, 133, 137, 138, 139,
    141, 142,
];

#[test]
fn left_out_with_the_reason() {
    let elsewhere = |number, done, place: &str| {
        Case::left_out(
            number,
            done,
            format_args!("shown outside this suite: {place}"),
        );
    };
    Case::left_out(
        "B44",
        "dangerous file names from a caller",
        "no request names a file to write: patterns only choose from the listing, whose names are case 41",
    );
    Case::left_out(
        "89",
        "database or cache on NFS, SMB or a cluster's file system",
        "none can be mounted here; the numbers by which they are refused are tested in src/store/open.rs",
    );
    Case::left_out(
        "90",
        "`A.bin` and `a.bin` on a file system that does not tell them apart",
        "the kernel here mounts no ext4 with casefold; on others both are stored (B42)",
    );
    elsewhere(
        "103",
        "the document of the API against the service (schemathesis)",
        "tests/it/api/client.rs",
    );
    elsewhere(
        "113",
        "markup in names and errors, shown by the dashboard in a browser",
        "tests/it/web.rs and tests/web, in a real Chromium",
    );
    Case::left_out(
        "129",
        "archives that lead out or burst",
        "nothing is ever extracted",
    );
    Case::left_out(
        "130",
        "headers of safetensors and GGUF that lie about their length",
        "no file of a model is ever parsed; the indexes of sharded weights are JSON with a limit (case 33)",
    );
    elsewhere(
        "131",
        "files that may be pickled",
        "plan and start warn of them (src/catalog/tests, tests/it/plan); there is no policy that blocks, and nothing is ever loaded",
    );
    elsewhere(
        "132",
        "webhooks to private addresses, slow ones, ones that always fail",
        "tests/it/queue/webhooks.rs",
    );
    Case::left_out(
        "133",
        "ten thousand seeds in a simulator of network, disk and clock",
        "there is no simulator; random requests against a model (E-model), every failpoint (55, 62), random kills (54) and chaos (54c) run against the real thing",
    );
    Case::left_out(
        "140",
        "a day of random faults",
        "takes a day; chaos (54c) runs the same for as long as MODELHAUL_CHAOS_SECONDS says",
    );
    Case::left_out(
        "141",
        "advisories, bill of materials, provenance, two equal builds",
        "belongs to a release and needs the network; `deny.toml` holds the rules for cargo-deny",
    );
    Case::left_out(
        "142",
        "a hardened unit of systemd",
        "there is no systemd here; that nothing is written elsewhere is checked after every case (I3)",
    );
}

/// Numbers of cases in a source: in the names of tests, and where one is left out.
fn numbers(source: &str, found: &mut BTreeSet<u32>) {
    let number = |text: &str| -> Option<u32> {
        let text = text.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
        let end = text
            .find(|digit: char| !digit.is_ascii_digit())
            .unwrap_or(text.len());
        text[..end].parse().ok()
    };
    for name in source.split("fn ").skip(1) {
        let name = name.split('(').next().unwrap_or_default();
        let cases = name.split('_').take_while(|word| number(word).is_some());
        found.extend(cases.filter_map(number));
    }
    // In tables of tests and of what is left out, the number is the first text.
    for line in source.lines() {
        let text = line.trim_start();
        let text = text.strip_prefix('(').unwrap_or(text);
        let text = text
            .strip_prefix("Case::left_out(")
            .or_else(|| text.strip_prefix("elsewhere("))
            .unwrap_or(text);
        if let Some(text) = text.strip_prefix('"') {
            found.extend(number(text));
        } else if let Some(name) = text.strip_prefix("c55") {
            found.extend(name.chars().next().map(|_| 55));
        }
    }
}

fn read(folder: &Path, found: &mut BTreeSet<u32>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, found);
        } else {
            numbers(&fs::read_to_string(&path).unwrap(), found);
        }
    }
}

#[test]
fn every_case_of_the_catalogue_has_a_row() {
    let mut found = BTreeSet::new();
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults"),
        &mut found,
    );
    let missing: Vec<u32> = CATALOGUE
        .into_iter()
        .chain(REST)
        .filter(|number| !found.contains(number))
        .collect();
    assert!(missing.is_empty(), "no test and no reason: {missing:?}");
}
