//! The lock file: which commits and which contents models are made of, for a person to commit beside their code.
//!
//! Invariant: a file that was read is usable as it is: known version, every name and digest checked, nothing twice.
//! The text depends on the models alone, so the same models give the same text. Reading and writing the file itself
//! is left to the caller.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::domain::{
    CommitHash, Digest, Kind, ModelId, NewModel, Origin, PlannedFile, RepoId, RepoPath, Revision,
    Selection,
};

/// The version of the format.
const VERSION: u32 = 1;

/// What stands above the models.
const HEAD: &str =
    "# Written by `modelhaul lock`; `modelhaul pull --locked` refuses anything else.\n";

/// Models with their commits and contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockFile {
    /// The version of the format.
    version: u32,
    /// The models in the order of their ids.
    #[serde(default, rename = "model")]
    models: Vec<LockedModel>,
}

/// One model of a lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedModel {
    /// The id under which it is registered.
    pub id: ModelId,
    /// The family.
    pub kind: Kind,
    /// The repository.
    pub repo: RepoId,
    /// The branch, tag or commit that was locked.
    pub revision: Revision,
    /// What it was then.
    pub commit: CommitHash,
    /// The template that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Its variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Patterns of which one must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_patterns: Vec<String>,
    /// Patterns of which none may match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_patterns: Vec<String>,
    /// The files in the order of their paths.
    pub files: Vec<LockedFile>,
}

/// One file of a locked model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct LockedFile(pub PlannedFile);

/// A file as it is written: exactly one of the two digests.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: RepoPath,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    git_sha1: Option<Digest>,
}

impl TryFrom<Written> for LockedFile {
    type Error = String;

    fn try_from(file: Written) -> Result<Self, String> {
        let ((Some(digest @ Digest::Sha256(_)), None) | (None, Some(digest @ Digest::GitSha1(_)))) =
            (file.sha256, file.git_sha1)
        else {
            return Err(format!(
                "`{}` needs either `sha256` (64 hex digits) or `git_sha1` (40 hex digits)",
                file.path
            ));
        };
        Ok(Self(PlannedFile {
            path: file.path,
            size: file.size,
            digest,
        }))
    }
}

impl From<LockedFile> for Written {
    fn from(LockedFile(file): LockedFile) -> Self {
        let (sha256, git_sha1) = match file.digest {
            digest @ Digest::Sha256(_) => (Some(digest), None),
            digest @ Digest::GitSha1(_) => (None, Some(digest)),
            // No repository of the hub has such files.
            Digest::Unhashed(_) => (None, None),
        };
        Self {
            path: file.path,
            size: file.size,
            sha256,
            git_sha1,
        }
    }
}

/// Why a lock file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLockFile(String);

impl LockFile {
    /// A lock file of these models; of two with one id the later one counts.
    pub fn new(models: impl IntoIterator<Item = LockedModel>) -> Self {
        let by_id: BTreeMap<ModelId, LockedModel> = models
            .into_iter()
            .map(|model| (model.id.clone(), model))
            .collect();
        Self {
            version: VERSION,
            models: by_id.into_values().collect(),
        }
    }

    /// Reads the text of a lock file.
    pub fn parse(text: &str) -> Result<Self, BadLockFile> {
        let bad = |message: String| Err(BadLockFile(message));
        let lock: Self = match toml::from_str(text) {
            Ok(lock) => lock,
            Err(error) => return bad(error.to_string().trim_end().to_owned()),
        };
        if lock.version != VERSION {
            return bad(format!(
                "it is of version {}, and this modelhaul reads version {VERSION}",
                lock.version
            ));
        }
        let mut ids = HashSet::new();
        for model in &lock.models {
            if !ids.insert(&model.id) {
                return bad(format!("`{}` stands in it twice", model.id));
            }
            if model.files.is_empty() {
                return bad(format!("`{}` has no files", model.id));
            }
            let mut paths = HashSet::new();
            if let Some(twice) = model.files.iter().find(|file| !paths.insert(&file.0.path)) {
                return bad(format!("`{}` names `{}` twice", model.id, twice.0.path));
            }
        }
        Ok(Self::new(lock.models))
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        let body = toml::to_string(self).expect("names, numbers and texts are TOML");
        format!("{HEAD}{body}")
    }

    /// The models in the order of their ids.
    pub fn models(&self) -> &[LockedModel] {
        &self.models
    }

    /// The model with this id.
    pub fn get(&self, id: &ModelId) -> Option<&LockedModel> {
        self.models.iter().find(|model| model.id == *id)
    }

    /// The same file with these models in place of those with the same ids.
    #[must_use]
    pub fn with(self, models: Vec<LockedModel>) -> Self {
        Self::new(self.models.into_iter().chain(models))
    }
}

impl LockedModel {
    /// Puts a registration, a commit and its files together.
    pub(super) fn new(
        model: &NewModel,
        commit: CommitHash,
        mut files: Vec<PlannedFile>,
    ) -> Option<Self> {
        let Origin::Hub {
            repo_id,
            revision,
            selection,
        } = &model.origin
        else {
            return None;
        };
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Some(Self {
            id: model.model_id.clone(),
            kind: model.kind,
            repo: repo_id.clone(),
            revision: revision.clone(),
            commit,
            template: selection.template.clone(),
            variant: selection.variant.clone(),
            allow_patterns: selection.allow_patterns.clone(),
            ignore_patterns: selection.ignore_patterns.clone(),
            files: files.into_iter().map(LockedFile).collect(),
        })
    }

    /// The registration that it was.
    pub fn registration(&self) -> NewModel {
        NewModel {
            model_id: self.id.clone(),
            kind: self.kind,
            origin: Origin::Hub {
                repo_id: self.repo.clone(),
                revision: self.revision.clone(),
                selection: Selection {
                    template: self.template.clone(),
                    variant: self.variant.clone(),
                    allow_patterns: self.allow_patterns.clone(),
                    ignore_patterns: self.ignore_patterns.clone(),
                },
            },
            description: None,
            total_size_estimate: None,
            file_count_estimate: None,
        }
    }

    /// The files.
    pub(super) fn planned(&self) -> Vec<PlannedFile> {
        self.files.iter().map(|file| file.0.clone()).collect()
    }

    /// How these files differ from the locked ones, one sentence part each; empty when they are the same.
    pub(super) fn differences(&self, files: &[PlannedFile]) -> Vec<String> {
        let there: BTreeMap<&RepoPath, &PlannedFile> =
            files.iter().map(|file| (&file.path, file)).collect();
        let locked: HashSet<&RepoPath> = self.files.iter().map(|file| &file.0.path).collect();
        let mut differences = Vec::new();
        for LockedFile(file) in &self.files {
            match there.get(&file.path) {
                None => differences.push(format!("`{}` is not wanted or not there", file.path)),
                Some(found) if found.digest != file.digest => differences.push(format!(
                    "`{}` is {} and {} is locked",
                    file.path, found.digest, file.digest
                )),
                Some(found) if found.size != file.size => differences.push(format!(
                    "`{}` has {} bytes and {} are locked",
                    file.path, found.size, file.size
                )),
                Some(_) => {}
            }
        }
        let extra = files.iter().filter(|file| !locked.contains(&file.path));
        differences.extend(extra.map(|file| format!("`{}` is wanted and not locked", file.path)));
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64, digest: &str) -> PlannedFile {
        PlannedFile {
            path: RepoPath::parse(path).unwrap(),
            size,
            digest: Digest::parse(digest).unwrap(),
        }
    }

    fn model(id: &str) -> LockedModel {
        let spec = NewModel {
            model_id: id.parse().unwrap(),
            kind: Kind::Caption,
            origin: Origin::Hub {
                repo_id: "org/name".parse().unwrap(),
                revision: Revision::main(),
                selection: Selection {
                    template: Some("wdv3".to_owned()),
                    ignore_patterns: vec!["*.md".to_owned()],
                    ..Selection::default()
                },
            },
            description: None,
            total_size_estimate: None,
            file_count_estimate: None,
        };
        let files = vec![
            file("selected_tags.csv", 5, &"b".repeat(40)),
            file("model.onnx", 9, &"a".repeat(64)),
        ];
        LockedModel::new(&spec, "1".repeat(40).parse().unwrap(), files).unwrap()
    }

    #[test]
    fn the_text_is_stable_readable_and_reads_back() {
        let lock = LockFile::new([model("z"), model("a"), model("z")]);
        let text = lock.render();
        insta::assert_snapshot!(text);
        assert_eq!(LockFile::parse(&text).unwrap(), lock);
        assert_eq!(lock.models()[0].registration(), {
            let mut spec = model("a").registration();
            spec.model_id = "a".parse().unwrap();
            spec
        });
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        let good = LockFile::new([model("a")]).render();
        let second = LockFile::new([model("a")])
            .render()
            .split_once("[[model]]")
            .unwrap()
            .1
            .to_owned();
        for (bad, word) in [
            (good.replace("version = 1", "version = 2"), "version 2"),
            (good.replace("version = 1", ""), "version"),
            (good.clone() + "\n[[model]]" + &second, "twice"),
            (good.replace("model.onnx", "../x"), "path"),
            (good.replace("model.onnx", "selected_tags.csv"), "twice"),
            (good.replace(&"a".repeat(64), &"a".repeat(40)), "sha256"),
            (good.replace("sha256", "md5"), "md5"),
            (good.replace(&"1".repeat(40), "main"), "commit"),
            (good.replace("size = 9", "size = -9"), "-9"),
            (good.replace("revision", "revison"), "revision"),
            (good.replace("kind =", "colour = 1\nkind ="), "colour"),
            (good.replace("size = 9", "size = 9\nmode = 1"), "mode"),
            ("version = ".to_owned(), ""),
        ] {
            let error = LockFile::parse(&bad).unwrap_err().to_string();
            assert!(error.contains(word), "{word}: {error}");
        }
        assert!(LockFile::parse("version = 1").unwrap().models().is_empty());
    }

    #[test]
    fn every_difference_is_named() {
        let locked = model("a");
        assert!(locked.differences(&locked.planned()).is_empty());
        let found = locked.differences(&[
            file("model.onnx", 9, &"c".repeat(64)),
            file("extra.bin", 1, &"d".repeat(40)),
        ]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("model.onnx") && found[0].contains(&"c".repeat(64)));
        let shorter = locked.differences(&[
            file("model.onnx", 8, &"a".repeat(64)),
            file("selected_tags.csv", 5, &"b".repeat(40)),
        ]);
        assert_eq!(shorter, ["`model.onnx` has 8 bytes and 9 are locked"]);
    }
}
