//! The user's folder of templates: what it overrides, and how broken files are reported.

use std::fs;

use super::*;

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
    assert_eq!(place("e-twice.toml"), (Some(2), "id".to_owned()));
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

#[test]
fn a_broken_override_leaves_the_built_in_template_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).unwrap();
    write(
        "a.toml",
        b"format = 1\nid = \"wdv3\"\ndescription = \"d\"\n",
    );
    // Too long, empty, cut in the middle of a write, and a link to itself.
    write("b.toml", &vec![b'#'; (1 << 20) + 1]);
    write("c.toml", b"");
    write("d.toml", b"format = 1\nid = \"d\"\ndescription = \"cut");
    std::os::unix::fs::symlink(dir.path().join("e.toml"), dir.path().join("e.toml")).unwrap();
    let (catalog, problems) = Catalog::load(Some(dir.path()));
    let files: Vec<_> = problems
        .iter()
        .map(|p| p.file.file_name().unwrap())
        .collect();
    for name in ["a.toml", "b.toml", "c.toml", "d.toml", "e.toml"] {
        assert!(
            files.iter().any(|file| *file == name),
            "{name} in {problems:?}"
        );
    }
    assert_eq!(files.len(), 5, "{problems:?}");
    assert!(catalog.get("wdv3").is_some_and(|t| t.builtin));
    let builtin = Catalog::builtin();
    assert_eq!(catalog.templates().len(), builtin.templates().len());
    // Every problem is one line that names its file.
    for problem in &problems {
        let text = problem.to_string();
        assert!(text.contains(".toml") && !text.contains('\n'), "{text}");
    }
}

#[test]
fn a_folder_that_is_none_is_a_problem_and_no_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (catalog, problems) = Catalog::load(Some(file.path()));
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].file, file.path());
    assert!(catalog.get("everything").is_some());
}
