//! What the transfer engine asks of the queue: locks, parts, checkpoints, final names; all of it fenced.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::SecondsFormat;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::fetch::blocking;
use super::reporter;
use super::run::{Run, Stop};
use crate::cache::{BlobLock, Cache, CacheError, PartName};
use crate::domain::{Failure, FailureCode, FileRow, RangeSet, RepoId};
use crate::store::FileCheckpoint;
use crate::transfer::{Keeper, Opening};

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
    repo_id: RepoId,
    files: Vec<KeptFile>,
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
        have: RangeSet,
        replaces: Option<PartName>,
    },
}

impl FileKeeper {
    pub(crate) fn new(run: Arc<Run>, repo_id: RepoId, files: Vec<KeptFile>) -> Self {
        Self {
            run,
            repo_id,
            files,
            locked: Mutex::new(None),
        }
    }

    fn lock_path(&self, index: usize) -> PathBuf {
        let digest = &self.files[index].first().file.digest;
        self.run.context.cache.lock_path(&self.repo_id, digest)
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
            Arc::clone(&self.run.context.cache),
            self.repo_id.clone(),
            kept.first().clone(),
        );
        let reuse = self.run.clean || row.part_token == Some(self.run.claim.lease_token);
        let must_lock = self.run.clean;
        let found = blocking(move || find(&cache, &repo, &row, reuse, must_lock))
            .await?
            .map_err(|error| error.failure())?;
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
                lock,
                part,
                file,
                have,
                replaces,
            } => {
                *kept.slot() = Some(OpenPart { part, _lock: lock });
                if let Some(old) = replaces {
                    // The row must name the copy before the old part goes.
                    self.save(vec![(index, have.clone())]).await?;
                    let (cache, repo) = (Arc::clone(&self.run.context.cache), self.repo_id.clone());
                    blocking(move || cache.delete_part(&repo, &old))
                        .await?
                        .map_err(|error| error.failure())?;
                }
                Ok(Opening::Part {
                    file: Arc::new(file),
                    have,
                })
            }
        }
    }

    async fn save(&self, files: Vec<(usize, RangeSet)>) -> Result<(), Failure> {
        let checkpoints: Vec<FileCheckpoint> = files
            .into_iter()
            .flat_map(|(index, ranges)| {
                let kept = &self.files[index];
                let part = kept
                    .slot()
                    .as_ref()
                    .map(|open| open.part.as_str().to_owned());
                part.into_iter().map(move |part_name| FileCheckpoint {
                    file_key: kept.first().key,
                    ranges: ranges.clone(),
                    part_name,
                    part_token: self.run.claim.lease_token,
                })
            })
            .collect();
        reporter::checkpoint(&self.run, &checkpoints)
            .await
            .map_err(failure)
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
        let (cache, repo, trust) = (
            Arc::clone(&self.run.context.cache),
            self.repo_id.clone(),
            Arc::clone(&self.run.trust),
        );
        let rename = move || {
            if !trust.holds() {
                return Err(io::Error::other(Run::fenced()));
            }
            let publish = || {
                for (part, file) in &parts {
                    cache.publish_blob(&repo, part, &file.digest, file.size)?;
                }
                cache.sync_blobs(&repo)
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
            *kept.slot() = None;
            self.run
                .live
                .files_done
                .fetch_add(kept.rows.len() as u64, Ordering::Relaxed);
        }
        Ok(())
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
    let former = row
        .part_name
        .as_deref()
        .and_then(|name| name.parse::<PartName>().ok());
    let have = row.ranges.clone().clipped(row.file.size);
    if let Some(former) = former {
        // A worker that may still be alive keeps the old inode: what it writes there must not reach our file.
        if reuse {
            if let Some(file) = cache.open_part(repo, &former)? {
                let have = have.clipped(file.metadata().map_or(0, |facts| facts.len()));
                return Ok(Found::Part {
                    lock,
                    part: former,
                    file,
                    have,
                    replaces: None,
                });
            }
        } else {
            let fresh = PartName::fresh(digest);
            if let Some((file, have)) = cache.adopt_part(repo, &former, &fresh, &have)? {
                return Ok(Found::Part {
                    lock,
                    part: fresh,
                    file,
                    have,
                    replaces: Some(former),
                });
            }
        }
    }
    let (part, file) = cache.create_part(repo, digest)?;
    Ok(Found::Part {
        lock,
        part,
        file,
        have: RangeSet::new(),
        replaces: None,
    })
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

    fn checkpoint(&self, files: Vec<(usize, RangeSet)>) -> BoxFuture<'_, Result<(), Failure>> {
        self.save(files).boxed()
    }

    fn finish(&self, indexes: Vec<usize>) -> BoxFuture<'_, Result<(), Failure>> {
        self.publish(indexes).boxed()
    }

    fn may_write(&self) -> bool {
        self.run.trust.holds()
    }
}
