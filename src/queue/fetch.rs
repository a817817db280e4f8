//! The middle steps of a job: what is here already, is there room for the rest, fetch it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::halt::Cause;
use super::keeper::{FileKeeper, KeptFile};
use super::notes::Notes;
use super::plan::{self, Plan};
use super::run::{Run, Stop};
use super::supply::{Place, Supply};
use crate::cache::CacheError;
use crate::domain::{Digest, Failure, FailureCode, FileRow, FileState, PlannedFile, Size};
use crate::transfer::{FileTask, Keeper, TransferError};

/// Looks which files are in the cache, notes them, and hands back one group of rows per blob that is missing.
pub(crate) async fn what_is_missing(
    run: &Arc<Run>,
    place: &Place,
    plan: &Plan,
) -> Result<Vec<Vec<FileRow>>, Stop> {
    let (cache, repo) = (Arc::clone(&place.cache), place.repo_id.clone());
    let commit = plan.commit.clone();
    let wanted: Vec<PlannedFile> = plan.rows.iter().map(|row| row.file.clone()).collect();
    let present: HashSet<Digest> = blocking(move || {
        wanted
            .into_iter()
            .filter(|file| {
                // What is shown may be another version of a file that has no hash.
                cache.find_blob(&repo, &file.digest, file.size)
                    || file.digest.is_hash() && cache.find_file(&repo, &commit, file)
            })
            .map(|file| file.digest)
            .collect()
    })
    .await?;
    let (here, absent): (Vec<&FileRow>, Vec<&FileRow>) = plan
        .rows
        .iter()
        .partition(|row| present.contains(&row.file.digest));
    let is_done = |row: &FileRow| row.state == FileState::Done;
    let newly_here: Vec<i64> = here
        .iter()
        .filter(|row| !is_done(row))
        .map(|row| row.key)
        .collect();
    let vanished: Vec<i64> = absent
        .iter()
        .filter(|row| is_done(row))
        .map(|row| row.key)
        .collect();
    let (store, clock) = (&run.context.store, &run.context.clock);
    if !newly_here.is_empty() {
        let started = clock.monotonic();
        run.renewed(
            started,
            store
                .mark_present(run.claim, &newly_here, clock.now())
                .await,
        )?;
    }
    if !vanished.is_empty() {
        let started = clock.monotonic();
        run.renewed(
            started,
            store.mark_missing(run.claim, &vanished, clock.now()).await,
        )?;
    }
    let present_bytes = plan::bytes_of(here.iter().copied());
    let missing = by_blob(absent);
    let in_parts: u64 = missing.iter().map(|rows| rows[0].ranges.len()).sum();
    run.live
        .files_done
        .store(here.len() as u64, Ordering::Relaxed);
    run.live
        .present_bytes
        .store(present_bytes, Ordering::Relaxed);
    run.live
        .reused_bytes
        .store(present_bytes + in_parts, Ordering::Relaxed);
    Ok(missing)
}

/// Groups rows that share a blob, the one that knows most of a part first; the groups in the order of their paths.
pub(super) fn by_blob(rows: Vec<&FileRow>) -> Vec<Vec<FileRow>> {
    let mut groups: HashMap<&Digest, Vec<FileRow>> = HashMap::new();
    for row in rows {
        // Nearly every blob has one path: room for more in each group would be most of what a plan takes.
        groups
            .entry(&row.file.digest)
            .or_insert_with(|| Vec::with_capacity(1))
            .push(row.clone());
    }
    let mut groups: Vec<Vec<FileRow>> = groups.into_values().collect();
    for group in &mut groups {
        group.sort_by_key(|row| std::cmp::Reverse(row.ranges.len()));
    }
    groups.sort_by(|a, b| a[0].file.path.cmp(&b[0].file.path));
    groups
}

/// Fetches the missing blobs, verified and published.
pub(crate) async fn fetch(
    run: &Arc<Run>,
    supply: &dyn Supply,
    plan: &Plan,
    missing: Vec<Vec<FileRow>>,
) -> Result<(), Stop> {
    let place = supply.place();
    room_for(run, place, &missing).await?;
    let tasks = missing
        .iter()
        .map(|rows| task(supply, plan, &rows[0]))
        .collect();
    let digests: HashSet<Digest> = missing
        .iter()
        .map(|rows| rows[0].file.digest.clone())
        .collect();
    let notes = Notes::path(&run.context.options.database);
    let notes =
        blocking(move || Notes::load(&notes, |part| digests.contains(part.digest()))).await?;
    let kept = missing.into_iter().map(KeptFile::new).collect();
    let keeper = FileKeeper::new(Arc::clone(run), place.clone(), kept, notes);
    let keeper = Arc::new(keeper);
    let progress = Arc::clone(&run.live.transfer);
    let outcome = run
        .context
        .engine
        .run(
            tasks,
            Arc::clone(&keeper) as Arc<dyn Keeper>,
            progress,
            run.halt.token().clone(),
        )
        .await;
    let ends = match &outcome {
        Err(TransferError::Failed(failure)) => failure.code != FailureCode::LeaseLost,
        // A pause or a stop goes on with what is only noted; after a cancel nobody may.
        Err(TransferError::Cancelled) => run.halt.cause() == Some(Cause::Cancelled),
        _ => false,
    };
    if ends && let Err(failure) = keeper.drop_useless().await {
        tracing::warn!(%failure, "A part that is of no use stays until the housework finds it.");
    }
    match outcome {
        Ok(()) => Ok(()),
        Err(TransferError::Cancelled | TransferError::Fenced) => Err(Stop::Halted),
        Err(TransferError::Failed(failure)) if failure.code == FailureCode::LeaseLost => {
            Err(Stop::Halted)
        }
        Err(TransferError::Failed(failure)) => Err(keeper.explained(failure).into()),
    }
}

fn task(supply: &dyn Supply, plan: &Plan, row: &FileRow) -> FileTask {
    let file = &row.file;
    FileTask {
        path: file.path.clone(),
        size: file.size,
        digest: file.digest.clone(),
        source: supply.source(plan, file),
    }
}

/// Removes parts of blobs that are complete now: a crash between a part's birth and its first checkpoint leaves one,
/// and a crash after the last blob's final name leaves those of all lives before it.
pub(crate) async fn drop_useless_parts(place: &Place, plan: &Plan) -> Result<(), Stop> {
    let (cache, repo) = (Arc::clone(&place.cache), place.repo_id.clone());
    let done: HashSet<Digest> = plan
        .rows
        .iter()
        .map(|row| row.file.digest.clone())
        .collect();
    let dropped = blocking(move || {
        for (part, _) in cache.list_parts(&repo)? {
            if done.contains(part.digest()) {
                cache.delete_part(&repo, &part)?;
            }
        }
        Ok(())
    })
    .await?;
    dropped.map_err(|error: CacheError| error.failure().into())
}

/// Refuses to begin when the file system cannot hold what is missing.
async fn room_for(run: &Run, place: &Place, missing: &[Vec<FileRow>]) -> Result<(), Stop> {
    let (cache, repo) = (Arc::clone(&place.cache), place.repo_id.clone());
    let wanted: Vec<(u64, Option<String>)> = missing
        .iter()
        .map(|rows| (rows[0].file.size, rows[0].part_name.clone()))
        .collect();
    let looked = blocking(move || {
        // A part may have its blocks already: they are not needed a second time.
        let parts: HashMap<String, u64> = cache
            .list_parts(&repo)?
            .into_iter()
            .map(|(name, bytes)| (name.to_string(), bytes))
            .collect();
        let allocated = |name: &Option<String>| {
            name.as_ref()
                .and_then(|name| parts.get(name))
                .copied()
                .unwrap_or(0)
        };
        let needed: u64 = wanted
            .iter()
            .map(|(size, part)| size.saturating_sub(allocated(part)))
            .sum();
        Ok((needed, cache.space()?))
    })
    .await?;
    let (needed, space) = looked.map_err(|error: CacheError| error.failure())?;
    // A part and a link for each, and some folders.
    let inodes = 2 * missing.len() as u64 + 8;
    if let Some(free) = space.inodes.filter(|free| *free < inodes) {
        let message = format!(
            "not enough free inodes for `{}`: {inodes} are needed, {free} are free",
            run.model.id(),
        );
        let remedy = "remove files that are not needed; the download goes on by itself";
        return Err(Failure::new(FailureCode::DiskFull, message)
            .with_remedy(remedy)
            .into());
    }
    let floor = run.context.options.disk_floor;
    if needed.saturating_add(floor) > space.bytes {
        let message = format!(
            "not enough free space for `{}`: {} are needed, {} are free, of which {} are kept",
            run.model.id(),
            Size(needed),
            Size(space.bytes),
            Size(floor),
        );
        let remedy = "free some space; the download goes on by itself";
        return Err(Failure::new(FailureCode::DiskFull, message)
            .with_remedy(remedy)
            .into());
    }
    Ok(())
}

/// Runs file system work off the runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| broken(&error))
}

/// A blocking task that panicked: a defect.
pub(super) fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::new(
        FailureCode::Internal,
        format!("a file system task broke: {error}"),
    )
    .with_remedy(Failure::REPORT)
}
