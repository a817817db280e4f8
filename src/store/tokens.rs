//! The access tokens: their names, roles and hashes.

use super::convert::{ms, text, time, time_opt};
use super::{Result, Store};
use crate::domain::{AccessToken, TokenName};

impl Store {
    /// Keeps a token; false when one of this name exists.
    pub(crate) async fn add_token(&self, token: &AccessToken) -> Result<bool> {
        let (name, role, hash) = (
            token.name.as_str(),
            token.role.as_str(),
            token.hash.to_hex(),
        );
        let (created, expires) = (ms(token.created_at), token.expires_at.map(ms));
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "INSERT INTO tokens (name, role, hash, created_at_ms, expires_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (name) DO NOTHING",
                name,
                role,
                hash,
                created,
                expires,
            ))
            .await?;
        Ok(changed == 1)
    }

    /// All tokens, in the order of their names.
    pub(crate) async fn tokens(&self) -> Result<Vec<AccessToken>> {
        const T: &str = "tokens";
        let rows = self
            .reader()
            .rows(sqlx::query!(
                r#"SELECT name AS "name!", role AS "role!", hash AS "hash!", created_at_ms AS "created_at_ms!",
                          expires_at_ms AS "expires_at_ms?"
                     FROM tokens ORDER BY name"#
            ))
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(AccessToken {
                    name: text(&row.name, T, "name")?,
                    role: text(&row.role, T, "role")?,
                    created_at: time(row.created_at_ms, T, "created_at_ms")?,
                    expires_at: time_opt(row.expires_at_ms, T, "expires_at_ms")?,
                    hash: text(&row.hash, T, "hash")?,
                })
            })
            .collect()
    }

    /// Removes a token; whether there was one of this name.
    pub(crate) async fn remove_token(&self, name: &TokenName) -> Result<bool> {
        let name = name.as_str();
        let changed = self
            .writer()
            .exec(sqlx::query!("DELETE FROM tokens WHERE name = ?1", name))
            .await?;
        Ok(changed == 1)
    }
}
