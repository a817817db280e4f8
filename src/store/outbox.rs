//! What webhooks are still to be told. The rows are made by a trigger, in the transaction that ends a job.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::convert::{count, ms};
use super::{Result, Store};
use crate::domain::{JobState, Webhook};

/// How long a message that was given up is kept for people.
const KEEP_DEAD: Duration = Duration::from_hours(24 * 30);

/// A message that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) key: i64,
    /// For example `job.completed`.
    pub(crate) event: String,
    /// JSON.
    pub(crate) body: String,
    /// How often it was tried.
    pub(crate) tries: u32,
}

impl Store {
    /// Takes over which webhooks there are; what was still to be told to others is forgotten.
    pub(crate) async fn set_webhooks(&self, hooks: &[Webhook], now: DateTime<Utc>) -> Result<()> {
        let old = ms(now).saturating_sub(i64::try_from(KEEP_DEAD.as_millis()).unwrap_or(i64::MAX));
        let ids: Vec<String> = hooks.iter().map(Webhook::id).collect();
        let known = super::convert::json(&ids);
        let mut tx = self.writer().begin().await?;
        tx.exec(sqlx::query!(
            "DELETE FROM deliveries WHERE dead = 1 AND created_at_ms < ?1",
            old
        ))
        .await?;
        tx.exec(sqlx::query!(
            "DELETE FROM webhooks WHERE hook NOT IN (SELECT value FROM json_each(?1))",
            known
        ))
        .await?;
        for (hook, id) in hooks.iter().zip(&ids) {
            let wants = |state| hook.events().contains(&state);
            let (completed, failed, cancelled) = (
                wants(JobState::Completed),
                wants(JobState::Failed),
                wants(JobState::Cancelled),
            );
            tx.exec(sqlx::query!(
                "INSERT INTO webhooks (hook, completed, failed, cancelled) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (hook) DO UPDATE SET completed = ?2, failed = ?3, cancelled = ?4",
                id,
                completed,
                failed,
                cancelled,
            ))
            .await?;
        }
        tx.commit().await
    }

    /// The oldest message for a webhook that is due.
    pub(crate) async fn next_delivery(
        &self,
        hook: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Delivery>> {
        let now = ms(now);
        let row = self
            .reader()
            .row(sqlx::query!(
                r#"SELECT delivery_key AS "key!: i64", event AS "event!", body AS "body!", tries AS "tries!: i64"
                     FROM deliveries WHERE hook = ?1 AND dead = 0 AND due_at_ms <= ?2
                    ORDER BY delivery_key LIMIT 1"#,
                hook,
                now,
            ))
            .await?;
        row.map(|row| {
            Ok(Delivery {
                key: row.key,
                event: row.event,
                body: row.body,
                tries: count(row.tries, "deliveries", "tries")?,
            })
        })
        .transpose()
    }

    /// A message arrived.
    pub(crate) async fn delivered(&self, key: i64) -> Result<()> {
        self.writer()
            .exec(sqlx::query!(
                "DELETE FROM deliveries WHERE delivery_key = ?1",
                key
            ))
            .await?;
        Ok(())
    }

    /// A message did not arrive: it is due again at `due`, or given up without one.
    pub(crate) async fn not_delivered(
        &self,
        key: i64,
        due: Option<DateTime<Utc>>,
        error: &str,
    ) -> Result<()> {
        let (due, dead) = (due.map(ms), due.is_none());
        self.writer()
            .exec(sqlx::query!(
                "UPDATE deliveries SET tries = tries + 1, due_at_ms = coalesce(?2, due_at_ms), dead = ?3, last_error = ?4
                  WHERE delivery_key = ?1",
                key,
                due,
                dead,
                error,
            ))
            .await?;
        Ok(())
    }
}
