//! The order of the waiting jobs: by priority, then by age. People change priorities, never ages.

use chrono::{DateTime, Utc};

use super::convert::ms;
use super::{Result, Store};
use crate::domain::Place;

impl Store {
    /// Gives an active job another place; false when it is not active any more.
    ///
    /// The top is one more than the highest priority that waits. When that would pass 100, all others that wait step
    /// down by one first, which keeps their order except among those that are at -100 already. The bottom likewise.
    pub(crate) async fn place_job(
        &self,
        job_key: i64,
        place: Place,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let now = ms(now);
        let mut tx = self.writer().begin().await?;
        let wanted = match place {
            Place::Priority(priority) => priority,
            Place::Top => {
                let highest = tx
                    .row(sqlx::query_scalar!(
                        r#"SELECT max(priority) AS "priority?: i64" FROM jobs WHERE state = 'queued' AND job_key <> ?1"#,
                        job_key
                    ))
                    .await?;
                let highest = highest.flatten().unwrap_or(-1);
                if highest >= 100 {
                    tx.exec(sqlx::query!(
                        "UPDATE jobs SET priority = priority - 1
                          WHERE state = 'queued' AND job_key <> ?1 AND priority > -100",
                        job_key
                    ))
                    .await?;
                }
                i32::try_from((highest + 1).min(100)).unwrap_or(100)
            }
            Place::Bottom => {
                let lowest = tx
                    .row(sqlx::query_scalar!(
                        r#"SELECT min(priority) AS "priority?: i64" FROM jobs WHERE state = 'queued' AND job_key <> ?1"#,
                        job_key
                    ))
                    .await?;
                let lowest = lowest.flatten().unwrap_or(1);
                if lowest <= -100 {
                    tx.exec(sqlx::query!(
                        "UPDATE jobs SET priority = priority + 1
                          WHERE state = 'queued' AND job_key <> ?1 AND priority < 100",
                        job_key
                    ))
                    .await?;
                }
                i32::try_from((lowest - 1).max(-100)).unwrap_or(-100)
            }
        };
        let changed = tx
            .exec(sqlx::query!(
                "UPDATE jobs SET priority = ?2, updated_at_ms = ?3 WHERE job_key = ?1 AND state IN ('queued', 'running')",
                job_key,
                wanted,
                now,
            ))
            .await?;
        tx.commit().await?;
        Ok(changed == 1)
    }
}
