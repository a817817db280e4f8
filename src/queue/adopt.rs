//! Takes files that are on this machine already into the cache, each after it was compared with its digest.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::cache::{Cache, CacheError};
use crate::domain::{Adopted, AdoptedFile, AdoptedHow, Adoption, Failure, PlannedFile, RepoId};
use crate::transfer::content_matches;

/// A folder with more entries than this is not searched to its end.
const MOST_ENTRIES: usize = 100_000;
/// Folders below folders that are searched.
const DEEPEST: usize = 32;

/// Looks below `place` for each of the files and takes in what hashes to its digest; `place` may be one file.
///
/// A file is looked for under its own path first, then among all files of its length. Blocks for as long as reading and
/// copying take; none when `go_on` said no.
pub(crate) fn adopt(
    cache: &Cache,
    repo: &RepoId,
    files: &[PlannedFile],
    place: &Path,
    how: AdoptedHow,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Adoption>, Failure> {
    let by_length = found_below(place);
    let mut adoption = Adoption::default();
    for file in files {
        let taken = take(cache, repo, file, place, &by_length, how, go_on);
        let Some((outcome, from)) = taken.map_err(|error| error.failure())? else {
            return Ok(None);
        };
        if outcome == Adopted::Taken {
            adoption.bytes += file.size;
        }
        adoption.files.push(AdoptedFile {
            path: file.path.clone(),
            size: file.size,
            outcome,
            from,
        });
    }
    if adoption
        .files
        .iter()
        .any(|file| file.outcome == Adopted::Taken)
    {
        cache.sync_blobs_up(repo).map_err(|error| error.failure())?;
    }
    Ok(Some(adoption))
}

type Outcome = Option<(Adopted, Option<PathBuf>)>;

fn take(
    cache: &Cache,
    repo: &RepoId,
    file: &PlannedFile,
    place: &Path,
    by_length: &HashMap<u64, Vec<PathBuf>>,
    how: AdoptedHow,
    go_on: &dyn Fn() -> bool,
) -> Result<Outcome, CacheError> {
    let Some(_lock) = cache.try_lock(repo, &file.digest)? else {
        return Ok(Some((Adopted::Locked, None)));
    };
    if cache.find_blob(repo, &file.digest, file.size) {
        return Ok(Some((Adopted::WasHere, None)));
    }
    let named = place.join(file.path.as_str());
    let same_length = by_length.get(&file.size).map_or(&[][..], Vec::as_slice);
    let mut candidates: Vec<&PathBuf> = same_length.iter().collect();
    // The one with the right name first: it is nearly always the right one.
    candidates.sort_by_key(|path| (**path != named, path.file_name() != named.file_name()));
    let mut unreadable = false;
    for path in &candidates {
        let opened = File::open(path).and_then(|mut source| {
            let right = content_matches(&mut source, &file.digest, file.size, |_| go_on())?;
            Ok((source, right))
        });
        let source = match opened {
            Ok((source, Some(true))) => source,
            Ok((_, Some(false))) => continue,
            Ok((_, None)) => return Ok(None),
            // It may be a stranger that only has the length of one of ours.
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "A file cannot be read.");
                unreadable = true;
                continue;
            }
        };
        match how {
            AdoptedHow::HardLink => cache.link_in(repo, &file.digest, &source)?,
            AdoptedHow::Copy => {
                let (part, mut copy) = cache.copy_in(repo, &file.digest, &source, file.size)?;
                // Somebody may have written to the file since it was read: what counts is what was copied.
                let right = content_matches(&mut copy, &file.digest, file.size, |_| true);
                if !matches!(right, Ok(Some(true))) {
                    cache.delete_part(repo, &part)?;
                    continue;
                }
                cache.publish_blob(repo, &part, &file.digest, file.size)?;
            }
        }
        return Ok(Some((Adopted::Taken, Some((*path).clone()))));
    }
    let outcome = if unreadable {
        Adopted::Unreadable
    } else if named.is_file() {
        Adopted::Different
    } else {
        Adopted::NotFound
    };
    Ok(Some((outcome, None)))
}

/// The files below a place by their length. Links to files are followed, links to folders are not.
fn found_below(place: &Path) -> HashMap<u64, Vec<PathBuf>> {
    let mut found: HashMap<u64, Vec<PathBuf>> = HashMap::new();
    let mut open = vec![(place.to_owned(), 0)];
    let mut entries = 0;
    while let Some((path, depth)) = open.pop() {
        entries += 1;
        if entries > MOST_ENTRIES {
            tracing::warn!(place = %place.display(), "The folder has too many entries; the rest is not searched.");
            break;
        }
        let Ok(facts) = fs::metadata(&path) else {
            continue;
        };
        if facts.is_file() {
            found.entry(facts.len()).or_default().push(path);
        } else if facts.is_dir()
            && depth < DEEPEST
            && (depth == 0 || !path.is_symlink())
            && let Ok(children) = fs::read_dir(&path)
        {
            open.extend(children.filter_map(|child| Some((child.ok()?.path(), depth + 1))));
        }
    }
    for paths in found.values_mut() {
        paths.sort();
    }
    found
}
