//! Who may call the service: tokens with a role are made, listed and revoked here, and recognised by their hash.
//!
//! Recognising reads the table only when the database has changed, so a token that any process makes or revokes counts
//! within a quarter of a second, and a request costs no read.

use std::time::Duration;

use super::{ManagerError, Result, UnifiedModelDownloadManager};
use crate::domain::{AccessToken, Role, SecretHash, TokenName, random_hex};
use crate::redact::Token;

/// The most tokens: each request with a token is compared with all of them.
const MOST_TOKENS: usize = 1000;

/// What every token begins with, so that people and scanners of secrets recognise one.
const PREFIX: &str = "mh_";

/// A token that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) name: TokenName,
    pub(crate) role: Role,
    /// Its time is over: it opens nothing.
    pub(crate) expired: bool,
}

/// What the table says about what a caller has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether any token exists, expired ones too: then nobody is let in without one.
    pub(crate) guarded: bool,
    /// Whose token it is.
    pub(crate) holder: Option<Holder>,
}

impl UnifiedModelDownloadManager {
    /// Makes a token of 256 random bits; it is shown to the caller and not kept. `lifetime` (at least 1 s) ends it by itself.
    ///
    /// # Errors
    /// [`ManagerError::Invalid`] when the name is taken, the lifetime is none or too long, or there are 1000 tokens.
    pub async fn create_token(
        &self,
        name: TokenName,
        role: Role,
        lifetime: Option<Duration>,
    ) -> Result<(AccessToken, Token)> {
        let invalid = |field, reason: String| ManagerError::Invalid { field, reason };
        let now = self.clock.now();
        let expires_at = match lifetime {
            None => None,
            Some(lifetime) => Some(
                chrono::TimeDelta::from_std(lifetime)
                    .ok()
                    .filter(|lifetime| lifetime.num_seconds() >= 1)
                    .and_then(|lifetime| now.checked_add_signed(lifetime))
                    .ok_or_else(|| {
                        invalid(
                            "expires",
                            "at least one second is expected, and a year that exists".to_owned(),
                        )
                    })?,
            ),
        };
        let store = &self.context.store;
        if store.tokens().await?.len() >= MOST_TOKENS {
            return Err(invalid(
                "name",
                format!("there are {MOST_TOKENS} tokens: revoke one first"),
            ));
        }
        let secret = secret()?;
        let token = AccessToken {
            name,
            role,
            created_at: now,
            expires_at,
            hash: SecretHash::of(secret.expose().as_bytes()),
        };
        if !store.add_token(&token).await? {
            return Err(invalid(
                "name",
                format!(
                    "a token named `{}` exists: revoke it first, or choose another name",
                    token.name
                ),
            ));
        }
        Ok((token, secret))
    }

    /// All tokens, in the order of their names.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn tokens(&self) -> Result<Vec<AccessToken>> {
        Ok(self.context.store.tokens().await?)
    }

    /// Revokes a token; services on this database refuse it, and the sessions that it opened, within a second. False
    /// when there is none of this name.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn revoke_token(&self, name: &TokenName) -> Result<bool> {
        Ok(self.context.store.remove_token(name).await?)
    }

    /// What a caller who shows this hash, or nothing, is.
    pub(crate) async fn standing(&self, shown: Option<&SecretHash>) -> Result<Standing> {
        let read = || async { Ok(self.context.store.tokens().await?) };
        let tokens = self.kept.tokens.get(&self.context, |_| true, read).await?;
        let now = self.clock.now();
        let holder = shown.and_then(|shown| tokens.iter().find(|token| token.hash == *shown));
        Ok(Standing {
            guarded: !tokens.is_empty(),
            holder: holder.map(|token| Holder {
                name: token.name.clone(),
                role: token.role,
                expired: token.is_expired(now),
            }),
        })
    }
}

/// 256 random bits as text.
fn secret() -> Result<Token> {
    let digits = random_hex::<4>().map_err(|error| {
        ManagerError::Failure(crate::domain::Failure::new(
            crate::domain::FailureCode::Internal,
            format!("the system gives no random bytes: {error}"),
        ))
    })?;
    let text = format!("{PREFIX}{digits}");
    Ok(Token::parse(&text).expect("it is not empty"))
}
