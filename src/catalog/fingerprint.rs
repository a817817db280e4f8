//! A short name for what a selection chooses: equal names mean equal rules.
//!
//! Invariant: a change of a rule, a pattern or the source changes the name; a change of a description, a licence or
//! of another variant does not. Which files the rules choose is left to the selection.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Catalog;
use super::rules::Rules;
use crate::domain::{Failure, Kind, RepoId, Revision, Selection, hex};

impl Catalog {
    /// The fingerprint of a selection: 32 hex digits. An error says that the template or variant is unknown.
    pub(crate) fn fingerprint(
        &self,
        repo: &RepoId,
        revision: &Revision,
        selection: &Selection,
        kind: Kind,
    ) -> Result<String, Failure> {
        let template = self.template_for(selection, kind, repo)?;
        let rules = Rules::of(template, selection.variant.as_deref())?;
        let any_case = template
            .free_variant
            .as_ref()
            .is_some_and(|free| free.any_case);
        let canonical = json!({
            "repo": repo,
            "revision": revision,
            "all_files": rules.all_files,
            "required": rules.required,
            "optional": rules.optional,
            "groups": rules.groups,
            "exclude": rules.exclude,
            "any_case": any_case,
            "allow": sorted(&selection.allow_patterns),
            "ignore": sorted(&selection.ignore_patterns),
        });
        let hash = Sha256::digest(canonical.to_string().as_bytes());
        Ok(hex(&hash[..16]))
    }
}

/// The order of a caller's patterns means nothing.
fn sorted(patterns: &[String]) -> Vec<&str> {
    let mut patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    patterns.sort_unstable();
    patterns.dedup();
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::FailureCode;

    const TAGGER: &str =
        "format = 1\nid = \"tagger\"\ndescription = \"A.\"\nrequired = [\"model.onnx\"]\n";

    fn catalog(text: &str) -> (tempfile::TempDir, Catalog) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tagger.toml"), text).unwrap();
        let (catalog, problems) = Catalog::load(Some(folder.path()));
        assert!(problems.is_empty(), "{problems:?}");
        (folder, catalog)
    }

    fn of(text: &str, change: impl FnOnce(&mut Selection)) -> String {
        let mut selection = Selection {
            template: Some("tagger".to_owned()),
            ..Selection::default()
        };
        change(&mut selection);
        let (_folder, catalog) = catalog(text);
        catalog
            .fingerprint(
                &"org/name".parse().unwrap(),
                &Revision::main(),
                &selection,
                Kind::Caption,
            )
            .unwrap()
    }

    #[test]
    fn words_for_people_change_nothing_and_rules_change_all() {
        let before = of(TAGGER, |_| {});
        assert_eq!(before.len(), 32);
        let said_better = TAGGER.replace("A.", "B.") + "license = \"mit\"\npickle = true\n";
        assert_eq!(before, of(&said_better, |_| {}));
        assert_eq!(
            before,
            of(
                &(TAGGER.to_owned() + "[variants.big]\nrequired = [\"big.onnx\"]\n"),
                |_| {}
            ),
            "a variant that is not chosen"
        );
        let mut all = vec![
            before,
            of(&(TAGGER.to_owned() + "optional = [\"*.csv\"]\n"), |_| {}),
            of(&(TAGGER.to_owned() + "exclude = [\"*.csv\"]\n"), |_| {}),
            of(TAGGER, |s| s.allow_patterns = vec!["model*".to_owned()]),
            of(TAGGER, |s| s.ignore_patterns = vec!["model*".to_owned()]),
            of(
                &(TAGGER.to_owned() + "[variants.big]\nrequired = [\"big.onnx\"]\n"),
                |s| s.variant = Some("big".to_owned()),
            ),
        ];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn the_order_of_patterns_means_nothing_and_the_source_does() {
        let patterns =
            |list: &[&str]| -> Vec<String> { list.iter().map(|&p| p.to_owned()).collect() };
        assert_eq!(
            of(TAGGER, |s| s.allow_patterns = patterns(&["a", "b"])),
            of(TAGGER, |s| s.allow_patterns = patterns(&["b", "a", "b"])),
        );
        let catalog = Catalog::builtin();
        let selection = Selection::default();
        let of = |repo: &str, revision: &str| {
            catalog
                .fingerprint(
                    &repo.parse().unwrap(),
                    &revision.parse().unwrap(),
                    &selection,
                    Kind::Generic,
                )
                .unwrap()
        };
        assert_ne!(of("o/a", "main"), of("o/b", "main"));
        assert_ne!(of("o/a", "main"), of("o/a", "v1"));
    }

    #[test]
    fn an_unknown_template_or_variant_has_none() {
        let catalog = Catalog::builtin();
        for (template, variant) in [("nothing", None), ("wdv3", Some("nothing"))] {
            let selection = Selection {
                template: Some(template.to_owned()),
                variant: variant.map(str::to_owned),
                ..Selection::default()
            };
            let refused = catalog.fingerprint(
                &"o/a".parse().unwrap(),
                &Revision::main(),
                &selection,
                Kind::Caption,
            );
            assert_eq!(refused.unwrap_err().code, FailureCode::TemplateUnknown);
        }
    }
}
