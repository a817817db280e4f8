//! Proofs of completeness, without a request.

use super::*;

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
    assert_eq!(half.missing, ["selected_tags.csv"]);
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
fn split_files_are_proven_by_the_number_in_their_names() {
    let mut gguf = with_template("gguf");
    gguf.variant = Some("Q8_0".to_owned());
    let (one, two) = (
        ("m-Q8_0-00001-of-00002.gguf", 1),
        ("m-Q8_0-00002-of-00002.gguf", 1),
    );
    assert!(check(&gguf, &[one, two], None, &NO_SHARDS).complete);
    for half in [one, two] {
        let proof = check(&gguf, &[half], None, &NO_SHARDS);
        assert!(!proof.complete && !proof.missing.is_empty(), "{proof:?}");
    }
    let without_last = check(&gguf, &[one], None, &NO_SHARDS);
    assert_eq!(without_last.missing, [two.0]);
    let other = check(&gguf, &[("m-Q4_K_M.gguf", 1)], None, &NO_SHARDS);
    assert!(!other.complete);
}

#[test]
fn what_the_rules_leave_open_needs_a_listing() {
    let files = [("d/w.onnx", 1), ("d/x.json", 1)];
    let mut folder = with_template("folder");
    folder.variant = Some("d".to_owned());
    assert!(!check(&folder, &files, None, &NO_SHARDS).complete);
    assert!(check(&folder, &files, Some(&remote(&files)), &NO_SHARDS).complete);
    let pipeline = [("model_index.json", 1), ("vae/model.safetensors", 1)];
    let diffusers = with_template("diffusers");
    assert!(!check(&diffusers, &pipeline, None, &NO_SHARDS).complete);
    let code = [("config.json", 1), ("model.safetensors", 1), ("a.py", 1)];
    assert!(!check(&with_template("transformers+code"), &code, None, &NO_SHARDS).complete);
    assert!(check(&with_template("transformers"), &code, None, &NO_SHARDS).complete);
}
