//! Progress of a download that has no plan: how much the place grows that the app's own function fills.
//!
//! Invariant: the count goes on from the last attempt's, and only up; what lay there before is not counted. Links
//! are not followed. Whether the estimate fits is left to whoever shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::fetch::blocking;
use super::run::Run;

/// Pause between two looks.
const PACE: Duration = Duration::from_secs(1);
/// A place with more entries than this is not counted to its end.
const MOST_ENTRIES: usize = 100_000;

/// What lies at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Size {
    /// Files.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// Looks every second until it is dropped.
pub(super) async fn watch(run: &Run, place: PathBuf) {
    let Ok(first) = look(&place).await else {
        return;
    };
    let before = run.job.bytes_done;
    loop {
        tokio::time::sleep(PACE).await;
        // What the function itself says goes before what can be seen.
        if run.live.is_told() {
            return;
        }
        if let Ok(now) = look(&place).await {
            let grown = now.bytes.saturating_sub(first.bytes);
            run.live.grown_to(before, grown, run.context.clock.now());
            let files = now.files.saturating_sub(first.files);
            run.live.files_done.fetch_max(files, Ordering::Relaxed);
        }
    }
}

/// What lies there now; nothing when there is nothing.
pub(super) async fn look(place: &Path) -> Result<Size, crate::domain::Failure> {
    let place = place.to_owned();
    blocking(move || size_of(&place)).await
}

fn size_of(place: &Path) -> Size {
    let mut size = Size::default();
    let mut entries = 0;
    let mut open = vec![place.to_owned()];
    while let Some(path) = open.pop() {
        entries += 1;
        if entries > MOST_ENTRIES {
            tracing::debug!(place = %place.display(), "The place has too many entries to be counted.");
            break;
        }
        // What vanishes while it is counted does not count.
        let Ok(facts) = fs::symlink_metadata(&path) else {
            continue;
        };
        if facts.is_file() {
            size.files += 1;
            size.bytes = size.bytes.saturating_add(facts.len());
        } else if facts.is_dir()
            && let Ok(children) = fs::read_dir(&path)
        {
            open.extend(
                children
                    .take(MOST_ENTRIES)
                    .filter_map(|child| Some(child.ok()?.path())),
            );
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_at_any_depth_and_links_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("model");
        assert_eq!(size_of(&place), Size::default(), "nothing is there yet");
        fs::create_dir_all(place.join("a/b")).unwrap();
        fs::write(place.join("one"), [0; 10]).unwrap();
        fs::write(place.join("a/b/two"), [0; 5]).unwrap();
        fs::write(folder.path().join("elsewhere"), [0; 1000]).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), place.join("link")).unwrap();
        std::os::unix::fs::symlink(&place, place.join("circle")).unwrap();
        let expected = Size {
            files: 2,
            bytes: 15,
        };
        assert_eq!(size_of(&place), expected);
        let alone = Size {
            files: 1,
            bytes: 10,
        };
        assert_eq!(size_of(&place.join("one")), alone);
    }
}
