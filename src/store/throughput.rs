//! How many bytes workers received, in steps: a second, ten seconds, two minutes.
//!
//! Each length of step is kept for its own time, so the table stays small however long the service runs.

use super::convert::{count, signed};
use super::{Result, Store};

/// Lengths of steps in seconds, and how long each is kept.
pub(crate) const STEPS: [(i64, i64); 3] = [(1, 300), (10, 3600), (120, 86_400)];

/// Bytes that came within a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Length of the step in seconds.
    pub(crate) step: i64,
    /// Its beginning in seconds since the Unix epoch.
    pub(crate) at: i64,
    /// The bytes.
    pub(crate) bytes: u64,
}

impl Store {
    /// Adds to the steps, and removes what is older than is shown at `now` (seconds since the Unix epoch).
    pub(crate) async fn add_received(&self, received: &[Received], now: i64) -> Result<()> {
        let mut tx = self.writer().begin().await?;
        for one in received {
            let bytes = signed(one.bytes, "the bytes of a step")?;
            tx.exec(sqlx::query!(
                "INSERT INTO throughput (step_s, at_s, bytes) VALUES (?1, ?2, ?3)
                 ON CONFLICT (step_s, at_s) DO UPDATE SET bytes = bytes + excluded.bytes",
                one.step,
                one.at,
                bytes,
            ))
            .await?;
        }
        for (step, kept) in STEPS {
            // One step more than is shown, because the first one is cut by the span's beginning.
            let before = now - kept - step;
            tx.exec(sqlx::query!(
                "DELETE FROM throughput WHERE step_s = ?1 AND at_s < ?2",
                step,
                before
            ))
            .await?;
        }
        tx.commit().await
    }

    /// The steps of this length that begin at `since` or later, oldest first; those without a byte are left out.
    pub(crate) async fn received(&self, step: i64, since: i64) -> Result<Vec<Received>> {
        let rows = self
            .reader()
            .rows(sqlx::query!(
                r#"SELECT at_s AS "at!", bytes AS "bytes!" FROM throughput
                    WHERE step_s = ?1 AND at_s >= ?2 ORDER BY at_s"#,
                step,
                since
            ))
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Received {
                    step,
                    at: row.at,
                    bytes: count(row.bytes, "throughput", "bytes")?,
                })
            })
            .collect()
    }
}
