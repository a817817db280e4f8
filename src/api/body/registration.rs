//! The body of a registration: what a caller may say about a model, and the rules for each field.
//!
//! All broken rules are told at once, each with its field. Whether a template exists is the manager's to know.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::domain::{
    Kind, ModelId, NewModel, Origin, RepoId, Revision, Selection, check_url_files,
};

use super::url_file::UrlFileBody;

use super::super::problem::{FieldError, Problem};

const LONGEST_DESCRIPTION: usize = 2000;
const LONGEST_NAME: usize = 100;
const LONGEST_PATTERN: usize = 500;
const MOST_PATTERNS: usize = 200;
/// Broken rules of files beyond which the rest is not looked at.
const MOST_TOLD: usize = 50;
/// `SQLite` keeps signed integers, so larger guesses cannot be stored.
const LARGEST_NUMBER: u64 = i64::MAX.unsigned_abs();

/// The fields of a registration as they came.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(expecting = "a JSON object")]
#[schema(as = Registration)]
pub(crate) struct RegistrationBody {
    /// Required, except where the address names it.
    #[schema(value_type = ModelId)]
    model_id: Option<String>,
    /// Required with `repo_id`; `generic` when it is left out with `files`.
    #[schema(value_type = Option<Kind>)]
    kind: Option<String>,
    /// The repository on the hub; this or `files` is needed.
    #[schema(value_type = Option<String>, examples("SmilingWolf/wd-vit-tagger-v3"))]
    repo_id: Option<String>,
    revision: Option<String>,
    template: Option<String>,
    variant: Option<String>,
    allow_patterns: Option<Vec<String>>,
    ignore_patterns: Option<Vec<String>>,
    description: Option<String>,
    total_size_estimate: Option<u64>,
    file_count_estimate: Option<u64>,
    /// Files outside of the hub, each with its address, in the place of `repo_id`.
    files: Option<Vec<UrlFileBody>>,
    #[schema(ignore)]
    model_path: Option<IgnoredAny>,
    /// Whatever else was said: kept so that all of it can be named.
    #[serde(flatten)]
    #[schema(ignore)]
    unknown: Map<String, Value>,
}

#[derive(Default)]
struct Rules(Vec<FieldError>);

impl RegistrationBody {
    /// The registration under the id in the body.
    pub(crate) fn into_model(self) -> Result<NewModel, Problem> {
        self.check(None)
    }

    /// The registration under the id in the path; the body may repeat the id.
    pub(crate) fn into_model_at(self, id: ModelId) -> Result<NewModel, Problem> {
        self.check(Some(id))
    }

    fn check(self, path_id: Option<ModelId>) -> Result<NewModel, Problem> {
        let mut rules = Rules::default();
        for name in self.unknown.keys() {
            let name: String = name.chars().take(LONGEST_NAME).collect();
            rules.broken(name, "there is no such field");
        }
        if self.model_path.is_some() {
            rules.broken(
                "model_path",
                "it is not supported here: files go to the cache or to the managed folder",
            );
        }
        let model_id = match path_id {
            Some(id) => {
                if self
                    .model_id
                    .as_ref()
                    .is_some_and(|given| given != id.as_str())
                {
                    rules.broken(
                        "model_id",
                        format!("it must be `{id}`, as in the address, or be left out"),
                    );
                }
                Some(id)
            }
            None => rules.required("model_id", self.model_id.as_deref()),
        };
        let (kind, origin) = match self.files {
            None => {
                let kind = rules.required::<Kind>("kind", self.kind.as_deref());
                let repo_id = rules.required::<RepoId>("repo_id", self.repo_id.as_deref());
                let revision = match self.revision.as_deref() {
                    Some(text) => rules.parsed("revision", text),
                    None => Some(Revision::main()),
                };
                let selection = Selection {
                    template: rules.text("template", self.template, LONGEST_NAME),
                    variant: rules.text("variant", self.variant, LONGEST_NAME),
                    allow_patterns: rules.patterns("allow_patterns", self.allow_patterns),
                    ignore_patterns: rules.patterns("ignore_patterns", self.ignore_patterns),
                };
                let origin = repo_id
                    .zip(revision)
                    .map(|(repo_id, revision)| Origin::Hub {
                        repo_id,
                        revision,
                        selection,
                    });
                (kind, origin)
            }
            Some(files) => {
                let of_the_hub = [
                    ("repo_id", self.repo_id.is_some()),
                    ("revision", self.revision.is_some()),
                    ("template", self.template.is_some()),
                    ("variant", self.variant.is_some()),
                    ("allow_patterns", self.allow_patterns.is_some()),
                    ("ignore_patterns", self.ignore_patterns.is_some()),
                ];
                for (name, _) in of_the_hub.into_iter().filter(|(_, given)| *given) {
                    rules.broken(
                        name,
                        "it belongs to a repository of the hub, not to `files`",
                    );
                }
                let kind = self.kind.as_deref();
                let kind = kind.map_or(Some(Kind::Generic), |text| rules.parsed("kind", text));
                (kind, rules.files(files))
            }
        };
        let description = rules.prose("description", self.description);
        let total_size_estimate = rules.number("total_size_estimate", self.total_size_estimate);
        let file_count_estimate = rules.number("file_count_estimate", self.file_count_estimate);
        let (Some(model_id), Some(kind), Some(origin), []) =
            (model_id, kind, origin, rules.0.as_slice())
        else {
            return Err(Problem::fields(rules.0));
        };
        Ok(NewModel {
            model_id,
            kind,
            origin,
            description,
            total_size_estimate,
            file_count_estimate,
        })
    }
}

impl Rules {
    fn broken(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.0.push(FieldError {
            field: field.into(),
            rule: rule.into(),
        });
    }

    /// All files with all that is wrong with each; whether they can lie side by side is asked when each is right.
    fn files(&mut self, files: Vec<UrlFileBody>) -> Option<Origin> {
        let mut read = Vec::with_capacity(files.len());
        for (index, file) in files.into_iter().enumerate() {
            match file.read() {
                Ok(file) => read.push(file),
                Err(errors) => {
                    for (field, rule) in errors {
                        self.broken(format!("files[{index}].{field}"), rule);
                    }
                    if self.0.len() > MOST_TOLD {
                        return None;
                    }
                }
            }
        }
        if self.0.is_empty()
            && let Err(error) = check_url_files(&read)
        {
            self.broken(
                format!("files[{}].{}", error.index, error.field),
                error.rule,
            );
        }
        Some(Origin::Urls { files: read })
    }

    fn required<T: FromStr<Err: Display>>(
        &mut self,
        field: &'static str,
        text: Option<&str>,
    ) -> Option<T> {
        if text.is_none() {
            let rule = match field {
                "kind" => {
                    let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                    format!("it is missing; one of {} is needed", known.join(", "))
                }
                "repo_id" => {
                    "it is missing; a model is registered by its repository on the hub, `name` or `org/name`, or by `files`".to_owned()
                }
                _ => "it is missing".to_owned(),
            };
            self.broken(field, rule);
        }
        self.parsed(field, text?)
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, field: &'static str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                // Some words repeat what was given in full.
                self.broken(
                    field,
                    error.to_string().chars().take(500).collect::<String>(),
                );
                None
            }
        }
    }

    fn text(
        &mut self,
        field: &'static str,
        text: Option<String>,
        longest: usize,
    ) -> Option<String> {
        let text = text?;
        if text.trim().is_empty() || text.len() > longest || text.chars().any(char::is_control) {
            self.broken(
                field,
                format!("it must have 1 to {longest} bytes and no control character"),
            );
        }
        Some(text)
    }

    /// Text for people may have several lines.
    fn prose(&mut self, field: &'static str, text: Option<String>) -> Option<String> {
        let text = text?;
        let illegal = |c: char| c.is_control() && c != '\n' && c != '\t';
        if text.len() > LONGEST_DESCRIPTION || text.chars().any(illegal) {
            self.broken(
                field,
                format!(
                    "it must have at most {LONGEST_DESCRIPTION} bytes and no control character"
                ),
            );
        }
        Some(text)
    }

    fn patterns(&mut self, field: &'static str, patterns: Option<Vec<String>>) -> Vec<String> {
        let patterns = patterns.unwrap_or_default();
        if patterns.len() > MOST_PATTERNS {
            self.broken(
                field,
                format!("it must have at most {MOST_PATTERNS} patterns"),
            );
        }
        for (index, pattern) in patterns.iter().enumerate() {
            let legal = !pattern.is_empty()
                && pattern.len() <= LONGEST_PATTERN
                && !pattern.chars().any(char::is_control);
            if !legal {
                self.broken(
                    format!("{field}[{index}]"),
                    format!("a pattern has 1 to {LONGEST_PATTERN} bytes and no control character"),
                );
                // One is enough to see the rule.
                break;
            }
        }
        patterns
    }

    fn number(&mut self, field: &'static str, number: Option<u64>) -> Option<u64> {
        if number.is_some_and(|number| number > LARGEST_NUMBER) {
            self.broken(field, format!("it must be at most {LARGEST_NUMBER}"));
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(body: Value) -> Vec<(String, String)> {
        let body: RegistrationBody = serde_json::from_value(body).unwrap();
        let problem: Value =
            serde_json::from_slice(&body.into_model().unwrap_err().to_body()).unwrap();
        assert_eq!(problem["status"], 422);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (text(&error["field"]), text(&error["rule"])))
            .collect()
    }

    #[test]
    fn a_whole_registration_is_read() {
        let body: RegistrationBody = serde_json::from_value(json!({
            "model_id": "wd", "kind": "caption", "repo_id": "org/name", "revision": "v1", "template": "wdv3",
            "variant": "small", "allow_patterns": ["*.onnx"], "ignore_patterns": ["x/*"], "description": "two\nlines",
            "total_size_estimate": 5, "file_count_estimate": 2,
        }))
        .unwrap();
        let model = body.into_model().unwrap();
        assert_eq!(model.model_id.as_str(), "wd");
        assert_eq!(model.kind, Kind::Caption);
        assert_eq!(
            (model.total_size_estimate, model.file_count_estimate),
            (Some(5), Some(2))
        );
        let Origin::Hub {
            repo_id,
            revision,
            selection,
        } = model.origin
        else {
            panic!("it names a repository");
        };
        assert_eq!((repo_id.as_str(), revision.as_str()), ("org/name", "v1"));
        assert_eq!(selection.allow_patterns, ["*.onnx"]);
    }

    #[test]
    fn all_broken_rules_are_told_at_once() {
        let errors = refused(json!({
            "model_id": "a/b/c", "kind": "poem", "repo_id": "../x", "revision": "a b", "template": "",
            "allow_patterns": ["ok", "\u{0}"], "description": "\u{1b}[31m", "total_size_estimate": u64::MAX,
            "colour": 1, "size": {},
        }));
        let fields: Vec<_> = errors.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "colour",
                "size",
                "model_id",
                "kind",
                "repo_id",
                "revision",
                "template",
                "allow_patterns[1]",
                "description",
                "total_size_estimate"
            ]
        );
    }

    #[test]
    fn what_is_missing_and_what_is_not_supported_is_named() {
        let errors = refused(json!({"kind": "generic", "model_id": "m", "model_path": "/x"}));
        let fields: Vec<_> = errors.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["model_path", "repo_id"]);
        assert!(errors[1].1.contains("`org/name`"));
        assert!(refused(json!({}))[1].1.contains("diffusion_llm"));
    }

    #[test]
    fn files_by_addresses_are_read_or_refused_one_by_one() {
        let hash = "ab".repeat(32);
        let body: RegistrationBody = serde_json::from_value(json!({
            "model_id": "m", "files": [
                {"url": "https://h/a?sig=1", "path": "a.bin", "sha256": hash, "size": 5},
                {"url": "http://h/b", "path": "sub/b", "credential": "mine"},
            ],
        }))
        .unwrap();
        let model = body.into_model().unwrap();
        let Origin::Urls { files } = model.origin else {
            panic!("it has files");
        };
        assert_eq!((model.kind, files.len()), (Kind::Generic, 2));
        assert_eq!(files[0].url.expose().as_str(), "https://h/a?sig=1");
        assert_eq!(files[1].credential.as_deref(), Some("mine"));

        let errors = refused(json!({"model_id": "m", "repo_id": "a/b", "files": [
            {"url": "https://me:pw@h/a", "path": "../x", "sha256": "AB", "size": u64::MAX, "colour": 1},
            {"path": "b"},
        ]}));
        let fields: Vec<_> = errors.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "repo_id",
                "files[0].colour",
                "files[0].url",
                "files[0].path",
                "files[0].sha256",
                "files[0].size",
                "files[1].url",
            ]
        );
        assert!(errors[2].1.contains("credential") && !errors[2].1.contains("pw"));
        for files in [
            json!([]),
            json!([{"url": "https://h/a", "path": "a"}, {"url": "https://h/b", "path": "A"}]),
        ] {
            let errors = refused(json!({"model_id": "m", "files": files}));
            assert!(errors[0].0.starts_with("files["), "{errors:?}");
        }
    }

    #[test]
    fn the_address_and_the_body_name_the_same_model() {
        let body = |id: Value| -> RegistrationBody {
            serde_json::from_value(json!({"model_id": id, "kind": "generic", "repo_id": "a/b"}))
                .unwrap()
        };
        let id: ModelId = "a/b".parse().unwrap();
        assert!(body(json!("a/b")).into_model_at(id.clone()).is_ok());
        assert!(body(json!(null)).into_model_at(id.clone()).is_ok());
        assert!(body(json!("a")).into_model_at(id).is_err());
    }
}
