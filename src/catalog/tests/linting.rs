//! What a template author is told.

use super::*;

fn template(rest: &str) -> Template {
    let text = format!("format = 1\nid = \"t\"\ndescription = \"d\"\n{rest}");
    let template: Template = toml::from_str(&text).unwrap();
    assert_eq!(template.validate(), Ok(()));
    template
}

fn said(rest: &str, files: &[(&str, u64)]) -> Vec<(Severity, String)> {
    Catalog::lint(&template(rest), &remote(files))
        .iter()
        .map(|finding| (finding.severity(), finding.to_string()))
        .collect()
}

fn error(text: &str) -> (Severity, String) {
    (Severity::Error, text.to_owned())
}

fn warning(text: &str) -> (Severity, String) {
    (Severity::Warning, text.to_owned())
}

fn hint(text: &str) -> (Severity, String) {
    (Severity::Hint, text.to_owned())
}

#[test]
fn a_template_that_fits_has_no_findings() {
    let text = "required = [\"a.json\"]\n[[any_of]]\nname = \"w\"\nchoices = [[\"*.onnx\"]]\n[size]\nmin = 1\nmax = 9\n";
    assert_eq!(said(text, &[("a.json", 1), ("m.onnx", 2)]), []);
}

#[test]
fn what_is_required_and_absent_is_an_error() {
    let text = "required = [\"a.json\", \"b.json\"]\n[[any_of]]\nname = \"w\"\nchoices = [[\"w.pt\"], [\"*.onnx\"]]\n";
    assert_eq!(
        said(text, &[("a.json", 1)]),
        [
            error("no file for b.json"),
            error("no file for w (`w.pt` or `*.onnx`)"),
            hint("choices `w.pt` matches nothing"),
            hint("choices `*.onnx` matches nothing"),
        ]
    );
    let parts = "required = [\"*.gguf\"]\n";
    assert_eq!(
        said(parts, &[("m-00001-of-00002.gguf", 1)]),
        [error("no file for `m-00002-of-00002.gguf`")]
    );
    assert_eq!(
        said("all_files = true\nexclude = [\"*\"]\n", &[("a", 1)]),
        [error("selects no file")]
    );
}

#[test]
fn each_variant_is_tried_and_what_they_share_is_said_once() {
    let text = "optional = [\"gone\"]\n[variants.n]\nrequired = [\"n.onnx\"]\n[variants.s]\nrequired = [\"s.onnx\"]\noptional = [\"s.txt\"]\nsize = { min = 5, max = 6 }\n[variants.x]\nrequired = [\"x.onnx\"]\n";
    assert_eq!(
        said(text, &[("n.onnx", 1), ("s.onnx", 1)]),
        [
            error("variant `x`: no file for x.onnx"),
            warning("variant `s`: 1 bytes are outside of size 5 to 6"),
            hint("optional `gone` matches nothing"),
            hint("variant `s`: optional `s.txt` matches nothing"),
        ]
    );
}

#[test]
fn an_exclude_that_hides_what_is_needed_is_named() {
    let text = "required = [\"*.json\"]\nexclude = [\"*.json\", \"*.md\"]\n[[any_of]]\nname = \"w\"\nchoices = [[\"m.md\"], [\"w.onnx\"]]\n";
    assert_eq!(
        said(text, &[("a.json", 1), ("m.md", 1), ("w.onnx", 1)]),
        [
            error("no file for `*.json`"),
            warning("exclude `*.json` hides every file of `*.json`"),
            warning("exclude `*.md` hides every file of `m.md`"),
        ]
    );
    // Hiding some of them is what excludes are for.
    let text = "required = [\"*.json\"]\nexclude = [\"b.json\"]\n";
    assert_eq!(said(text, &[("a.json", 1), ("b.json", 1)]), []);
}

#[test]
fn flags_are_compared_with_the_chosen_files() {
    let files = [("a.py", 1), ("w.PT", 1)];
    assert_eq!(
        said("required = [\"*\"]\n", &files),
        [
            warning("`custom_code` is not set, but `a.py` is chosen"),
            warning("`pickle` is not set, but `w.PT` is chosen"),
        ]
    );
    assert_eq!(
        said(
            "custom_code = true\npickle = true\nrequired = [\"*\"]\n",
            &files
        ),
        []
    );
    assert_eq!(
        said(
            "custom_code = true\npickle = true\nrequired = [\"x\"]\n",
            &[("x", 1), ("a.py", 1)]
        ),
        [
            warning("`custom_code` is set, but no chosen file shows it"),
            warning("`pickle` is set, but no chosen file shows it"),
        ]
    );
}

#[test]
fn a_free_variant_without_a_default_is_not_guessed() {
    let text = "required = [\"{variant}\"]\n[free_variant]\nwhat = \"a path\"\n";
    assert_eq!(
        said(text, &[("x", 1)]),
        [hint("template `t` needs a variant: a path")]
    );
}
