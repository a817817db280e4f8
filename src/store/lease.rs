//! The lease: one row that says who works, and whose key is the fence.
//!
//! Triggers put back what ran when the row goes away. When it may be taken from a holder is decided in `queue`.

use chrono::{DateTime, Utc};

use super::convert::{ms, time};
use super::{Result, Store};
use crate::domain::LeaseInfo;

impl Store {
    /// Takes the lease when nobody has it; the token is larger than every one before.
    pub(crate) async fn acquire(
        &self,
        holder: &str,
        locked: bool,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>> {
        let now = ms(now);
        self.writer()
            .returning(sqlx::query_scalar!(
                r#"INSERT INTO lease (holder, locked, acquired_at_ms, renewed_at_ms, expires_at_ms)
                   SELECT ?1, ?2, ?3, ?3, ?3 + s.lease_ttl_ms FROM settings s WHERE true
                   ON CONFLICT (slot) DO NOTHING
                   RETURNING token AS "token!: i64""#,
                holder,
                locked,
                now,
            ))
            .await
    }

    /// Deletes the lease, or only the one with this token; what ran under it is queued again. Whether there was one.
    pub(crate) async fn delete_lease(&self, token: Option<i64>) -> Result<bool> {
        let deleted = self
            .writer()
            .exec(sqlx::query!(
                "DELETE FROM lease WHERE ?1 IS NULL OR token = ?1",
                token
            ))
            .await?;
        Ok(deleted > 0)
    }

    /// Who works.
    pub(crate) async fn lease(&self) -> Result<Option<LeaseInfo>> {
        const T: &str = "lease";
        let row = self
            .reader()
            .row(sqlx::query!(
                r#"SELECT token AS "token!", holder AS "holder!", beat AS "beat!", locked AS "locked!: bool",
                          acquired_at_ms AS "acquired!", renewed_at_ms AS "renewed!", expires_at_ms AS "expires!"
                     FROM lease"#
            ))
            .await?;
        row.map(|row| {
            Ok(LeaseInfo {
                token: row.token,
                holder: row.holder,
                beat: row.beat,
                locked: row.locked,
                acquired_at: time(row.acquired, T, "acquired_at_ms")?,
                renewed_at: time(row.renewed, T, "renewed_at_ms")?,
                expires_at: time(row.expires, T, "expires_at_ms")?,
            })
        })
        .transpose()
    }

    /// Renews the lease of an idle holder (a worker's report renews by itself); `false` when it is gone.
    pub(crate) async fn renew(&self, token: i64, now: DateTime<Utc>) -> Result<bool> {
        let now = ms(now);
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE lease SET beat = beat + 1, renewed_at_ms = ?2,
                        expires_at_ms = ?2 + (SELECT s.lease_ttl_ms FROM settings s)
                  WHERE token = ?1",
                token,
                now,
            ))
            .await?;
        Ok(changed == 1)
    }

    /// Says whether the holder also has the lock of the operating system; `false` when the lease is gone.
    pub(crate) async fn set_locked(&self, token: i64, locked: bool) -> Result<bool> {
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE lease SET locked = ?2 WHERE token = ?1",
                token,
                locked
            ))
            .await?;
        Ok(changed == 1)
    }
}
