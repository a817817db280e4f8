//! The digest that names a blob: sha256 for LFS and Xet files, git's blob sha1 for the rest.
//!
//! The hub's etag equals this digest, and the cache uses it as a file name, so only hex gets in.
//!
//! A file from an address may have no hash at all. What stands in its place begins with 16 zeros, which no hash of a
//! content does: such a text from outside is refused, and what is read back from a row is never taken for a proof.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An etag that is neither 40 nor 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is no blob digest: 64 (sha256) or 40 (git sha1) lower-case hex digits are expected"
)]
pub struct InvalidDigest {
    /// The text that was refused, escaped and cut to 100 characters.
    pub given: String,
}

/// What the content of a file must hash to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// sha256 of the content, 64 hex digits.
    Sha256(Arc<str>),
    /// sha1 of `blob <length>\0` and the content, 40 hex digits.
    GitSha1(Arc<str>),
    /// No hash: 64 hex digits, the first 16 of them zeros, that tell one version of a file from another.
    Unhashed(Arc<str>),
}

/// The beginning of what is no hash.
const NO_HASH: &str = "0000000000000000";

impl Digest {
    /// Reads an etag: quotes and a weak mark around it are dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidDigest> {
        let hex = text.trim().trim_start_matches("W/").trim_matches('"');
        let legal = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match hex.len() {
            64 if legal && hex.starts_with(NO_HASH) => Err(refused(text)),
            64 if legal => Ok(Self::Sha256(hex.into())),
            40 if legal => Ok(Self::GitSha1(hex.into())),
            _ => Err(refused(text)),
        }
    }

    /// Reads what a row or the name of a part says, which may be no hash.
    pub fn stored(text: &str) -> Result<Self, InvalidDigest> {
        let legal = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == 64 && legal && text.starts_with(NO_HASH) {
            return Ok(Self::Unhashed(text.into()));
        }
        Self::parse(text)
    }

    /// What stands for the hash of a version that has none; `hex` has at least 48 hex digits.
    pub(super) fn unhashed(hex: &str) -> Self {
        Self::Unhashed(format!("{NO_HASH}{}", &hex[..48]).into())
    }

    /// Whether it proves a content.
    pub fn is_hash(&self) -> bool {
        !matches!(self, Self::Unhashed(_))
    }

    /// Whether it is a sha256.
    pub fn is_sha256(&self) -> bool {
        matches!(self, Self::Sha256(_))
    }

    /// The hex digits: the blob's file name in the cache.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitSha1(hex) | Self::Unhashed(hex) => hex,
        }
    }
}

fn refused(text: &str) -> InvalidDigest {
    InvalidDigest {
        given: text
            .chars()
            .take(100)
            .flat_map(char::escape_debug)
            .collect(),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl utoipa::PartialSchema for Digest {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "64 hex digits of a SHA-256, or 40 of a git blob's SHA-1.",
            ))
            .pattern(Some("^([0-9a-f]{40}|[0-9a-f]{64})$"));
        text.into()
    }
}

impl utoipa::ToSchema for Digest {}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::stored(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hex_of_the_right_length_is_a_digest() {
        let sha1 = "e".repeat(40);
        let sha256 = "0a".repeat(32);
        assert_eq!(
            Digest::parse(&format!("W/\"{sha1}\"")).unwrap(),
            Digest::GitSha1(sha1.as_str().into())
        );
        assert_eq!(Digest::parse(&sha256).unwrap().as_str(), sha256);
        for bad in [
            "",
            "../../etc",
            &sha1[1..],
            &sha256.to_uppercase(),
            "sha256:00",
            &"0".repeat(64),
        ] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
        let none = Digest::unhashed(&sha256);
        assert_eq!(Digest::stored(none.as_str()).unwrap(), none);
        assert!(!none.is_hash() && Digest::stored(&sha256).unwrap().is_hash());
    }
}
