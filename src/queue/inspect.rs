//! Compares a snapshot that no registration speaks of: the names of its blobs say what it must hash to.

use crate::cache::{Cache, CacheError};
use crate::domain::{CommitHash, Failure, Inspection, RepoId};
use crate::transfer::content_matches;

/// Reads every file of a snapshot; none when there is no such snapshot, or when `go_on` said no.
///
/// Blocks for as long as reading takes. Files that are no links to blobs have no digest and are listed apart.
pub(crate) fn inspect(
    cache: &Cache,
    repo: &RepoId,
    commit: &CommitHash,
    go_on: impl Fn() -> bool,
) -> Result<Option<Inspection>, Failure> {
    let failure = |error: CacheError| error.failure();
    let Some(snapshot) = cache.snapshot(repo, commit).map_err(failure)? else {
        return Ok(None);
    };
    let mut inspection = Inspection {
        repo_id: repo.to_string(),
        commit: commit.to_string(),
        ..Inspection::default()
    };
    for found in snapshot.files {
        let path = found.path.to_string();
        let Some(digest) = found.digest else {
            inspection.unknown.push(path);
            continue;
        };
        let opened = cache
            .open_file(repo, commit, &found.path)
            .map_err(failure)?;
        let Some(mut file) = opened else {
            // Removed since it was listed.
            continue;
        };
        let right = content_matches(&mut file, &digest, found.size, |_| go_on());
        let right = right.map_err(|source| {
            cache
                .unreadable(repo, commit, &found.path, source)
                .failure()
        })?;
        match right {
            Some(true) => inspection.bytes += found.size,
            Some(false) => inspection.corrupt.push(path),
            None => return Ok(None),
        }
        inspection.files += 1;
    }
    Ok(Some(inspection))
}
