//! The plan of a job: its exact files, and how much of each is on disk.
//!
//! Rows belong to a model and a commit, not to a job, so the next job goes on where the last one stopped. A row whose
//! digest or size changed begins anew; a part of the same content at another commit, or of another model of the same
//! repository, is taken over. A plan is known by
//! its commit and by the fingerprint of the selection that chose its files: rows of another selection are no part of it.

use chrono::{DateTime, Utc};

use super::claims::{Claim, begin_fenced};
use super::convert::{json, keys, ms, signed};
use super::rows::{all, select_files};
use super::writer::Tx;
use super::{Result, Store, StoreError};
use crate::domain::{CommitHash, FileRow, HashMark, PlannedFile, RangeSet};

/// Which bytes of a file are on disk and synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileCheckpoint {
    /// The file.
    pub(crate) file_key: i64,
    /// Its synced ranges.
    pub(crate) ranges: RangeSet,
    /// The name of its part in `blobs/`.
    pub(crate) part_name: String,
    /// The lease under which the part was written.
    pub(crate) part_token: i64,
    /// How far those ranges were hashed.
    pub(crate) hash_mark: Option<HashMark>,
}

/// The files of a commit that a selection chose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewPlan<'a> {
    /// The commit.
    pub(crate) commit: &'a CommitHash,
    /// The fingerprint of the selection.
    pub(crate) selection: &'a str,
    /// The files.
    pub(crate) files: &'a [PlannedFile],
}

impl Store {
    /// Pins the job to a commit and its files, and answers their rows in the order of their paths.
    ///
    /// Sets the job's totals: a content that two paths share counts once. Counts go back to what the rows say is here.
    pub(crate) async fn set_plan(
        &self,
        claim: Claim,
        plan: NewPlan<'_>,
        now: DateTime<Utc>,
    ) -> Result<Vec<FileRow>> {
        let mut tx = begin_fenced(self, claim, now).await?;
        let rows = write_plan(&mut tx, claim.job_key, plan, now).await?;
        tx.commit().await?;
        failpoint!("plan-committed");
        Ok(rows)
    }

    /// Gives the job's files the parts that others have left of the same contents since it was planned: another model of
    /// the repository may have been cancelled meanwhile. Answers the rows, or none when nothing has changed.
    pub(crate) async fn take_over(
        &self,
        claim: Claim,
        now: DateTime<Utc>,
    ) -> Result<Option<Vec<FileRow>>> {
        let mut tx = begin_fenced(self, claim, now).await?;
        let helped = take_over_twins(&mut tx, claim.job_key).await?;
        let rows = if helped > 0 {
            Some(files_of(&mut tx, claim.job_key).await?)
        } else {
            None
        };
        // In each case: it is the heartbeat too.
        tx.commit().await?;
        Ok(rows)
    }

    /// Records files whose blobs are in the cache already; a row that was verified stays so.
    pub(crate) async fn mark_present(
        &self,
        claim: Claim,
        file_keys: &[i64],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = begin_fenced(self, claim, now).await?;
        forget_shared_parts(&mut tx, claim.job_key, file_keys, now).await?;
        let (list, now) = (keys(file_keys), ms(now));
        let changed = tx
            .exec(sqlx::query!(
                "UPDATE files SET state = 'done', bytes_done = size, ranges = '', part_name = NULL, part_token = NULL,
                        updated_at_ms = ?3
                  WHERE job_key = ?1 AND file_key IN (SELECT value FROM json_each(?2))",
                claim.job_key,
                list,
                now,
            ))
            .await?;
        all_of_job(changed, file_keys)?;
        recount(&mut tx, claim.job_key).await?;
        tx.commit().await
    }

    /// Records files of which nothing usable is here, whatever their rows said.
    pub(crate) async fn mark_missing(
        &self,
        claim: Claim,
        file_keys: &[i64],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = begin_fenced(self, claim, now).await?;
        let (list, now) = (keys(file_keys), ms(now));
        let changed = tx
            .exec(sqlx::query!(
                "UPDATE files SET state = 'pending', bytes_done = 0, ranges = '', part_name = NULL, part_token = NULL,
                        verified = 0, corrupt = 0, checked_job = NULL, updated_at_ms = ?3
                  WHERE job_key = ?1 AND file_key IN (SELECT value FROM json_each(?2))",
                claim.job_key,
                list,
                now,
            ))
            .await?;
        all_of_job(changed, file_keys)?;
        recount(&mut tx, claim.job_key).await?;
        tx.commit().await
    }
}

/// Makes these the files of the job; answers their rows in the order of their paths.
pub(super) async fn write_plan(
    tx: &mut Tx,
    job_key: i64,
    plan: NewPlan<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<FileRow>> {
    let commit = plan.commit.as_str();
    write_rows(tx, job_key, commit, plan.files, Some(plan.selection), now).await?;
    let now = ms(now);
    // Rows of an earlier plan would be taken for files that this one needs; what was found wrong stays known.
    tx.exec(sqlx::query!(
        "DELETE FROM files WHERE model_key = (SELECT model_key FROM jobs WHERE job_key = ?1) AND commit_sha = ?2
            AND job_key IS NOT ?1 AND corrupt = 0",
        job_key,
        commit
    ))
    .await?;
    tx.exec(sqlx::query!(
        "UPDATE files SET plan = NULL, job_key = NULL, updated_at_ms = ?3
          WHERE model_key = (SELECT model_key FROM jobs WHERE job_key = ?1) AND commit_sha = ?2 AND job_key IS NOT ?1",
        job_key,
        commit,
        now
    ))
    .await?;
    tx.exec(sqlx::query!(
        "UPDATE jobs SET commit_sha = ?2, files_total = p.files, files_done = p.files_done,
                bytes_total = p.bytes, bytes_done = p.bytes_done, bytes_reused = min(bytes_reused, p.bytes_done)
           FROM (SELECT coalesce(sum(paths), 0) AS files, coalesce(sum(done), 0) AS files_done,
                        coalesce(sum(size), 0) AS bytes, coalesce(sum(here), 0) AS bytes_done
                   FROM (SELECT count(*) AS paths, sum(state = 'done') AS done, max(size) AS size,
                                max(bytes_done) AS here
                           FROM files WHERE job_key = ?1 GROUP BY digest)) p
          WHERE jobs.job_key = ?1",
        job_key,
        commit
    ))
    .await?;
    files_of(tx, job_key).await
}

/// The job's files in the order of their paths.
async fn files_of(tx: &mut Tx, job_key: i64) -> Result<Vec<FileRow>> {
    all(tx
        .rows(select_files!(
            "WHERE f.job_key = ?1 ORDER BY f.path",
            job_key
        ))
        .await?)
}

/// Writes the rows of a job's files, and takes over what is known of the same content at another commit.
///
/// Without a selection, which plan a row belongs to stays as it was, and a new row belongs to none.
pub(super) async fn write_rows(
    tx: &mut Tx,
    job_key: i64,
    commit: &str,
    files: &[PlannedFile],
    selection: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    let planned = files
        .iter()
        .map(|file| {
            Ok((
                file.path.as_str(),
                signed(file.size, "the size of a file")?,
                file.digest.as_str(),
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    let planned = json(&planned);
    let now = ms(now);
    // An earlier attempt may have planned another commit or other files.
    tx.exec(sqlx::query!(
        "UPDATE files SET job_key = NULL WHERE job_key = ?1",
        job_key
    ))
    .await?;
    tx.exec(sqlx::query!(
        "INSERT INTO files (model_key, commit_sha, path, size, digest, job_key, updated_at_ms, plan)
         SELECT j.model_key, ?2, json_extract(e.value, '$[0]'), json_extract(e.value, '$[1]'),
                json_extract(e.value, '$[2]'), j.job_key, ?3, ?5
           FROM json_each(?4) e JOIN jobs j ON j.job_key = ?1
          WHERE true
         ON CONFLICT (model_key, commit_sha, path) DO UPDATE SET
           job_key = excluded.job_key, updated_at_ms = excluded.updated_at_ms, plan = coalesce(excluded.plan, plan),
           state = CASE WHEN digest = excluded.digest AND size = excluded.size THEN state ELSE 'pending' END,
           ranges = CASE WHEN digest = excluded.digest AND size = excluded.size THEN ranges ELSE '' END,
           bytes_done = CASE WHEN digest = excluded.digest AND size = excluded.size THEN bytes_done ELSE 0 END,
           part_name = CASE WHEN digest = excluded.digest AND size = excluded.size THEN part_name END,
           part_token = CASE WHEN digest = excluded.digest AND size = excluded.size THEN part_token END,
           verified = CASE WHEN digest = excluded.digest AND size = excluded.size THEN verified ELSE 0 END,
           corrupt = CASE WHEN digest = excluded.digest AND size = excluded.size THEN corrupt ELSE 0 END,
           checked_job = CASE WHEN digest = excluded.digest AND size = excluded.size THEN checked_job END,
           digest = excluded.digest, size = excluded.size",
        job_key,
        commit,
        now,
        planned,
        selection,
    ))
    .await?;
    take_over_twins(tx, job_key).await?;
    Ok(())
}

/// Takes over what is known of the same content at another commit, or by another model of the same repository; answers how
/// many files that helped.
async fn take_over_twins(tx: &mut Tx, job_key: i64) -> Result<u64> {
    let helped = tx.exec(sqlx::query!(
        "UPDATE files SET state = 'partial', ranges = d.ranges, bytes_done = d.bytes_done, part_name = d.part_name,
                part_token = d.part_token, hash_mark = d.hash_mark
           FROM (SELECT digest, size, ranges, part_name, part_token, hash_mark, max(bytes_done) AS bytes_done
                   FROM files WHERE state = 'partial'
                    AND model_key IN (SELECT twin.model_key FROM models m JOIN models twin
                                        ON twin.model_key = m.model_key OR twin.repo_id = m.repo_id
                                       WHERE m.model_key = (SELECT model_key FROM jobs WHERE job_key = ?1))
                  GROUP BY digest, size) d
          WHERE files.job_key = ?1 AND files.state = 'pending' AND files.digest = d.digest AND files.size = d.size",
        job_key
    ))
    .await?;
    // A part serves one model at a time: what another one knew of it goes with it.
    tx.exec(sqlx::query!(
        "UPDATE files SET state = 'pending', bytes_done = 0, ranges = '', part_name = NULL, part_token = NULL
          WHERE model_key <> (SELECT model_key FROM jobs WHERE job_key = ?1)
            AND part_name IN (SELECT f.part_name FROM files f WHERE f.job_key = ?1 AND f.part_name IS NOT NULL)",
        job_key
    ))
    .await?;
    Ok(helped)
}

/// Writes checkpoints; a file that is done in the meantime is left alone.
pub(super) async fn write_checkpoints(
    tx: &mut Tx,
    job_key: i64,
    checkpoints: &[FileCheckpoint],
    now: DateTime<Utc>,
) -> Result<()> {
    let rows = checkpoints
        .iter()
        .map(|point| {
            let bytes = signed(point.ranges.len(), "the number of bytes")?;
            Ok((
                point.file_key,
                point.ranges.to_string(),
                bytes,
                point.part_name.as_str(),
                point.part_token,
                point
                    .hash_mark
                    .as_ref()
                    .map(|mark| format!("{} {mark}", point.part_name)),
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    let (rows, now) = (json(&rows), ms(now));
    tx.exec(sqlx::query!(
        "UPDATE files SET state = 'partial', ranges = json_extract(e.value, '$[1]'),
                bytes_done = json_extract(e.value, '$[2]'), part_name = json_extract(e.value, '$[3]'),
                part_token = json_extract(e.value, '$[4]'), hash_mark = json_extract(e.value, '$[5]'),
                updated_at_ms = ?3
           FROM json_each(?2) e
          WHERE files.file_key = json_extract(e.value, '$[0]') AND files.job_key = ?1 AND files.state <> 'done'",
        job_key,
        rows,
        now,
    ))
    .await?;
    Ok(())
}

/// Another path or commit with the same content may name the same part, which is about to be gone.
pub(super) async fn forget_shared_parts(
    tx: &mut Tx,
    job_key: i64,
    file_keys: &[i64],
    now: DateTime<Utc>,
) -> Result<()> {
    let (list, now) = (keys(file_keys), ms(now));
    tx.exec(sqlx::query!(
        "UPDATE files SET state = 'pending', bytes_done = 0, ranges = '', part_name = NULL, part_token = NULL,
                updated_at_ms = ?3
          WHERE model_key = (SELECT model_key FROM jobs WHERE job_key = ?1)
            AND file_key NOT IN (SELECT value FROM json_each(?2))
            AND part_name IN (SELECT f.part_name FROM files f WHERE f.part_name IS NOT NULL
                                 AND f.file_key IN (SELECT value FROM json_each(?2)))",
        job_key,
        list,
        now,
    ))
    .await?;
    Ok(())
}

/// Brings the job's count of finished files in line with its rows.
pub(super) async fn recount(tx: &mut Tx, job_key: i64) -> Result<()> {
    tx.exec(sqlx::query!(
        "UPDATE jobs SET files_done = (SELECT count(*) FROM files f WHERE f.job_key = ?1 AND f.state = 'done')
          WHERE job_key = ?1",
        job_key
    ))
    .await?;
    Ok(())
}

/// Every named file must belong to the job.
pub(super) fn all_of_job(changed: u64, file_keys: &[i64]) -> Result<()> {
    let mut unique = file_keys.to_vec();
    unique.sort_unstable();
    unique.dedup();
    if usize::try_from(changed) == Ok(unique.len()) {
        Ok(())
    } else {
        Err(StoreError::Conflict(format!(
            "{changed} of {} files belong to the plan of this job",
            unique.len()
        )))
    }
}
