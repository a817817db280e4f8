//! Reads the files of a plan and compares them with their digests, one after another.
//!
//! What was found is recorded at least once a second, so that a killed job goes on close to where it was. Nothing in
//! the cache is changed here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;

use super::fetch::{blocking, by_blob};
use super::run::{Run, Stop};
use super::supply::Place;
use crate::cache::{Cache, CacheError, Identity};
use crate::domain::{CommitHash, FileRow, RepoId};
use crate::store::Checked;
use crate::transfer::content_matches;

/// Findings are recorded after this long at the latest.
const RECORD_EVERY: Duration = Duration::from_secs(1);
/// Findings are recorded when there are so many.
const RECORD_AT: usize = 2000;

/// A file whose content is wrong.
#[derive(Debug, Clone)]
pub(crate) struct Wrong {
    pub(crate) row: FileRow,
    /// The files that were read and are wrong.
    pub(crate) identities: Vec<Identity>,
}

/// What is wrong with a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Files whose content is wrong, in the order of their paths.
    pub(crate) wrong: Vec<Wrong>,
    /// Files that the snapshot does not show.
    pub(crate) missing: Vec<FileRow>,
}

impl Findings {
    /// Whether everything is there and right.
    pub(crate) fn is_clean(&self) -> bool {
        self.wrong.is_empty() && self.missing.is_empty()
    }
}

/// What was found of one file.
#[derive(Debug)]
enum Verdict {
    Good,
    Hidden,
    Wrong(Vec<Identity>),
    Absent,
}

/// Compares the files, except those that an earlier attempt of this job found right.
///
/// `counted`: what was read is the job's progress.
pub(crate) async fn compare(
    run: &Arc<Run>,
    place: &Place,
    commit: &CommitHash,
    rows: &[FileRow],
    counted: bool,
) -> Result<Findings, Stop> {
    let (before, open): (Vec<&FileRow>, Vec<&FileRow>) = rows
        .iter()
        .partition(|row| row.verified && row.checked_job == Some(run.job.key));
    if counted {
        let bytes = super::plan::bytes_of(before.iter().copied());
        run.live.present_bytes.store(bytes, Ordering::Relaxed);
        let files = before.len() as u64;
        run.live.files_done.store(files, Ordering::Relaxed);
    }
    let clock = &run.context.clock;
    let mut findings = Findings::default();
    let mut batch = Checked::default();
    let mut waiting = 0;
    let mut recorded = clock.monotonic();
    for group in by_blob(open) {
        let verdicts = check_group(run, place, commit, group, counted).await?;
        waiting += verdicts.len();
        for (row, verdict) in verdicts {
            note(row, verdict, &mut batch, &mut findings);
        }
        let now = clock.monotonic();
        if waiting >= RECORD_AT || now.saturating_sub(recorded) >= RECORD_EVERY {
            record(run, &mut batch).await?;
            (waiting, recorded) = (0, now);
        }
    }
    if waiting > 0 {
        record(run, &mut batch).await?;
    }
    run.live.set_current_file(None);
    findings
        .wrong
        .sort_by(|one, other| one.row.file.path.cmp(&other.row.file.path));
    Ok(findings)
}

fn note(row: FileRow, verdict: Verdict, batch: &mut Checked, findings: &mut Findings) {
    match verdict {
        Verdict::Good => batch.good.push(row.key),
        Verdict::Hidden => {
            batch.hidden.push(row.key);
            findings.missing.push(row);
        }
        Verdict::Wrong(identities) => {
            batch.bad.push(row.key);
            findings.wrong.push(Wrong { row, identities });
        }
        Verdict::Absent => {
            batch.absent.push(row.key);
            findings.missing.push(row);
        }
    }
}

async fn record(run: &Run, batch: &mut Checked) -> Result<(), Stop> {
    let (clock, checked) = (&run.context.clock, std::mem::take(batch));
    let started = clock.monotonic();
    let done = run
        .context
        .store
        .record_checked(run.claim, &checked, clock.now())
        .await;
    run.renewed(started, done)
}

/// Compares the paths that share a blob; content that several of them lead to is read once.
async fn check_group(
    run: &Arc<Run>,
    place: &Place,
    commit: &CommitHash,
    group: Vec<FileRow>,
    counted: bool,
) -> Result<Vec<(FileRow, Verdict)>, Stop> {
    run.live
        .set_current_file(Some(group[0].file.path.to_string()));
    let cache = Arc::clone(&place.cache);
    let (repo, commit, worker) = (place.repo_id.clone(), commit.clone(), Arc::clone(run));
    let checked = blocking(move || {
        let halt = worker.halt.token();
        let so_far = std::cell::Cell::new(0);
        let count = |bytes: u64, size: u64| {
            worker.live.count_compared(bytes);
            // Copies of the same content are read each, but the plan counts it once.
            let new = bytes.min(size.saturating_sub(so_far.get()));
            so_far.set(so_far.get() + new);
            if counted {
                worker.live.present_bytes.fetch_add(new, Ordering::Relaxed);
            }
            !halt.is_cancelled()
        };
        let mut known = HashMap::new();
        let mut verdicts = Vec::with_capacity(group.len());
        for row in group {
            if halt.is_cancelled() {
                return Ok(None);
            }
            let size = row.file.size;
            let Some(verdict) =
                check(&cache, &repo, &commit, &row, &mut known, |n| count(n, size))?
            else {
                return Ok(None);
            };
            if counted {
                worker.live.files_done.fetch_add(1, Ordering::Relaxed);
            }
            verdicts.push((row, verdict));
        }
        Ok(Some(verdicts))
    })
    .await?;
    checked
        .map_err(|error: CacheError| error.failure())?
        .ok_or(Stop::Halted)
}

/// Compares what one path leads to; none when it was told to stop.
fn check(
    cache: &Cache,
    repo: &RepoId,
    commit: &CommitHash,
    row: &FileRow,
    known: &mut HashMap<Identity, bool>,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<Option<Verdict>, CacheError> {
    let (mut wrong, mut shown, mut there) = (Vec::new(), false, false);
    for mut suspect in cache.suspects(repo, commit, &row.file)? {
        (shown, there) = (shown || suspect.shown, true);
        let right = match known.get(&suspect.identity) {
            Some(right) => *right,
            None if suspect.identity.length() != row.file.size => false,
            // Nobody knows what it must hash to: its length is all there is to compare.
            None if !row.file.digest.is_hash() => go_on(row.file.size),
            None => {
                let digest = &row.file.digest;
                match content_matches(&mut suspect.file, digest, row.file.size, &mut go_on) {
                    Ok(Some(right)) => right,
                    Ok(None) => return Ok(None),
                    // A disk that cannot give the bytes back has lost them.
                    Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                        tracing::warn!(path = %row.file.path, %error, "The disk cannot read a file.");
                        false
                    }
                    Err(source) => {
                        return Err(cache.unreadable(repo, commit, &row.file.path, source));
                    }
                }
            }
        };
        known.insert(suspect.identity, right);
        if !right {
            wrong.push(suspect.identity);
        }
    }
    Ok(Some(match (wrong.is_empty(), shown, there) {
        (false, _, _) => Verdict::Wrong(wrong),
        (true, true, _) => Verdict::Good,
        (true, false, true) => Verdict::Hidden,
        (true, false, false) => Verdict::Absent,
    }))
}
