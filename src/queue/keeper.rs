//! What the transfer engine asks of the queue: locks, parts, checkpoints, final names; all of it fenced.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::SecondsFormat;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::task::TaskTracker;

use super::fetch::{blocking, broken};
use super::notes::Notes;
use super::reporter;
use super::run::{Run, Stop, store_failure};
use super::supply::Place;
use crate::cache::{BlobLock, Cache, CacheError, PartName};
use crate::domain::{Failure, FailureCode, FileRow, HashMark, RepoId};
use crate::store::FileCheckpoint;
use crate::transfer::{Keeper, Known, Opening};

/// A blob that is being fetched, and the rows of the paths that share it.
#[derive(Debug)]
pub(crate) struct KeptFile {
    rows: Vec<FileRow>,
    open: Mutex<Option<OpenPart>>,
}

/// The lock and the part of a blob, from its first byte to its final name.
#[derive(Debug)]
struct OpenPart {
    part: PartName,
    /// Whether the part's name outlives a power cut. A row may name it only then.
    durable: bool,
    /// None when a hung worker, from which the lease was taken, still has it.
    _lock: Option<BlobLock>,
}

impl KeptFile {
    /// `rows` is not empty; all its rows have the same digest.
    pub(crate) fn new(rows: Vec<FileRow>) -> Self {
        Self {
            rows,
            open: Mutex::new(None),
        }
    }

    fn first(&self) -> &FileRow {
        &self.rows[0]
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<OpenPart>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keeper of one job's missing blobs.
#[derive(Debug)]
pub(crate) struct FileKeeper {
    run: Arc<Run>,
    place: Place,
    files: Vec<Arc<KeptFile>>,
    /// Openings under way: the engine may drop one of them, which goes on and makes its part all the same.
    finding: TaskTracker,
    notes: Arc<Notes>,
    /// Whether the folders above the blobs are durable.
    rooted: Arc<AtomicBool>,
    /// The blob that was found locked last.
    locked: Mutex<Option<usize>>,
}

/// What was found under the lock of a blob.
enum Found {
    Locked,
    Present,
    Part {
        lock: Option<BlobLock>,
        part: PartName,
        file: File,
        known: Known,
        /// Bytes that are only noted.
        unsynced: u64,
        replaces: Option<PartName>,
        durable: bool,
    },
}

impl FileKeeper {
    pub(crate) fn new(run: Arc<Run>, place: Place, files: Vec<KeptFile>, notes: Notes) -> Self {
        Self {
            run,
            place,
            files: files.into_iter().map(Arc::new).collect(),
            finding: TaskTracker::new(),
            notes: Arc::new(notes),
            rooted: Arc::default(),
            locked: Mutex::new(None),
        }
    }

    fn lock_path(&self, index: usize) -> PathBuf {
        let digest = &self.files[index].first().file.digest;
        self.place.cache.lock_path(&self.place.repo_id, digest)
    }

    /// The refusal because of a foreign lock, with the lock's file and since when it has been held.
    pub(crate) fn explained(&self, failure: Failure) -> Failure {
        let locked = *self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = locked.filter(|_| failure.code == FailureCode::CacheLocked) else {
            return failure;
        };
        let (path, now) = (self.lock_path(index), self.run.context.clock.now());
        let since = self.run.context.sightings.met(&path, now);
        let message = format!(
            "another program holds the lock of `{}` since {} or earlier: {}",
            self.files[index].first().file.path,
            since.to_rfc3339_opts(SecondsFormat::Secs, true),
            path.display(),
        );
        Failure { message, ..failure }
    }

    async fn open_one(&self, index: usize) -> Result<Opening, Failure> {
        let kept = &self.files[index];
        let (cache, repo, row) = (
            Arc::clone(&self.place.cache),
            self.place.repo_id.clone(),
            kept.first().clone(),
        );
        let reuse = self.run.clean || row.part_token == Some(self.run.claim.lease_token);
        let must_lock = self.run.clean;
        let (notes, owner) = (Arc::clone(&self.notes), Arc::clone(kept));
        // The part is noted where it is made: whoever asked for it may be gone by then.
        let found = self.finding.spawn_blocking(move || {
            let mut found = find(&cache, &repo, &row, &notes, reuse, must_lock)?;
            if let Found::Part {
                lock,
                part,
                durable,
                ..
            } = &mut found
            {
                *owner.slot() = Some(OpenPart {
                    part: part.clone(),
                    durable: *durable,
                    _lock: lock.take(),
                });
            }
            Ok(found)
        });
        let found: Result<Found, CacheError> = found.await.map_err(|error| broken(&error))?;
        let found = found.map_err(|error| error.failure())?;
        if !matches!(found, Found::Locked) {
            self.run.context.sightings.gone(&self.lock_path(index));
        }
        match found {
            Found::Locked => {
                let now = self.run.context.clock.now();
                let path = self.lock_path(index);
                self.run.context.sightings.met(&path, now);
                *self.locked.lock().unwrap_or_else(PoisonError::into_inner) = Some(index);
                Ok(Opening::Later)
            }
            Found::Present => {
                let keys: Vec<i64> = kept.rows.iter().map(|row| row.key).collect();
                let context = &self.run.context;
                let marked = self.run.write(|| {
                    let now = context.clock.now();
                    context.store.mark_present(self.run.claim, &keys, now)
                });
                marked.await.map_err(failure)?;
                self.arrived(kept);
                Ok(Opening::Present)
            }
            Found::Part {
                file,
                known,
                unsynced,
                replaces,
                ..
            } => {
                if let Some(old) = replaces {
                    // The row must name the copy before the old part goes.
                    self.save(vec![(index, known.clone())]).await?;
                    let (cache, repo) = (Arc::clone(&self.place.cache), self.place.repo_id.clone());
                    blocking(move || cache.delete_part(&repo, &old))
                        .await?
                        .map_err(|error| error.failure())?;
                }
                Ok(Opening::Part {
                    file: Arc::new(file),
                    known,
                    unsynced,
                })
            }
        }
    }

    async fn save(&self, files: Vec<(usize, Known)>) -> Result<(), Failure> {
        self.make_durable(files.iter().map(|(index, _)| *index))
            .await?;
        let checkpoints: Vec<FileCheckpoint> = files
            .into_iter()
            .flat_map(|(index, known)| {
                let kept = &self.files[index];
                let part = kept
                    .slot()
                    .as_ref()
                    .map(|open| open.part.as_str().to_owned());
                part.into_iter().map(move |part_name| FileCheckpoint {
                    file_key: kept.first().key,
                    ranges: known.ranges.clone(),
                    hash_mark: known.hash.clone(),
                    part_name,
                    part_token: self.run.claim.lease_token,
                })
            })
            .collect();
        reporter::checkpoint(&self.run, &checkpoints)
            .await
            .map_err(failure)
    }

    /// Makes the names of these parts outlive a power cut, with one sync for all that are new.
    ///
    /// Not at their birth: a small file is whole before a row ever names its part.
    async fn make_durable(&self, indexes: impl Iterator<Item = usize>) -> Result<(), Failure> {
        let is_new = |open: &OpenPart| !open.durable;
        let fresh: Vec<usize> = indexes
            .filter(|index| self.files[*index].slot().as_ref().is_some_and(is_new))
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let (cache, repo) = (Arc::clone(&self.place.cache), self.place.repo_id.clone());
        let rooted = Arc::clone(&self.rooted);
        blocking(move || sync_names(&cache, &repo, &rooted))
            .await?
            .map_err(|error| error.failure())?;
        failpoint!("part-named");
        for index in fresh {
            if let Some(open) = self.files[index].slot().as_mut() {
                open.durable = true;
            }
        }
        Ok(())
    }

    async fn publish(&self, indexes: Vec<usize>) -> Result<(), Failure> {
        let keys: Vec<i64> = indexes
            .iter()
            .flat_map(|&index| self.files[index].rows.iter().map(|row| row.key))
            .collect();
        let mut parts = Vec::with_capacity(indexes.len());
        for &index in &indexes {
            let kept = &self.files[index];
            let file = kept.first().file.clone();
            parts.extend(kept.slot().as_ref().map(|open| (open.part.clone(), file)));
        }
        let (cache, repo, trust, rooted) = (
            Arc::clone(&self.place.cache),
            self.place.repo_id.clone(),
            Arc::clone(&self.run.trust),
            Arc::clone(&self.rooted),
        );
        let rename = move || {
            if !trust.holds() {
                return Err(io::Error::other(Run::fenced()));
            }
            let publish = || {
                for (part, file) in &parts {
                    cache.publish_blob(&repo, part, &file.digest, file.size)?;
                }
                sync_names(&cache, &repo, &rooted)
            };
            publish().map_err(|error| io::Error::other(error.failure()))
        };
        let context = &self.run.context;
        let done = self.run.write(|| {
            let (keys, now) = (keys.clone(), context.clock.now());
            context
                .store
                .publish_files(self.run.claim, keys, now, rename.clone())
        });
        done.await.map_err(failure)?;
        for &index in &indexes {
            let kept = &self.files[index];
            if let Some(open) = kept.slot().take() {
                self.notes.forget(&open.part);
            }
            self.run
                .live
                .files_done
                .fetch_add(kept.rows.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes the parts of this run that no row can go on with: nothing of them was saved, and the next attempt
    /// would begin another one beside them. Asked when the engine has ended; the blobs' locks are still held.
    pub(super) async fn drop_useless(&self) -> Result<(), Failure> {
        self.finding.close();
        self.finding.wait().await;
        let opened: Vec<PartName> = self
            .files
            .iter()
            .filter_map(|kept| kept.slot().as_ref().map(|open| open.part.clone()))
            .collect();
        if opened.is_empty() {
            return Ok(());
        }
        let rows = self
            .run
            .context
            .store
            .files_of_job(self.run.claim.job_key)
            .await
            .map_err(|error| store_failure(&error))?;
        let useful: HashSet<String> = rows
            .into_iter()
            .filter(|row| !row.ranges.is_empty())
            .filter_map(|row| row.part_name)
            .collect();
        let (cache, repo) = (Arc::clone(&self.place.cache), self.place.repo_id.clone());
        let trust = Arc::clone(&self.run.trust);
        let dropped = blocking(move || {
            let useless = opened.iter().filter(|part| !useful.contains(part.as_str()));
            // A successor may have taken up what is ours no longer.
            let mut useless = useless.take_while(|_| trust.holds());
            useless.try_for_each(|part| cache.delete_part(&repo, part).map(drop))
        });
        dropped.await?.map_err(|error: CacheError| error.failure())
    }

    /// Counts a blob that someone else brought in.
    fn arrived(&self, kept: &KeptFile) {
        let live = &self.run.live;
        live.files_done
            .fetch_add(kept.rows.len() as u64, Ordering::Relaxed);
        live.present_bytes
            .fetch_add(kept.first().file.size, Ordering::Relaxed);
    }
}

/// Takes the blob's lock and looks again what is there, since another program may have finished it meanwhile.
///
/// A worker that hangs keeps its blobs' locks, and its successor would wait for it for ever. Such a successor goes on
/// without: the lock only spares a second download, since parts have names of their own and final names come by rename.
fn find(
    cache: &Cache,
    repo: &RepoId,
    row: &FileRow,
    notes: &Notes,
    reuse: bool,
    must_lock: bool,
) -> Result<Found, CacheError> {
    let digest = &row.file.digest;
    let lock = cache.try_lock(repo, digest)?;
    if lock.is_none() && must_lock {
        return Ok(Found::Locked);
    }
    if cache.find_blob(repo, digest, row.file.size) {
        return Ok(Found::Present);
    }
    let recorded = row
        .part_name
        .as_deref()
        .and_then(|name| name.parse::<PartName>().ok());
    // A part that was killed before its first checkpoint is known by its note alone.
    let noted = || notes.part_of(digest).filter(|_| must_lock);
    let former = recorded.or_else(noted);
    let have = row.ranges.clone().clipped(row.file.size);
    if let Some(former) = former {
        // A worker that may still be alive keeps the old inode: what it writes there must not reach our file.
        if reuse {
            if let Some(file) = cache.open_part(repo, &former)? {
                let length = file.metadata().map_or(0, |facts| facts.len());
                let mut known = Known {
                    ranges: have.clipped(length),
                    hash: row.hash_mark.clone(),
                };
                let recorded = known.ranges.len();
                if must_lock {
                    // The writer of the notes is certainly dead, so they do not change any more.
                    add(&mut known, clipped(notes.of(&former), length));
                }
                return Ok(Found::Part {
                    lock,
                    part: former,
                    file,
                    unsynced: known.ranges.len() - recorded,
                    known,
                    replaces: None,
                    // A part that only a note knows may have a name that only the page cache knows.
                    durable: row.part_name.is_some(),
                });
            }
        } else {
            let fresh = PartName::fresh(digest);
            if let Some((file, have)) = cache.adopt_part(repo, &former, &fresh, &have)? {
                return Ok(Found::Part {
                    lock,
                    part: fresh,
                    file,
                    // The copy is another file: it is hashed from its first byte.
                    known: Known {
                        ranges: have,
                        hash: None,
                    },
                    unsynced: 0,
                    replaces: Some(former),
                    durable: false,
                });
            }
        }
    }
    let (part, file) = cache.create_part(repo, digest)?;
    Ok(Found::Part {
        lock,
        part,
        file,
        known: Known::default(),
        unsynced: 0,
        replaces: None,
        durable: false,
    })
}

fn clipped(known: Known, length: u64) -> Known {
    Known {
        ranges: known.ranges.clipped(length),
        ..known
    }
}

/// Adds what was noted to what was recorded; the longer hash wins.
fn add(known: &mut Known, noted: Known) {
    noted
        .ranges
        .iter()
        .for_each(|range| known.ranges.insert(range));
    let at = |hash: &Option<HashMark>| hash.as_ref().map(|mark| mark.at);
    if at(&noted.hash) > at(&known.hash) {
        known.hash = noted.hash;
    }
}

/// Makes the names of parts and blobs durable, the first time with the folders above them.
fn sync_names(cache: &Cache, repo: &RepoId, rooted: &AtomicBool) -> Result<(), CacheError> {
    if rooted.load(Ordering::Acquire) {
        return cache.sync_blobs(repo);
    }
    cache.sync_blobs_up(repo)?;
    rooted.store(true, Ordering::Release);
    Ok(())
}

fn failure(stop: Stop) -> Failure {
    match stop {
        Stop::Halted => Run::fenced(),
        Stop::Failed(failure) => failure,
    }
}

impl Keeper for FileKeeper {
    fn open(&self, index: usize) -> BoxFuture<'_, Result<Opening, Failure>> {
        self.open_one(index).boxed()
    }

    fn checkpoint(&self, files: Vec<(usize, Known)>) -> BoxFuture<'_, Result<(), Failure>> {
        self.save(files).boxed()
    }

    fn note(&self, index: usize, known: &Known) {
        let part = self.files[index].slot().as_ref().map(|o| o.part.clone());
        // A stale worker's notes are of a part that its successor does not use.
        if let Some(part) = part.filter(|_| self.may_write()) {
            self.notes.note(&part, known);
        }
    }

    fn finish(&self, indexes: Vec<usize>) -> BoxFuture<'_, Result<(), Failure>> {
        self.publish(indexes).boxed()
    }

    fn may_write(&self) -> bool {
        self.run.trust.holds()
    }
}
