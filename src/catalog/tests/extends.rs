//! `extends`, free variants and groups per folder, through a user's folder of templates.

use std::fs;

use super::*;

/// Loads files into a catalog: their names and what stands after `format = 1`.
fn load(files: &[(&str, &str)]) -> (Catalog, Vec<TemplateProblem>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), format!("format = 1\n{text}")).unwrap();
    }
    Catalog::load(Some(dir.path()))
}

fn texts(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(Pattern::as_str).collect()
}

#[test]
fn a_template_adds_to_another_and_may_override_a_built_in_one() {
    let (catalog, problems) = load(&[
        // The child is read before its parent.
        (
            "a.toml",
            "id = \"child\"\nextends = \"middle\"\nrepos = [\"me/mine\"]\npickle = true\nrequired = [\"a.bin\", \"b\"]\n",
        ),
        (
            "b.toml",
            "id = \"middle\"\nextends = \"transformers+code\"\ndescription = \"M\"\nlicense = \"mit\"\nrepos = [\"me/other\"]\nrequired = [\"b\"]\n[size]\nmin = 1\nmax = 2\n",
        ),
        (
            "c.toml",
            "id = \"wdv3\"\nextends = \"wdv3\"\noptional = [\"config.json\"]\n",
        ),
    ]);
    assert_eq!(problems, []);
    let child = catalog.get("child").unwrap();
    assert_eq!(
        texts(&child.required),
        ["config.json", "*.py", "b", "a.bin"]
    );
    assert_eq!(child.any_of.len(), 1);
    assert!(child.custom_code && child.pickle && !child.builtin);
    assert_eq!(
        (child.description.as_str(), child.license.as_deref()),
        ("M", Some("mit"))
    );
    assert!(child.variants.contains_key("bin"));
    // What belongs to the parent's repository stays there.
    assert!(child.size.is_none() && child.notes.is_empty());
    assert_eq!(child.repos, ["me/mine"]);

    let tagger = catalog.get("wdv3").unwrap();
    assert_eq!(texts(&tagger.required), ["model.onnx", "selected_tags.csv"]);
    assert_eq!(texts(&tagger.optional), ["config.json"]);
    assert!(tagger.size.is_some() && !tagger.builtin);
    assert_eq!(
        tagger.default_repo(),
        Some(repo("SmilingWolf/wd-vit-tagger-v3"))
    );
}

#[test]
fn a_group_or_variant_of_the_same_name_takes_the_place() {
    let (catalog, problems) = load(&[(
        "a.toml",
        "id = \"mine\"\nextends = \"transformers\"\n[[any_of]]\nname = \"weights\"\nchoices = [[\"w.pt\"]]\n[variants.bin]\nrequired = [\"x\"]\n",
    )]);
    assert_eq!(problems, []);
    let mine = catalog.get("mine").unwrap();
    assert_eq!(mine.any_of.len(), 1);
    assert_eq!(texts(&mine.any_of[0].choices[0]), ["w.pt"]);
    assert!(mine.variants["bin"].any_of.is_empty());
}

#[test]
fn what_cannot_be_extended_is_a_problem_of_that_file_alone() {
    let (catalog, problems) = load(&[
        ("a.toml", "id = \"a\"\nextends = \"b\"\n"),
        ("b.toml", "id = \"b\"\nextends = \"a\"\n"),
        ("c.toml", "id = \"c\"\nextends = \"absent\"\n"),
        ("d.toml", "id = \"d\"\nextends = \"d\"\n"),
        ("e.toml", "id = \"e\"\nextends = \"everything\"\n"),
        ("f.toml", "id = \"f\"\nextends = \"c\"\n"),
        (
            "g.toml",
            "id = \"g\"\nextends = \"everything\"\nrequired = [\"x\"]\n",
        ),
    ]);
    assert!(catalog.get("e").is_some_and(|t| t.all_files));
    let said: Vec<_> = problems
        .iter()
        .map(|p| {
            let file = p.file.file_name().unwrap().to_str().unwrap();
            (file, p.line, p.key.as_deref().unwrap())
        })
        .collect();
    let at = |file| (file, Some(3), "extends");
    assert_eq!(
        said,
        [
            at("a.toml"),
            at("b.toml"),
            at("c.toml"),
            at("d.toml"),
            at("f.toml"),
            ("g.toml", None, "all_files")
        ]
    );
    assert_eq!(
        catalog.templates().len(),
        Catalog::builtin().templates().len() + 1
    );
}

#[test]
fn variants_that_could_not_work_are_refused() {
    let broken = |text: &str| {
        let (_, problems) = load(&[(
            "a.toml",
            &format!("id = \"a\"\ndescription = \"d\"\n{text}"),
        )]);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        problems[0].key.clone().unwrap()
    };
    assert_eq!(broken("required = [\"{variant}\"]\n"), "free_variant");
    assert_eq!(
        broken("required = [\"x\"]\n[free_variant]\nwhat = \"w\"\n"),
        "free_variant"
    );
    assert_eq!(
        broken(
            "required = [\"{variant}\"]\ndefault_variant = \"../x\"\n[free_variant]\nwhat = \"w\"\n"
        ),
        "free_variant"
    );
    assert_eq!(
        broken("required = [\"x\"]\ndefault_variant = \"y\"\n[variants.x]\nrequired = [\"x\"]\n"),
        "default_variant"
    );
    assert_eq!(
        broken("required = [\"x\"]\n[variants.x.size]\nmin = 2\nmax = 1\n"),
        "size"
    );
    assert_eq!(broken("required = [\"x\"]\nrepos = [\"a/b/c\"]\n"), "repos");
    assert_eq!(
        broken("[[any_of]]\nname = \"w\"\noptional = true\nchoices = [[\"x\"]]\n"),
        "required"
    );
    assert_eq!(broken("required = [\"\"]\n"), "required");
    let (_, problems) = load(&[("a.toml", "id = \"a\"\nrequired = [\"x\"]\n")]);
    assert_eq!(problems[0].key.as_deref(), Some("description"));
}

#[test]
fn a_free_variant_is_one_path_and_never_a_wildcard() {
    let files = [("a.pt", 1), ("b.pt", 1), ("*.pt", 1), ("d/a.pt", 1)];
    let of = |word: Option<&str>| {
        let mut selection = with_template("single-file");
        selection.variant = word.map(ToOwned::to_owned);
        chosen(&selection, "org/name", &files)
    };
    assert_eq!(of(Some("d/a.pt")).unwrap(), ["d/a.pt"]);
    assert_eq!(of(Some("*.pt")).unwrap(), ["*.pt"]);
    assert_eq!(
        of(Some("c.pt")).unwrap_err().code,
        FailureCode::TemplateUnsatisfied
    );
    for bad in [None, Some("../a.pt"), Some("")] {
        let failure = of(bad).unwrap_err();
        assert_eq!(failure.code, FailureCode::TemplateUnknown, "{bad:?}");
        assert!(failure.message.contains("path of the file"), "{failure}");
    }
}

#[test]
fn a_folder_without_weights_gets_no_plan() {
    let mut selection = with_template("folder");
    selection.variant = Some("docs/".to_owned());
    let files = [
        ("docs/a.md", 1),
        ("m/w.onnx", 2),
        ("m/sub/x.json", 1),
        ("m2/w.onnx", 1),
    ];
    let failure = chosen(&selection, "org/name", &files).unwrap_err();
    assert!(
        failure.message.contains("weights (`docs/*.safetensors`"),
        "{failure}"
    );
    selection.variant = Some("m".to_owned());
    assert_eq!(
        chosen(&selection, "org/name", &files).unwrap(),
        ["m/w.onnx", "m/sub/x.json"]
    );
}
