//! Room that is kept beside the database for the writes that matter on a full disk.
//!
//! A full disk refuses UPDATE and DELETE too: without this a job could neither be ended nor cleared until somebody frees
//! space. The file is given up for such a write only, and is made again when there is room.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Enough for some dozens of outcomes.
const SIZE: u64 = 1 << 20;
/// Free space below which nothing is set aside: it would take the room that it is to keep.
const LEAST_FREE: u64 = 2 * SIZE;

/// The file `<database>.reserve`.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn beside(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push(".reserve");
        Self { path: path.into() }
    }

    /// Makes the file whole when there is room; it is only a help, so what fails is logged. Blocks.
    pub(super) fn fill(&self) {
        if let Err(error) = self.try_fill() {
            tracing::debug!(path = %self.path.display(), %error, "no room is set aside for a full disk");
            self.release();
        }
    }

    fn try_fill(&self) -> io::Result<()> {
        let length = fs::metadata(&self.path).map_or(0, |facts| facts.len());
        let folder = self.path.parent().filter(|at| !at.as_os_str().is_empty());
        let facts = rustix::fs::statvfs(folder.unwrap_or_else(|| Path::new(".")))?;
        if length >= SIZE || facts.f_bavail.saturating_mul(facts.f_frsize) < LEAST_FREE {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let mut file = options.open(&self.path)?;
        // Bytes that do not compress, so that they take their room everywhere.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let left = usize::try_from(SIZE - length).unwrap_or(0);
        let bytes: Vec<u8> = std::iter::repeat_with(&mut noise)
            .flatten()
            .take(left)
            .collect();
        file.write_all(&bytes)
    }

    /// Gives the room up; true when there was some. Blocks.
    pub(super) fn release(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_mended_and_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("m.db"));
        let length = || fs::metadata(folder.path().join("m.db.reserve")).map(|facts| facts.len());
        reserve.fill();
        assert_eq!(length().unwrap(), SIZE);
        fs::write(folder.path().join("m.db.reserve"), "cut by a crash").unwrap();
        reserve.fill();
        assert_eq!(length().unwrap(), SIZE);
        assert!(reserve.release() && length().is_err());
        assert!(!reserve.release());
    }
}
