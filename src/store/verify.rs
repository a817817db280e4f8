//! Verify jobs: which files were compared, what was wrong, and taking the wrong ones out.
//!
//! What a comparison found is written file by file, so a killed job goes on behind the last one. The outcome of a
//! file counts until the next comparison or publication; wrong content is recorded before anything is removed.

use chrono::{DateTime, Utc};

use super::claims::{Claim, begin_fenced, one_row};
use super::convert::{keys, ms};
use super::plan::{all_of_job, forget_shared_parts, recount, write_rows};
use super::rows::{all, select_files, select_jobs};
use super::{Result, Store, StoreError};
use crate::domain::{CommitHash, Failure, FileRow, Job, JobId, PlannedFile};

/// What a comparison found, as keys of file rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Shown by the snapshot, with the right content.
    pub(crate) good: Vec<i64>,
    /// The blob is there with the right content, but the snapshot does not show it.
    pub(crate) hidden: Vec<i64>,
    /// There, with another content or length.
    pub(crate) bad: Vec<i64>,
    /// Not there.
    pub(crate) absent: Vec<i64>,
}

impl Store {
    /// Asks for a comparison of the model's files; the active job comes back with `false` when there is one.
    ///
    /// An active verify job learns that it is to repair too.
    pub(crate) async fn enqueue_verify(
        &self,
        model_key: i64,
        repair: bool,
        priority: i32,
        now: DateTime<Utc>,
    ) -> Result<(Job, bool)> {
        let id = JobId::generate(now).to_string();
        let now = ms(now);
        let mut tx = self.writer().begin().await?;
        let added = tx
            .exec(sqlx::query!(
                "INSERT INTO jobs (job_id, model_key, kind, repair, priority, run_after_ms, enqueued_at_ms, updated_at_ms)
                 SELECT ?1, m.model_key, 'verify', ?5, ?2, ?3, ?3, ?3 FROM models m WHERE m.model_key = ?4
                 ON CONFLICT (model_key) WHERE state IN ('queued', 'running') DO NOTHING",
                id,
                priority,
                now,
                model_key,
                repair,
            ))
            .await?;
        if added == 0 && repair {
            ask_for_repair(&mut tx, model_key, now).await?;
        }
        let row = tx
            .row(select_jobs!(
                "WHERE j.model_key = ?1 AND j.state IN ('queued', 'running')",
                model_key
            ))
            .await?
            .ok_or_else(|| {
                StoreError::Conflict("the model is not registered any more".to_owned())
            })?;
        tx.commit().await?;
        Ok((row.try_into()?, added == 1))
    }

    /// Pins the verify job to a commit and its files, and answers their rows in the order of their paths.
    ///
    /// The job's counts begin with what it has compared before, in an earlier attempt. With the fingerprint of a selection
    /// these files are its plan of the commit from now on; without one, stored plans stay what they are.
    pub(crate) async fn plan_verify(
        &self,
        claim: Claim,
        commit: &CommitHash,
        files: &[PlannedFile],
        selection: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vec<FileRow>> {
        let (commit, job_key) = (commit.as_str(), claim.job_key);
        let mut tx = begin_fenced(self, claim, now).await?;
        write_rows(&mut tx, job_key, commit, files, selection, now).await?;
        if selection.is_some() {
            // What is left of another selection's plan is not that plan any more.
            tx.exec(sqlx::query!(
                "UPDATE files SET plan = NULL
                  WHERE model_key = (SELECT model_key FROM jobs WHERE job_key = ?1) AND commit_sha = ?2
                    AND job_key IS NOT ?1 AND plan IS NOT NULL",
                job_key,
                commit
            ))
            .await?;
        }
        tx.exec(sqlx::query!(
            "UPDATE jobs SET commit_sha = ?2, files_total = p.files, files_done = p.files_done,
                    bytes_total = p.bytes, bytes_done = p.bytes_done, bytes_reused = 0
               FROM (SELECT coalesce(sum(paths), 0) AS files, coalesce(sum(compared), 0) AS files_done,
                            coalesce(sum(size), 0) AS bytes,
                            coalesce(sum(CASE WHEN compared = paths THEN size ELSE 0 END), 0) AS bytes_done
                       FROM (SELECT count(*) AS paths, sum(verified AND checked_job IS ?1) AS compared,
                                    max(size) AS size
                               FROM files WHERE job_key = ?1 GROUP BY digest)) p
              WHERE jobs.job_key = ?1",
            job_key,
            commit
        ))
        .await?;
        let rows = all(tx
            .rows(select_files!(
                "WHERE f.job_key = ?1 ORDER BY f.path",
                job_key
            ))
            .await?)?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Records what a comparison found. A model with a wrong or missing file is not ready any more.
    pub(crate) async fn record_checked(
        &self,
        claim: Claim,
        checked: &Checked,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = begin_fenced(self, claim, now).await?;
        let job_key = claim.job_key;
        let there = [&checked.good[..], &checked.hidden, &checked.bad].concat();
        forget_shared_parts(&mut tx, job_key, &there, now).await?;
        let now = ms(now);
        let (good, hidden) = (keys(&checked.good), keys(&checked.hidden));
        let (bad, absent) = (keys(&checked.bad), keys(&checked.absent));
        let mut changed = 0;
        changed += tx
            .exec(sqlx::query!(
                "UPDATE files SET state = 'done', verified = 1, corrupt = 0, checked_job = ?1, bytes_done = size,
                        ranges = '', part_name = NULL, part_token = NULL, updated_at_ms = ?3
                  WHERE job_key = ?1 AND file_key IN (SELECT value FROM json_each(?2))",
                job_key,
                good,
                now,
            ))
            .await?;
        changed += tx
            .exec(sqlx::query!(
                "UPDATE files SET state = 'done', verified = 1, corrupt = 0, checked_job = NULL, bytes_done = size,
                        ranges = '', part_name = NULL, part_token = NULL, updated_at_ms = ?3
                  WHERE job_key = ?1 AND file_key IN (SELECT value FROM json_each(?2))",
                job_key,
                hidden,
                now,
            ))
            .await?;
        changed += tx
            .exec(sqlx::query!(
                "UPDATE files SET state = 'done', verified = 0, corrupt = 1, checked_job = NULL, bytes_done = size,
                        ranges = '', part_name = NULL, part_token = NULL, updated_at_ms = ?3
                  WHERE job_key = ?1 AND file_key IN (SELECT value FROM json_each(?2))",
                job_key,
                bad,
                now,
            ))
            .await?;
        // Ranges of a part that is under way stay: they are what the next download goes on from.
        changed += tx
            .exec(sqlx::query!(
                "UPDATE files SET state = CASE state WHEN 'done' THEN 'pending' ELSE state END,
                        bytes_done = CASE state WHEN 'done' THEN 0 ELSE bytes_done END,
                        verified = 0, corrupt = 0, checked_job = NULL, updated_at_ms = ?3
                  WHERE job_key = ?1 AND file_key IN (SELECT value FROM json_each(?2))",
                job_key,
                absent,
                now,
            ))
            .await?;
        let named = [&there[..], &checked.absent].concat();
        all_of_job(changed, &named)?;
        if named.len() > checked.good.len() {
            tx.exec(sqlx::query!(
                "UPDATE models SET ready_commit = NULL, ready_bytes = NULL, ready_files = NULL, ready_verified = 0,
                        ready_at_ms = NULL, updated_at_ms = ?2
                  WHERE model_key = (SELECT model_key FROM jobs WHERE job_key = ?1) AND ready_at_ms IS NOT NULL",
                job_key,
                now,
            ))
            .await?;
        }
        tx.commit().await
    }

    /// Ends a verify job that found something wrong; `false` when a repair was asked for meanwhile.
    ///
    /// Such a job goes back to the queue and keeps what it has compared.
    pub(crate) async fn fail_verify(
        &self,
        claim: Claim,
        failure: &Failure,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let mut tx = begin_fenced(self, claim, now).await?;
        let (code, now) = (failure.code.as_str(), ms(now));
        let requeued = tx
            .exec(sqlx::query!(
                "UPDATE jobs SET state = 'queued', run_after_ms = min(run_after_ms, ?2), updated_at_ms = ?2,
                        lease_token = NULL, phase = NULL, rate = 0, current_file = NULL
                  WHERE job_key = ?1 AND repair = 1 AND cancel_requested_ms IS NULL",
                claim.job_key,
                now,
            ))
            .await?;
        if requeued == 0 {
            let changed = tx
                .exec(sqlx::query!(
                    "UPDATE jobs SET state = 'failed', finished_at_ms = ?2, updated_at_ms = ?2, lease_token = NULL,
                            phase = NULL, rate = 0, current_file = NULL, error_code = ?3, error = ?4, remedy = ?5
                      WHERE job_key = ?1",
                    claim.job_key,
                    now,
                    code,
                    failure.message,
                    failure.remedy,
                ))
                .await?;
            one_row(changed)?;
            // Queued again, it compares everything again.
            tx.exec(sqlx::query!(
                "UPDATE files SET checked_job = NULL WHERE job_key = ?1",
                claim.job_key
            ))
            .await?;
        }
        tx.commit().await?;
        Ok(requeued == 0)
    }

    /// Runs `act` (takes wrong content out of the cache) and records that nothing usable of these files is here.
    ///
    /// Dying in between leaves rows that say "wrong" about files that are gone: the next look finds them missing.
    pub(crate) async fn discard_files<A>(
        &self,
        claim: Claim,
        file_keys: Vec<i64>,
        now: DateTime<Utc>,
        act: A,
    ) -> Result<()>
    where
        A: FnOnce() -> std::io::Result<()> + Send + 'static,
    {
        let store = self.clone();
        self.to_its_end(async move {
            let mut tx = begin_fenced(&store, claim, now).await?;
            let (list, now) = (keys(&file_keys), ms(now));
            let changed = tx
                .exec(sqlx::query!(
                    "UPDATE files SET state = 'pending', bytes_done = 0, ranges = '', part_name = NULL,
                            part_token = NULL, verified = 0, corrupt = 0, checked_job = NULL, updated_at_ms = ?3
                      WHERE job_key = ?1 AND file_key IN (SELECT value FROM json_each(?2))",
                    claim.job_key,
                    list,
                    now,
                ))
                .await?;
            all_of_job(changed, &file_keys)?;
            recount(&mut tx, claim.job_key).await?;
            super::publish::run(act).await?;
            tx.commit().await
        })
        .await
    }

    /// Sets how many bytes the job has to read and to fetch, once it knows what must be fetched again.
    pub(crate) async fn set_bytes_total(
        &self,
        claim: Claim,
        bytes: u64,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let bytes = super::convert::signed(bytes, "the number of bytes")?;
        let mut tx = begin_fenced(self, claim, now).await?;
        tx.exec(sqlx::query!(
            "UPDATE jobs SET bytes_total = max(?2, bytes_done) WHERE job_key = ?1",
            claim.job_key,
            bytes,
        ))
        .await?;
        tx.commit().await
    }
}

/// Lets the model's active verify job fetch what it finds wrong.
pub(super) async fn ask_for_repair(
    tx: &mut super::writer::Tx,
    model_key: i64,
    now: i64,
) -> Result<()> {
    tx.exec(sqlx::query!(
        "UPDATE jobs SET repair = 1, updated_at_ms = ?2
          WHERE model_key = ?1 AND state IN ('queued', 'running') AND kind = 'verify' AND repair = 0",
        model_key,
        now,
    ))
    .await?;
    Ok(())
}
