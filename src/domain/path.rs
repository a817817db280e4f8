//! The path of a file inside a repository.
//!
//! This is the one place where a file name from outside becomes a path: it refuses whatever could
//! leave the folder it is joined to, on POSIX or on Windows.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A file name that could escape its folder or cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unsafe file name `{given}`: {rule}")]
pub struct InvalidPath {
    /// The name that was refused, escaped and cut to 200 characters.
    pub given: String,
    /// Why.
    pub rule: &'static str,
}

/// A relative path with `/` between its parts; joining it to a folder stays below that folder.
// Clones share the text: a job of ten thousand files has each path in many places.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
#[schema(value_type = String)]
pub struct RepoPath(Arc<str>);

impl Serialize for RepoPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl RepoPath {
    /// Checks a name as it came from the hub or a caller.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let refuse = |rule| {
            Err(InvalidPath {
                given: text
                    .chars()
                    .take(200)
                    .flat_map(char::escape_debug)
                    .collect(),
                rule,
            })
        };
        if text.is_empty() || text.len() > 1024 {
            return refuse("it must have 1 to 1024 bytes");
        }
        if text.chars().any(char::is_control) {
            return refuse("it holds a control character");
        }
        if text.contains('\\') {
            return refuse("it holds a backslash");
        }
        for part in text.split('/') {
            let bytes = part.as_bytes();
            if part.is_empty() || part == "." || part == ".." {
                return refuse("it has an empty, `.` or `..` part");
            }
            if bytes.len() > 255 {
                return refuse("a part is longer than 255 bytes");
            }
            if bytes.len() >= 2 && bytes[1] == b':' && bytes[0].is_ascii_alphabetic() {
                return refuse("a part begins with a drive letter");
            }
        }
        Ok(Self(text.into()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// How many folders lie above the file; 0 at the root of the repository.
    pub fn depth(&self) -> usize {
        self.0.matches('/').count()
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RepoPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let long = format!("{}/x", "a".repeat(256));
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/../x",
            "/x",
            "a//b",
            "a/",
            "C:\\x",
            "C:x",
            "a/D:b",
            "\\\\h\\s",
            "..\\x",
            "a\0b",
            "a\nb",
            "a/./b",
            long.as_str(),
        ] {
            assert!(RepoPath::parse(bad).is_err(), "{bad:?}");
        }
        for good in [
            "x",
            "a/b c",
            ".gitattributes",
            "ä/é%#?",
            "..x",
            "a/...",
            "xy:z",
        ] {
            assert!(RepoPath::parse(good).is_ok(), "{good:?}");
        }
        let path = RepoPath::parse("a/b/c.onnx").unwrap();
        assert_eq!((path.depth(), path.file_name()), (2, "c.onnx"));
    }
}
