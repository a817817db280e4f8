//! The catalog as its callers see it: plans, proofs of completeness, broken template folders.

use std::fs;

use super::*;
use crate::domain::{Digest, PlannedFile, RemoteFile, RepoPath};

fn remote(files: &[(&str, u64)]) -> Vec<RemoteFile> {
    files
        .iter()
        .map(|(path, size)| RemoteFile {
            path: RepoPath::parse(path).unwrap(),
            size: *size,
            digest: Digest::parse(&"a".repeat(40)).unwrap(),
            git_oid: "a".repeat(40),
            xet_hash: None,
        })
        .collect()
}

fn local(files: &[(&str, u64)]) -> Vec<(RepoPath, u64)> {
    files
        .iter()
        .map(|(path, size)| (RepoPath::parse(path).unwrap(), *size))
        .collect()
}

fn repo(text: &str) -> RepoId {
    text.parse().unwrap()
}

fn with_template(id: &str) -> Selection {
    Selection {
        template: Some(id.to_owned()),
        ..Selection::default()
    }
}

fn chosen(selection: &Selection, id: &str, files: &[(&str, u64)]) -> Result<Vec<String>, Failure> {
    let files = remote(files);
    let selected = Catalog::builtin().plan(selection, Kind::Caption, &repo(id), &files)?;
    assert_eq!(selected.files.len() + selected.skipped.len(), files.len());
    assert_eq!(selected.whole, selected.skipped.is_empty());
    Ok(selected
        .files
        .iter()
        .map(|choice| files[choice.index].path.to_string())
        .collect())
}

fn check(
    selection: &Selection,
    here: &[(&str, u64)],
    tree: Option<&[RemoteFile]>,
    shards: &dyn Fn(&RepoPath) -> Option<Vec<RepoPath>>,
) -> Completeness {
    let evidence = Evidence {
        local: &local(here),
        tree,
        plan: None,
        shards,
    };
    Catalog::builtin()
        .check(selection, Kind::Generic, &repo("org/name"), &evidence)
        .unwrap()
}

const NO_SHARDS: fn(&RepoPath) -> Option<Vec<RepoPath>> = |_| None;

const WD: &[(&str, u64)] = &[
    (".gitattributes", 1),
    ("config.json", 2),
    ("model.msgpack", 3),
    ("model.onnx", 379_000_000),
    ("model.safetensors", 5),
    ("selected_tags.csv", 308_000),
];

#[test]
fn a_known_repository_finds_its_template() {
    let catalog = Catalog::builtin();
    let of = |id: &str, kind| {
        let found = catalog.template_for(&Selection::default(), kind, &repo(id));
        found.unwrap().id.clone()
    };
    assert_eq!(of("SmilingWolf/wd-vit-tagger-v3", Kind::Caption), "wdv3");
    assert_eq!(of("smilingwolf/WD-new-tagger-v3", Kind::Generic), "wdv3");
    assert_eq!(of("RedRocket/JointTaggerProject", Kind::Caption), "jtp2");
    assert_eq!(
        of("SmilingWolf/wd-v1-4-vit-tagger-v2", Kind::Caption),
        "everything"
    );
    assert_eq!(of("org/name", Kind::DiffusionLlm), "everything");
    let wd = catalog.get("wdv3").unwrap();
    assert_eq!(
        wd.default_repo(),
        Some(repo("SmilingWolf/wd-vit-tagger-v3"))
    );
    let unknown = catalog
        .template_for(&with_template("wdv4"), Kind::Caption, &repo("a/b"))
        .unwrap_err();
    assert_eq!(unknown.code, FailureCode::TemplateUnknown);
    assert!(unknown.remedy.unwrap().contains("wdv3"));
}

#[test]
fn the_tagger_takes_two_files_and_says_why_the_others_stay() {
    let files = remote(WD);
    let selected = Catalog::builtin()
        .plan(
            &Selection::default(),
            Kind::Caption,
            &repo("SmilingWolf/wd-vit-tagger-v3"),
            &files,
        )
        .unwrap();
    let names: Vec<&str> = selected
        .files
        .iter()
        .map(|c| files[c.index].path.as_str())
        .collect();
    assert_eq!(names, ["model.onnx", "selected_tags.csv"]);
    assert_eq!(
        selected.files[0].reason,
        Reason::Required("model.onnx".to_owned())
    );
    assert!(
        selected
            .skipped
            .iter()
            .all(|c| c.reason == Reason::NotNamed)
    );
    assert_eq!(selected.bytes, 379_308_000);
    assert!(!selected.whole && selected.notes.is_empty());
}

#[test]
fn a_repository_without_a_required_file_gets_no_plan() {
    let failure = chosen(&with_template("wdv3"), "org/name", &[("model.onnx", 1)]).unwrap_err();
    assert_eq!(failure.code, FailureCode::TemplateUnsatisfied);
    assert!(failure.message.contains("`selected_tags.csv`"), "{failure}");
    assert!(!failure.message.contains("model.onnx"), "{failure}");
    let only_json = [("config.json", 1), ("tokenizer.json", 1)];
    let failure = chosen(&with_template("transformers"), "org/name", &only_json).unwrap_err();
    assert!(
        failure.message.contains("weights (`model.safetensors` or"),
        "{failure}"
    );
    let failure = chosen(&Selection::default(), "org/name", &[]).unwrap_err();
    assert_eq!(failure.code, FailureCode::TemplateUnsatisfied);
}

#[test]
fn one_folder_of_a_repository_is_not_its_neighbour() {
    let files = [
        ("JTP_PILOT/w.safetensors", 1),
        ("JTP_PILOT/tags.json", 1),
        ("JTP_PILOT2/w.safetensors", 1),
        ("JTP_PILOT2/tags.json", 1),
        ("JTP_PILOT2/infer.py", 1),
        ("README.md", 1),
    ];
    let got = chosen(
        &Selection::default(),
        "RedRocket/JointTaggerProject",
        &files,
    )
    .unwrap();
    assert_eq!(
        got,
        [
            "JTP_PILOT2/w.safetensors",
            "JTP_PILOT2/tags.json",
            "JTP_PILOT2/infer.py"
        ]
    );
}

#[test]
fn weights_come_in_one_format_and_the_callers_wish_counts() {
    let files = [
        ("config.json", 1),
        ("model-00001-of-00002.safetensors", 1),
        ("model-00002-of-00002.safetensors", 1),
        ("model.safetensors.index.json", 1),
        ("pytorch_model.bin", 1),
        ("tf_model.h5", 1),
        ("tokenizer.json", 1),
        ("original/tokenizer.model", 1),
        ("README.md", 1),
    ];
    let mut selection = with_template("transformers");
    assert_eq!(
        chosen(&selection, "org/name", &files).unwrap(),
        [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json"
        ]
    );
    selection.variant = Some("bin".to_owned());
    let bin = ["config.json", "pytorch_model.bin", "tokenizer.json"];
    assert_eq!(chosen(&selection, "org/name", &files).unwrap(), bin);
    selection.variant = None;
    // Without safetensors the next format is taken.
    selection.ignore_patterns = vec!["*.safetensors*".to_owned()];
    assert_eq!(chosen(&selection, "org/name", &files).unwrap(), bin);
    // Whoever asks for the configuration alone gets it.
    selection.ignore_patterns = Vec::new();
    selection.allow_patterns = vec!["config.json".to_owned()];
    assert_eq!(
        chosen(&selection, "org/name", &files).unwrap(),
        ["config.json"]
    );
    selection.allow_patterns = vec!["nothing.here".to_owned()];
    let failure = chosen(&selection, "org/name", &files).unwrap_err();
    assert_eq!(failure.code, FailureCode::TemplateUnsatisfied);
    selection.variant = Some("gguf".to_owned());
    let failure = chosen(&selection, "org/name", &files).unwrap_err();
    assert_eq!(failure.code, FailureCode::TemplateUnknown);
}

#[test]
fn allow_patterns_without_a_template_speak_about_the_whole_repository() {
    let selection = Selection {
        allow_patterns: vec!["*.safetensors".to_owned()],
        ..Selection::default()
    };
    let got = chosen(&selection, "SmilingWolf/wd-vit-tagger-v3", WD).unwrap();
    assert_eq!(got, ["model.safetensors"]);
}

#[test]
fn code_and_pickles_are_pointed_out() {
    let files = remote(&[("a.py", 1), ("w.pt", 1)]);
    let selected = Catalog::builtin()
        .plan(
            &Selection::default(),
            Kind::Generic,
            &repo("org/name"),
            &files,
        )
        .unwrap();
    assert!(selected.whole);
    assert_eq!(selected.notes.len(), 2, "{:?}", selected.notes);
}

#[test]
fn a_listing_proves_exactly() {
    let tree = remote(&[("a", 1), ("b/c", 2)]);
    let everything = with_template("everything");
    let proof = |here: &[(&str, u64)]| check(&everything, here, Some(&tree), &NO_SHARDS);
    let whole = proof(&[("a", 1), ("b/c", 2), ("extra", 9)]);
    assert!(whole.complete);
    assert_eq!((whole.bytes, whole.files.len()), (3, 2));
    assert_eq!(proof(&[("a", 1), ("b/c", 3)]).missing, ["b/c"]);
    assert_eq!(proof(&[("a", 1)]).missing, ["b/c"]);
    assert!(!proof(&[]).complete);
    // A commit that the template does not fit is not complete, and that is no error.
    let unfit = check(&with_template("wdv3"), &[("a", 1)], Some(&tree), &NO_SHARDS);
    assert!(!unfit.complete && unfit.missing[0].contains("model.onnx"));
}

#[test]
fn everything_cannot_be_proven_without_a_list() {
    let mut selection = with_template("everything");
    assert!(!check(&selection, &[("a", 1)], None, &NO_SHARDS).complete);
    selection.allow_patterns = vec!["*".to_owned()];
    assert!(!check(&selection, &[("a", 1)], None, &NO_SHARDS).complete);
    // Single names are a list.
    selection.allow_patterns = vec!["a".to_owned(), "b".to_owned()];
    let some = check(&selection, &[("a", 1), ("c", 1)], None, &NO_SHARDS);
    assert_eq!(some.missing, ["b"]);
    let all = check(
        &selection,
        &[("a", 1), ("b", 2), ("c", 4)],
        None,
        &NO_SHARDS,
    );
    assert!(all.complete);
    assert_eq!(all.bytes, 3);
    let plan = [PlannedFile::from(remote(&[("a", 1)]).remove(0))];
    let evidence = Evidence {
        local: &local(&[("a", 1)]),
        tree: None,
        plan: Some(&plan),
        shards: &NO_SHARDS,
    };
    let everything = with_template("everything");
    let proof = Catalog::builtin().check(&everything, Kind::Generic, &repo("a/b"), &evidence);
    assert!(proof.unwrap().complete);
}

#[test]
fn a_template_proves_its_required_files() {
    let wd = with_template("wdv3");
    assert!(
        check(
            &wd,
            &[("model.onnx", 1), ("selected_tags.csv", 1)],
            None,
            &NO_SHARDS
        )
        .complete
    );
    let half = check(&wd, &[("model.onnx", 1)], None, &NO_SHARDS);
    assert!(!half.complete);
    assert_eq!(half.missing, ["`selected_tags.csv`"]);
    assert!(!check(&wd, &[], None, &NO_SHARDS).complete);
}

#[test]
fn sharded_weights_are_proven_by_their_index() {
    let transformers = with_template("transformers");
    let (index, one, two) = (
        ("model.safetensors.index.json", 1),
        ("model-00001-of-00002.safetensors", 1),
        ("model-00002-of-00002.safetensors", 1),
    );
    let names = |_: &RepoPath| {
        Some(
            [one.0, two.0]
                .iter()
                .map(|name| RepoPath::parse(name).unwrap())
                .collect(),
        )
    };
    let config = ("config.json", 1);
    assert!(check(&transformers, &[config, index, one, two], None, &names).complete);
    let half = check(&transformers, &[config, index, one], None, &names);
    assert_eq!(half.missing, [two.0]);
    assert!(!half.complete);
    let unreadable = check(&transformers, &[config, index, one, two], None, &NO_SHARDS);
    assert!(!unreadable.complete);
    // Another format that is whole is as good.
    let bin = ("pytorch_model.bin", 1);
    assert!(check(&transformers, &[config, index, one, bin], None, &names).complete);
    let bare = check(&transformers, &[config], None, &NO_SHARDS);
    assert!(
        bare.missing[0].starts_with("weights ("),
        "{:?}",
        bare.missing
    );
}

#[test]
fn a_broken_file_of_the_user_names_its_place_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let head = "format = 1\nid = \"ID\"\ndescription = \"d\"\n";
    let own = |id: &str, rest: &str| head.replace("ID", id) + rest;
    write("a-good.toml", &own("mine", "required = [\"x\"]\n"));
    write(
        "b-override.toml",
        &own("wdv3", "required = [\"other.onnx\"]\n"),
    );
    write("c-unknown-key.toml", &own("c", "requird = [\"x\"]\n"));
    write("d-nothing.toml", &own("d", ""));
    write("e-twice.toml", &own("mine", "all_files = true\n"));
    write(
        "f-version.toml",
        "format = 2\nid = \"f\"\ndescription = \"d\"\nall_files = true\n",
    );
    write("g-syntax.toml", &own("g", "required = [\n"));
    write(
        "h-group.toml",
        &own("h", "[[any_of]]\nname = \"w\"\nchoices = [[\"a\"], []]\n"),
    );
    write("i-bad-id.toml", &own("../i", "all_files = true\n"));
    write("ignored.txt", "no template");
    fs::write(dir.path().join("j-latin1.toml"), b"id = \"\xff\"").unwrap();
    fs::create_dir(dir.path().join("k.toml")).unwrap();

    let (catalog, problems) = Catalog::load(Some(dir.path()));
    assert!(
        catalog
            .get("mine")
            .is_some_and(|t| !t.all_files && !t.builtin)
    );
    assert_eq!(
        catalog.get("wdv3").unwrap().required[0].as_str(),
        "other.onnx"
    );
    assert_eq!(
        catalog
            .templates()
            .iter()
            .filter(|t| t.id == "wdv3")
            .count(),
        1
    );
    assert!(catalog.get("transformers").is_some_and(|t| t.builtin));
    let place = |name: &str| {
        let found = problems.iter().find(|p| p.file.ends_with(name));
        let found = found.unwrap_or_else(|| panic!("{name} in {problems:?}"));
        (found.line, found.key.clone().unwrap_or_default())
    };
    assert_eq!(place("c-unknown-key.toml"), (Some(4), "requird".to_owned()));
    assert_eq!(place("d-nothing.toml"), (None, "required".to_owned()));
    assert_eq!(place("e-twice.toml"), (None, "id".to_owned()));
    assert_eq!(place("f-version.toml"), (Some(1), "format".to_owned()));
    assert!(place("g-syntax.toml").0.is_some());
    assert_eq!(place("h-group.toml"), (Some(6), "choices".to_owned()));
    assert_eq!(place("i-bad-id.toml"), (Some(2), "id".to_owned()));
    assert_eq!(place("j-latin1.toml"), (None, String::new()));
    assert_eq!(place("k.toml"), (None, String::new()));
    assert_eq!(problems.len(), 9, "{problems:?}");

    let (catalog, problems) = Catalog::load(Some(&dir.path().join("absent")));
    assert_eq!(
        catalog.templates().len(),
        Catalog::builtin().templates().len()
    );
    assert!(problems.is_empty());
}

#[test]
fn every_template_of_the_package_is_built_in() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
    let builtin = Catalog::builtin();
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let id = name.strip_suffix(".toml").unwrap();
        assert!(builtin.get(id).is_some_and(|t| t.builtin), "{name}");
        files += 1;
    }
    assert_eq!(files, builtin.templates().len());
}
