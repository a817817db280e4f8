//! The settings that people change while modelhaul runs: one typed row.

use std::time::Duration;

use super::convert::{count, count_opt, signed_opt};
use super::{Result, Store, StoreError};

/// The settings row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Whether the whole queue is paused.
    pub(crate) paused: bool,
    /// Bytes per second over all connections; none means as configured.
    pub(crate) bandwidth_limit: Option<u64>,
    /// How long a holder may be silent before people call its lease expired.
    pub(crate) lease_ttl: Duration,
    /// How many days ended jobs and events are kept.
    pub(crate) keep_days: u32,
    /// How many ended jobs are kept at most.
    pub(crate) keep_jobs: u32,
}

impl Store {
    /// The settings as they are now.
    pub(crate) async fn settings(&self) -> Result<Settings> {
        const T: &str = "settings";
        let row = self
            .reader()
            .row(sqlx::query!(
                r#"SELECT paused AS "paused!: bool", bandwidth_limit AS "bandwidth_limit?",
                          lease_ttl_ms AS "lease_ttl_ms!", keep_days AS "keep_days!", keep_jobs AS "keep_jobs!"
                     FROM settings"#
            ))
            .await?
            .ok_or_else(|| StoreError::corrupt(T, "id", "no row"))?;
        Ok(Settings {
            paused: row.paused,
            bandwidth_limit: count_opt(row.bandwidth_limit, T, "bandwidth_limit")?,
            lease_ttl: Duration::from_millis(count(row.lease_ttl_ms, T, "lease_ttl_ms")?),
            keep_days: count(row.keep_days, T, "keep_days")?,
            keep_jobs: count(row.keep_jobs, T, "keep_jobs")?,
        })
    }

    /// Pauses the whole queue or ends its pause; whether that changed anything.
    pub(crate) async fn set_queue_paused(&self, paused: bool) -> Result<bool> {
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE settings SET paused = ?1 WHERE paused <> ?1",
                paused
            ))
            .await?;
        Ok(changed == 1)
    }

    /// Limits bytes per second over all connections; none means as configured, 0 is refused.
    pub(crate) async fn set_bandwidth_limit(&self, limit: Option<u64>) -> Result<()> {
        if limit == Some(0) {
            return Err(StoreError::Conflict(
                "a bandwidth limit is at least 1 byte per second".to_owned(),
            ));
        }
        let limit = signed_opt(limit, "the bandwidth limit")?;
        self.writer()
            .exec(sqlx::query!(
                "UPDATE settings SET bandwidth_limit = ?1",
                limit
            ))
            .await?;
        Ok(())
    }
}
