//! Plans: which files of a listing are taken, and what is said of them.

use super::*;

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
    assert_eq!(
        of("SmilingWolf/wd-eva02-large-tagger-v3", Kind::Caption),
        "wdv3-eva02-large"
    );
    assert_eq!(of("RedRocket/JointTaggerProject", Kind::Caption), "jtp2");
    assert_eq!(
        of("SmilingWolf/wd-v1-4-vit-tagger-v2", Kind::Caption),
        "wdv2-vit"
    );
    assert_eq!(of("SmilingWolf/other", Kind::Caption), "everything");
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
        Reason::Required("model.onnx".into())
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
    assert!(failure.message.contains(" selected_tags.csv,"), "{failure}");
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
fn warnings_come_from_the_chosen_files_and_from_the_flags() {
    let warned = |id: &str, files: &[(&str, u64)]| {
        let files = remote(files);
        let catalog = Catalog::builtin();
        let plan = catalog.plan(&with_template(id), Kind::Generic, &repo("org/name"), &files);
        plan.unwrap().warnings
    };
    assert_eq!(
        warned(
            "everything",
            &[
                ("a.PY", 1),
                ("b/c.py", 1),
                ("w.ckpt", 1),
                ("bin", 1),
                (".pt", 1)
            ]
        ),
        [
            Warning::CustomCode {
                files: 2,
                example: Some("a.PY".to_owned())
            },
            Warning::Pickle {
                files: 2,
                example: Some("w.ckpt".to_owned())
            },
        ]
    );
    // A pickle that stays behind is none.
    let both = [
        ("config.json", 1),
        ("model.safetensors", 1),
        ("pytorch_model.bin", 1),
        ("x.py", 1),
    ];
    assert_eq!(warned("transformers", &both), []);
    let yolo = warned("yolo11", &[("yolo11n.pt", 5_610_000)]);
    assert_eq!(
        yolo,
        [Warning::Pickle {
            files: 1,
            example: Some("yolo11n.pt".to_owned())
        }]
    );
    let small = warned("wdv3", &[("model.onnx", 1), ("selected_tags.csv", 1)]);
    assert_eq!(
        small,
        [Warning::UnusualSize {
            bytes: 2,
            min: 100_000_000,
            max: 2_000_000_000
        }]
    );
    assert_eq!(
        serde_json::to_value(&small[0]).unwrap()["warning"],
        "unusual_size"
    );
}

#[test]
fn a_variant_has_its_own_size_and_the_callers_patterns_expect_none() {
    let files = [("yolo11n.pt", 5_610_000), ("yolo11x.pt", 115_000_000)];
    let plan = |variant: &str, allow: &[&str]| {
        let mut selection = with_template("yolo11");
        selection.variant = Some(variant.to_owned());
        selection.allow_patterns = allow.iter().map(|p| (*p).to_owned()).collect();
        let plan =
            Catalog::builtin().plan(&selection, Kind::Detection, &repo("a/b"), &remote(&files));
        plan.unwrap()
    };
    let x = plan("x", &[]);
    assert_eq!((x.bytes, x.variant.as_deref()), (115_000_000, Some("x")));
    assert_eq!(x.warnings.len(), 1, "{:?}", x.warnings);
    let files_of = |selected: &Selected| selected.files.len();
    assert_eq!(files_of(&plan("n", &["*.pt"])), 1);
}

const PARTS: &[(&str, u64)] = &[
    ("m-Q8_0-00001-of-00002.gguf", 1),
    ("m-Q8_0-00002-of-00002.gguf", 1),
    ("m-Q4_K_M.gguf", 1),
    ("m-IQ4_K_M.gguf", 1),
    ("mmproj-m-f16.gguf", 1),
    ("mmproj-m-bf16.gguf", 1),
];

#[test]
fn one_quantisation_is_taken_with_all_its_parts_and_one_projector() {
    let of = |quant: &str, files: &[(&str, u64)]| {
        let mut selection = with_template("gguf");
        selection.variant = Some(quant.to_owned());
        chosen(&selection, "org/name", files)
    };
    assert_eq!(
        of("q4_k_m", PARTS).unwrap(),
        ["m-Q4_K_M.gguf", "mmproj-m-f16.gguf"]
    );
    assert_eq!(
        of("Q8_0", PARTS).unwrap(),
        [
            "m-Q8_0-00001-of-00002.gguf",
            "m-Q8_0-00002-of-00002.gguf",
            "mmproj-m-f16.gguf"
        ]
    );
    // A projector alone is no model.
    let failure = of("F16", PARTS).unwrap_err();
    assert_eq!(failure.code, FailureCode::TemplateUnsatisfied);
    // A repository that lacks a part is told from one that has all.
    let failure = of("Q8_0", &PARTS[..1]).unwrap_err();
    assert!(
        failure.message.contains("`m-Q8_0-00002-of-00002.gguf`"),
        "{failure}"
    );
    // Whoever leaves a part out on purpose gets the rest.
    let mut selection = with_template("gguf");
    selection.variant = Some("Q8_0".to_owned());
    selection.ignore_patterns = vec!["*-00002-of-*".to_owned()];
    let rest = chosen(&selection, "org/name", &PARTS[..2]).unwrap();
    assert_eq!(rest, ["m-Q8_0-00001-of-00002.gguf"]);
}

#[test]
fn a_message_names_a_few_of_many_missing_files() {
    let mut selection = with_template("gguf");
    selection.variant = Some("Q8_0".to_owned());
    let failure = chosen(&selection, "o/n", &[("m-Q8_0-00001-of-99999.gguf", 1)]).unwrap_err();
    assert!(failure.message.len() < 700, "{failure}");
    assert!(failure.message.contains(" more"), "{failure}");
}

#[test]
fn each_component_of_a_pipeline_chooses_for_itself() {
    let files = [
        ("model_index.json", 1),
        ("a/model.safetensors", 1),
        ("a/model.fp16.safetensors", 1),
        ("b/model.fp16.safetensors", 1),
        ("c/pytorch_model.bin", 1),
        ("model.safetensors", 1),
    ];
    let mut selection = with_template("diffusers");
    assert_eq!(
        chosen(&selection, "org/name", &files).unwrap(),
        [
            "model_index.json",
            "a/model.safetensors",
            "b/model.fp16.safetensors",
            "c/pytorch_model.bin"
        ]
    );
    selection.variant = Some("fp16".to_owned());
    assert_eq!(
        chosen(&selection, "org/name", &files).unwrap(),
        [
            "model_index.json",
            "a/model.fp16.safetensors",
            "b/model.fp16.safetensors",
            "c/pytorch_model.bin"
        ]
    );
    let failure = chosen(&selection, "org/name", &[files[0], files[5]]).unwrap_err();
    assert!(failure.message.contains("weights ("), "{failure}");
}
