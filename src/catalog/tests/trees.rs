//! The plan of every built-in template for a recorded listing, as a page that a person can read.
//!
//! The listings come from `scripts/recorded-trees.py`, which says where sizes come from. A plan that changes is a
//! change of what users download, so it shows up in review.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::super::warning::is_pickled;
use super::*;

/// An entry of a listing as the hub sends it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Entry {
    Directory {
        #[serde(rename = "oid")]
        _oid: String,
        #[serde(rename = "size")]
        _size: u64,
        #[serde(rename = "path")]
        _path: RepoPath,
    },
    File {
        oid: String,
        size: u64,
        path: RepoPath,
        lfs: Option<Lfs>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Lfs {
    oid: Digest,
    size: u64,
    pointer_size: u64,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/trees")
}

fn recorded(name: &str) -> Vec<RemoteFile> {
    let text = fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    let entries: Vec<Entry> = serde_json::from_str(&text).unwrap();
    entries
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Directory { .. } => None,
            Entry::File {
                oid,
                size,
                path,
                lfs,
            } => {
                let digest = match lfs {
                    Some(lfs) => {
                        assert!(lfs.size == size && lfs.pointer_size < 1024, "{path}");
                        lfs.oid
                    }
                    None => Digest::parse(&oid).unwrap(),
                };
                Some(RemoteFile {
                    path,
                    size,
                    digest,
                    git_oid: oid,
                    xet_hash: None,
                })
            }
        })
        .collect()
}

/// The listings that presets are shown with, and the variant.
const PRESETS: &[(&str, &str, Option<&str>)] = &[
    ("everything", "jtp2", None),
    ("onnx-tagger", "wdv2-swinv2", None),
    ("transformers", "blip-base", None),
    ("transformers+code", "llada-8b-instruct", None),
    ("single-file", "yolo11", Some("yolo11s.pt")),
    ("folder", "jtp2", Some("JTP_PILOT")),
    ("gguf", "gguf", Some("bf16")),
    ("diffusers", "diffusers", None),
    ("wdv3", "wdv3-vit", None),
];

fn size(bytes: u64) -> String {
    // Shown as pages of the hub show it; the largest unit below the number, three digits.
    let (unit, name) = match bytes {
        1 => return "unknown".to_owned(),
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    let hundredths = bytes / (unit / 100).max(1);
    format!("{}.{:02} {name}", hundredths / 100, hundredths % 100)
}

fn page(template: &Template, listing: &str, variant: Option<&str>) -> String {
    let files = recorded(listing);
    let home = template.default_repo().unwrap_or_else(|| repo("org/name"));
    let selection = Selection {
        variant: variant.map(ToOwned::to_owned),
        ..with_template(&template.id)
    };
    let planned = Catalog::builtin().plan(&selection, Kind::Generic, &home, &files);
    let selected = match planned {
        Ok(selected) => selected,
        // A variant need not fit the listing that shows its template.
        Err(failure) if variant.is_some() => {
            let variant = variant.unwrap_or_default();
            return format!("{}, variant {variant}: no plan\n\n{failure}\n", template.id);
        }
        Err(failure) => panic!("{}: {failure}", template.id),
    };
    let mut page = format!("{} for {home}", template.id);
    if let Some(variant) = &selected.variant {
        write!(page, ", variant {variant}").unwrap();
    }
    let (taken, all) = (selected.files.len(), files.len());
    // What no page states is left out of the sum.
    let unstated = selected
        .files
        .iter()
        .filter(|choice| files[choice.index].size == 1);
    let sum = match selected.bytes - unstated.count() as u64 {
        0 => "unknown".to_owned(),
        bytes => size(bytes),
    };
    writeln!(page, "\n{taken} of {all} files, {sum}\n").unwrap();
    for (word, choices) in [("take", &selected.files), ("skip", &selected.skipped)] {
        for choice in choices {
            let file = &files[choice.index];
            let length = size(file.size);
            writeln!(
                page,
                "{word} {length:>9}  {}  ({})",
                file.path, choice.reason
            )
            .unwrap();
        }
    }
    for note in &selected.notes {
        writeln!(page, "\nnote: {note}").unwrap();
    }
    page
}

#[test]
fn every_built_in_template_plans_its_recorded_listing() {
    let catalog = Catalog::builtin();
    for template in catalog.templates() {
        let preset = PRESETS.iter().find(|(id, ..)| *id == template.id);
        let (listing, variant) = preset.map_or((template.id.as_str(), None), |(_, l, v)| (*l, *v));
        let mut pages = vec![page(template, listing, variant)];
        for name in template.variants.keys() {
            if Some(name.as_str()) != template.default_variant.as_deref() {
                pages.push(page(template, listing, Some(name)));
            }
        }
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("plan-{}", template.id), pages.join("\n----\n"));
        });
    }
}

#[test]
fn every_recorded_listing_belongs_to_a_template() {
    let ids: BTreeSet<String> = Catalog::builtin()
        .templates()
        .iter()
        .map(|t| t.id.clone())
        .collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let id = name.strip_suffix(".json").unwrap();
        assert!(ids.contains(id), "{name}");
        for file in recorded(id) {
            assert!(
                file.git_oid.starts_with("facade") && file.digest.as_str().starts_with("facade"),
                "{name}"
            );
        }
    }
}

#[test]
fn no_built_in_template_is_at_odds_with_its_recorded_listing() {
    for template in Catalog::builtin().templates() {
        if PRESETS.iter().any(|(id, ..)| *id == template.id) {
            continue;
        }
        let findings = Catalog::lint(template, &recorded(&template.id));
        let faults: Vec<String> = findings
            .iter()
            .filter(|finding| finding.severity() > Severity::Hint)
            .map(ToString::to_string)
            .collect();
        let expected: &[&str] = match template.id.as_str() {
            // The flag would speak of the safetensors too, which other revisions have.
            "blip-base" | "florence2-base" | "florence2-large" => {
                &["`pickle` is not set, but `pytorch_model.bin` is chosen"]
            }
            _ => &[],
        };
        assert_eq!(faults, expected, "{}", template.id);
    }
}

#[test]
fn every_template_says_where_its_facts_come_from() {
    for template in Catalog::builtin().templates() {
        let preset = PRESETS.iter().any(|(id, ..)| *id == template.id);
        assert!(preset || !template.sources.is_empty(), "{}", template.id);
        assert!(
            template.revision.is_none(),
            "{}: libraries ask for main",
            template.id
        );
        assert_eq!(
            preset && template.id != "wdv3",
            template.repos.is_empty(),
            "{}",
            template.id
        );
    }
}

#[test]
fn a_repository_without_its_weights_gets_no_plan() {
    for id in ["blip-base", "florence2-base", "transformers"] {
        let listing = if id == "transformers" {
            "blip-base"
        } else {
            id
        };
        let mut files = recorded(listing);
        files.retain(|file| !is_pickled(file.path.as_str()));
        let failure = Catalog::builtin()
            .plan(&with_template(id), Kind::Caption, &repo("org/name"), &files)
            .unwrap_err();
        assert_eq!(failure.code, FailureCode::TemplateUnsatisfied);
        assert!(
            failure.message.contains("weights (`model.safetensors`"),
            "{failure}"
        );
    }
}
