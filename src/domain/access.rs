//! Who may use the service: roles, and the names and hashes of access tokens.
//!
//! A token itself is never kept: what is stored and compared is its sha256, and the comparison takes constant time.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::names::InvalidName;
use super::state::{UnknownWord, words};

words! {
    /// What the holder of a token may do; each role may do what those before it may.
    Role, "role" {
        /// Look at everything.
        Viewer = "viewer",
        /// Start and steer downloads.
        Operator = "operator",
        /// Remove things, and what concerns everybody.
        Admin = "admin",
    }
}

/// The name of an access token: 1 to 64 letters, digits or `._@+-`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenName(String);

impl TokenName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for TokenName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let legal = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(&b));
        if legal {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::new(
                "token name",
                text,
                "1 to 64 letters, digits or `._@+-`",
            ))
        }
    }
}

/// The sha256 of a secret that somebody shows: all that is ever kept of it.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of what was shown.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// 64 hex digits, as rows keep it.
    pub fn to_hex(self) -> String {
        super::hex(&self.0)
    }
}

impl PartialEq for SecretHash {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretHash(***)")
    }
}

impl FromStr for SecretHash {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let bad = || UnknownWord {
            what: "hash",
            given: "***".to_owned(),
        };
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).ok().ok_or_else(bad)?;
            *byte = u8::from_str_radix(digits, 16).ok().ok_or_else(bad)?;
        }
        Ok(Self(hash))
    }
}

/// An access token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessToken {
    /// Its name; no two have the same one.
    pub name: TokenName,
    /// What its holder may do.
    pub role: Role,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it is good no more; none means never.
    pub expires_at: Option<DateTime<Utc>>,
    /// What it is compared by.
    #[serde(skip)]
    pub hash: SecretHash,
}

impl AccessToken {
    /// Whether its time is over.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_hashes_survive_a_row_without_showing_themselves() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        let hash = SecretHash::of(b"secret");
        assert_eq!(hash.to_hex().parse::<SecretHash>().unwrap(), hash);
        assert_ne!(hash, SecretHash::of(b"secreT"));
        assert_eq!(format!("{hash:?}"), "SecretHash(***)");
        for bad in ["", "0", &"g".repeat(64), &"é".repeat(32), &"+1".repeat(32)] {
            assert!(bad.parse::<SecretHash>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_fit_for_a_log_line() {
        for bad in ["", "a b", "a\n", &"a".repeat(65), "é"] {
            assert!(bad.parse::<TokenName>().is_err(), "{bad}");
        }
        assert_eq!(
            "ci@host-1".parse::<TokenName>().unwrap().as_str(),
            "ci@host-1"
        );
    }
}
