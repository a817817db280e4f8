//! How much work a plan of a large repository is, counted and not timed.

use super::super::fnmatch::COMPARISONS;
use super::*;

/// The comparisons of patterns with names that `work` makes on this thread.
fn comparisons(work: impl FnOnce()) -> usize {
    let before = COMPARISONS.with(std::cell::Cell::get);
    work();
    COMPARISONS.with(std::cell::Cell::get) - before
}

/// A repository with many files in many folders, and what each template requires.
fn large(files: usize) -> Vec<RemoteFile> {
    let mut names: Vec<String> = (0..files)
        .map(|n| format!("part-{:03}/model-Q4_K_M-{n:05}.safetensors", n % 500))
        .collect();
    for required in [
        "config.json",
        "model_index.json",
        "model.safetensors",
        "x-Q4_K_M.gguf",
        "x.py",
    ] {
        names.push(required.to_owned());
    }
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    remote(&files)
}

#[test]
fn ten_thousand_files_cost_a_bounded_number_of_comparisons() {
    const FILES: usize = 10_000;
    let files = large(FILES);
    let catalog = Catalog::builtin();
    for id in [
        "everything",
        "transformers",
        "transformers+code",
        "gguf",
        "diffusers",
    ] {
        let template = catalog.get(id).unwrap();
        let choices = template
            .any_of
            .iter()
            .flat_map(|g| g.choices.iter().chain([&g.except]));
        let patterns = template.required.len()
            + template.optional.len()
            + template.exclude.len()
            + choices.map(Vec::len).sum::<usize>();
        let mut planned = None;
        let made = comparisons(|| {
            planned =
                Some(catalog.plan(&with_template(id), Kind::Generic, &repo("org/name"), &files));
        });
        match planned.unwrap() {
            Ok(selected) => {
                assert_eq!(selected.files.len() + selected.skipped.len(), files.len());
            }
            Err(failure) => assert_eq!(
                (id, failure.code),
                ("diffusers", FailureCode::TemplateUnsatisfied)
            ),
        }
        // A pattern meets a name once to satisfy, once to weigh the parts and once to take.
        let most = files.len() * patterns * 4;
        assert!(
            made <= most,
            "{id}: {made} comparisons for {patterns} patterns, {most} at most"
        );
    }
}

#[test]
fn reasons_share_their_text_with_the_template() {
    let files = large(1_000);
    let mut selection = with_template("folder");
    selection.variant = Some("part-001".to_owned());
    let catalog = Catalog::builtin();
    let selected = catalog
        .plan(&selection, Kind::Generic, &repo("org/name"), &files)
        .unwrap();
    let texts: Vec<_> = selected
        .files
        .iter()
        .map(|choice| match &choice.reason {
            Reason::Required(text) => text,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(texts.len() > 1);
    assert!(
        texts
            .windows(2)
            .all(|pair| std::sync::Arc::ptr_eq(pair[0], pair[1]))
    );
}

#[test]
fn lengths_that_no_disk_holds_do_not_overflow() {
    let files = remote(&[("a", u64::MAX), ("b", u64::MAX)]);
    let selected = Catalog::builtin()
        .plan(
            &with_template("everything"),
            Kind::Generic,
            &repo("org/name"),
            &files,
        )
        .unwrap();
    assert_eq!(selected.bytes, u64::MAX);
}
