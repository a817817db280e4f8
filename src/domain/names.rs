//! Names of models, repositories and revisions.
//!
//! Each is checked once, when it is parsed; after that it is safe in a path and in a URL.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// A name that breaks its grammar: what it is, what was given, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} `{given}`: {rule}")]
pub struct InvalidName {
    /// The kind of name, for example `repository id`.
    pub what: &'static str,
    /// The text that was refused, cut to 200 characters.
    pub given: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl InvalidName {
    pub(super) fn new(what: &'static str, given: &str, rule: &'static str) -> Self {
        Self {
            what,
            given: given.chars().take(200).collect(),
            rule,
        }
    }
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The id under which an app asks for a model: one or two segments of `[A-Za-z0-9._@+-]`, at most 160 characters each.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[schema(
    pattern = r"^[A-Za-z0-9._@+-]{1,160}(/[A-Za-z0-9._@+-]{1,160})?$",
    examples("wd", "org/name")
)]
pub struct ModelId(String);
text_newtype!(ModelId);

impl FromStr for ModelId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "one or two `/`-separated parts of 1 to 160 letters, digits or `._@+-`, not `.` or `..`";
        let legal = |part: &str| {
            (1..=160).contains(&part.len())
                && part != "."
                && part != ".."
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() <= 2 && parts.iter().all(|part| legal(part)) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new("model id", text, RULE))
        }
    }
}

/// What stands before the name of a repository that is no model, and its folder's and the API's word for it.
const OTHER_TYPES: [&str; 2] = ["datasets", "spaces"];

/// A repository on the hub, `name` or `org/name`, by the hub's own grammar; one that is no model as the hub's addresses
/// have it, `datasets/org/name` or `spaces/org/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[schema(value_type = String)]
pub struct RepoId(Arc<str>);
text_newtype!(RepoId);

impl RepoId {
    /// The folder of this repository in the cache, for example `models--org--name`.
    pub fn folder_name(&self) -> String {
        let (kind, bare) = self.divided();
        format!("{kind}--{}", bare.replace('/', "--"))
    }

    /// The repository of a folder in the cache; none when it is no such folder.
    pub fn of_folder(name: &str) -> Option<Self> {
        let (kind, bare) = name.split_once("--")?;
        let bare = bare.replacen("--", "/", 1);
        let text = match kind {
            "models" => bare,
            _ => format!("{kind}/{bare}"),
        };
        let repo: Self = text.parse().ok()?;
        (repo.folder_name() == name).then_some(repo)
    }

    /// `model`, `dataset` or `space`.
    pub fn repo_type(&self) -> &'static str {
        match self.divided().0 {
            "datasets" => "dataset",
            "spaces" => "space",
            _ => "model",
        }
    }

    /// The repository of this type with this name; none when it is no name.
    pub fn of_type(repo_type: &str, name: &str) -> Option<Self> {
        let text = match repo_type {
            "model" => name.to_owned(),
            other => format!("{other}s/{name}"),
        };
        let repo: Self = text.parse().ok()?;
        (repo.repo_type() == repo_type).then_some(repo)
    }

    /// The name without what says that it is no model.
    #[must_use]
    pub fn without_type(&self) -> Self {
        Self(self.divided().1.into())
    }

    /// Whether it is the repository of this type with this name.
    pub fn is(&self, repo_type: &str, name: &str) -> bool {
        self.repo_type() == repo_type && self.divided().1 == name
    }

    /// Its place in the hub's API, for example `models/org/name`.
    pub fn api_path(&self) -> String {
        let (kind, bare) = self.divided();
        format!("{kind}/{bare}")
    }

    /// The type in the plural, and the rest.
    fn divided(&self) -> (&str, &str) {
        match self.0.split_once('/') {
            Some((kind, bare)) if OTHER_TYPES.contains(&kind) => (kind, bare),
            _ => ("models", &self.0),
        }
    }

    /// The part before the name, if there is one.
    pub fn owner(&self) -> Option<&str> {
        self.divided().1.split_once('/').map(|(owner, _)| owner)
    }

    /// The last part.
    pub fn name(&self) -> &str {
        let bare = self.divided().1;
        bare.split_once('/').map_or(bare, |(_, name)| name)
    }
}

impl FromStr for RepoId {
    type Err = InvalidName;

    /// The rule of `huggingface_hub`'s `validate_repo_id`.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "`name` or `org/name`, each 1 to 96 letters, digits or `._-`, \
             beginning and ending with a letter, digit or `_`, without `--` or `..`, not ending in `.git`";
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let legal = |part: &str| {
            let bytes = part.as_bytes();
            (1..=96).contains(&bytes.len())
                && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
                && bytes.first().copied().is_some_and(word)
                && bytes.last().copied().is_some_and(word)
        };
        let bare = match text.split_once('/') {
            Some((kind, bare)) if OTHER_TYPES.contains(&kind) => bare,
            _ => text,
        };
        let parts: Vec<&str> = bare.split('/').collect();
        let ok = parts.len() <= 2
            && parts.iter().all(|part| legal(part))
            && !text.contains("--")
            && !text.contains("..")
            && text.strip_suffix(".git").is_none();
        if ok {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new("repository id", text, RULE))
        }
    }
}

/// A branch, tag, `refs/pr/N` or full commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
pub struct Revision(String);
text_newtype!(Revision);

impl Revision {
    /// The hub's default branch, `main`.
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// The commit, when the revision names one in full: such a revision needs no ref file and no request.
    pub fn as_commit(&self) -> Option<CommitHash> {
        self.0.parse().ok()
    }
}

impl FromStr for Revision {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const RULE: &str = "1 to 200 printable characters as git allows in a ref, \
             no empty part, no part that begins with `.`, no `..`, no space, backslash or any of `~^:?*[`";
        let ok = (1..=200).contains(&text.len())
            && !text.contains("..")
            && !text.contains("@{")
            && text.split('/').all(|part| {
                !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none()
            })
            && !text
                .chars()
                .any(|c| c.is_control() || c.is_whitespace() || "\\~^:?*[".contains(c));
        if ok {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new("revision", text, RULE))
        }
    }
}

/// A full git commit: 40 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[schema(pattern = "^[0-9a-f]{40}$")]
#[schema(value_type = String)]
pub struct CommitHash(Arc<str>);
text_newtype!(CommitHash);

impl FromStr for CommitHash {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new("commit", text, "40 lower-case hex digits"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_ids_follow_the_hub() {
        for good in ["gpt2", "org/name", "Org_1/na-me.v2", "a/_b_"] {
            assert!(good.parse::<RepoId>().is_ok(), "{good}");
        }
        for bad in [
            "", "/", "a/b/c", "a--b", "a..b", "-a", "a.", "x/y.git", "../x", "a/ b", "é/x", "org/",
        ] {
            assert!(bad.parse::<RepoId>().is_err(), "{bad}");
        }
        let id: RepoId = "org/name".parse().unwrap();
        assert_eq!((id.owner(), id.name()), (Some("org"), "name"));
        assert_eq!(id.folder_name(), "models--org--name");
        for (text, folder, api) in [
            ("gpt2", "models--gpt2", "models/gpt2"),
            ("datasets/squad", "datasets--squad", "datasets/squad"),
            ("datasets/org/d", "datasets--org--d", "datasets/org/d"),
            ("spaces/org/s", "spaces--org--s", "spaces/org/s"),
        ] {
            let id: RepoId = text.parse().unwrap();
            assert_eq!(
                (id.folder_name().as_str(), id.api_path().as_str()),
                (folder, api)
            );
            assert!(id.is(id.repo_type(), id.without_type().as_str()));
            let again = RepoId::of_type(id.repo_type(), id.without_type().as_str());
            assert_eq!(again.as_ref(), Some(&id));
            assert_eq!(RepoId::of_folder(folder), Some(id));
        }
        assert_eq!(RepoId::of_folder("models--a--b--c"), None);
        assert_eq!(RepoId::of_folder("others--a--b"), None);
    }

    #[test]
    fn model_ids_hold_at_most_one_slash() {
        for good in ["wd", "org/name", "org/name@v1+ab", "..a"] {
            assert!(good.parse::<ModelId>().is_ok(), "{good}");
        }
        for bad in ["", "a/b/c", "..", "a/..", "a b", "a%2Fb", "a/"] {
            assert!(bad.parse::<ModelId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn revisions_cannot_leave_the_refs_folder() {
        for good in ["main", "v1.0", "feature/x", "refs/pr/1"] {
            assert!(good.parse::<Revision>().is_ok(), "{good}");
        }
        for bad in [
            "", "../x", "/x", "a//b", "a b", ".hid", "a/.b", "a\\b", "x.lock", "a\0",
        ] {
            assert!(bad.parse::<Revision>().is_err(), "{bad}");
        }
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert!(hash.parse::<Revision>().unwrap().as_commit().is_some());
        assert!("0123456".parse::<Revision>().unwrap().as_commit().is_none());
        assert!(hash.to_uppercase().parse::<CommitHash>().is_err());
    }
}
