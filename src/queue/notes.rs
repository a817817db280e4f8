//! What was written into parts but is not recorded yet, in a small file beside the database.
//!
//! A killed process leaves its written bytes in the kernel's page cache: they are lost only with the machine. So what
//! was written is noted without a sync, together with the machine's boot. Invariant: a note counts only within the
//! boot in which it was written, and only until its part is verified; nothing depends on notes being here. Each note
//! goes over the older of two, so that a kill in the middle of a write leaves the other one whole. Bytes that are only
//! noted are synced before a row speaks of them, which is left to the engine.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::cache::PartName;
use crate::domain::{Digest, hex};
use crate::transfer::Known;

/// Where this machine tells one boot from another.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// The most bytes of one note.
const SLOT: usize = 64 << 10;
/// A digest in hex, a length, and spaces.
const HEAD: usize = 64 + 1 + 10 + 1;

/// The notes of one database.
#[derive(Debug)]
pub(super) struct Notes {
    boot: Option<String>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<File>,
    sequence: u64,
    parts: BTreeMap<PartName, Known>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    boot: String,
    sequence: u64,
    parts: Vec<NotedPart>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NotedPart {
    name: String,
    ranges: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
}

impl Notes {
    /// Where the notes of a database are.
    pub(super) fn path(database: &Path) -> PathBuf {
        let mut name = database.as_os_str().to_owned();
        name.push(".written");
        name.into()
    }

    /// The newest notes of this boot about parts that `wanted` names. Blocks. Without a file that can be used there
    /// are no notes and none are made.
    pub(super) fn load(path: &Path, wanted: impl Fn(&PartName) -> bool) -> Self {
        Self::load_in(path, boot(), wanted)
    }

    fn load_in(path: &Path, boot: Option<String>, wanted: impl Fn(&PartName) -> bool) -> Self {
        let mut inner = Inner::default();
        if boot.is_some() {
            match open(path) {
                Ok(file) => {
                    let newest = [0, 1]
                        .into_iter()
                        .filter_map(|slot| read(&file, slot))
                        .max_by_key(|note| note.sequence);
                    if let Some(note) = newest {
                        inner.sequence = note.sequence;
                        let same = Some(&note.boot) == boot.as_ref();
                        let parts = note.parts.into_iter().filter(|_| same);
                        inner.parts = parts
                            .filter_map(known)
                            .filter(|(part, _)| wanted(part))
                            .collect();
                    }
                    inner.file = Some(file);
                }
                Err(error) => tracing::debug!(%error, "There is no place for notes."),
            }
        }
        Self {
            boot,
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is noted of a part; nothing when nothing is.
    pub(super) fn of(&self, part: &PartName) -> Known {
        self.lock().parts.get(part).cloned().unwrap_or_default()
    }

    /// A noted part of this content.
    pub(super) fn part_of(&self, digest: &Digest) -> Option<PartName> {
        let inner = self.lock();
        inner
            .parts
            .keys()
            .find(|part| part.digest() == digest)
            .cloned()
    }

    /// Notes what is written of a part. Blocks, shortly.
    pub(super) fn note(&self, part: &PartName, known: &Known) {
        let mut inner = self.lock();
        inner.parts.insert(part.clone(), known.clone());
        if let Err(error) = self.write(&mut inner) {
            // What was noted before is true of fewer bytes, or the final hash finds it out.
            tracing::debug!(%error, "A note could not be written.");
        }
    }

    /// The part is no more; the next note says so.
    pub(super) fn forget(&self, part: &PartName) {
        self.lock().parts.remove(part);
    }

    fn write(&self, inner: &mut Inner) -> io::Result<()> {
        let (Some(file), Some(boot)) = (&inner.file, &self.boot) else {
            return Ok(());
        };
        let sequence = inner.sequence + 1;
        let parts = inner.parts.iter().map(|(name, known)| NotedPart {
            name: name.to_string(),
            ranges: known.ranges.to_string(),
            hash: known.hash.as_ref().map(ToString::to_string),
        });
        let note = Note {
            boot: boot.clone(),
            sequence,
            parts: parts.collect(),
        };
        let body = serde_json::to_string(&note)?;
        if HEAD + body.len() > SLOT {
            return Err(io::Error::other("too many ranges"));
        }
        let text = format!("{} {:010} {body}", digest(body.as_bytes()), body.len());
        file.write_all_at(text.as_bytes(), place(sequence % 2))?;
        inner.sequence = sequence;
        Ok(())
    }
}

fn boot() -> Option<String> {
    let id = fs::read_to_string(BOOT).ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn place(slot: u64) -> u64 {
    slot * SLOT as u64
}

/// The note in a slot, when it is whole.
fn read(file: &File, slot: u64) -> Option<Note> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, place(slot)).ok()?;
    let head = std::str::from_utf8(&head).ok()?;
    let (hex, length) = head.trim_end().split_once(' ')?;
    let length = length
        .parse()
        .ok()
        .filter(|length| *length <= SLOT - HEAD)?;
    let mut body = vec![0; length];
    file.read_exact_at(&mut body, place(slot) + HEAD as u64)
        .ok()?;
    (digest(&body) == hex).then_some(())?;
    serde_json::from_slice(&body).ok()
}

fn known(part: NotedPart) -> Option<(PartName, Known)> {
    let known = Known {
        ranges: part.ranges.parse().ok()?,
        hash: part.hash.and_then(|text| text.parse().ok()),
    };
    Some((part.name.parse().ok()?, known))
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(n: usize) -> PartName {
        PartName::fresh(&Digest::parse(&format!("f{n:063x}")).unwrap())
    }

    fn known(ranges: &str) -> Known {
        Known {
            ranges: ranges.parse().unwrap(),
            hash: "7:00ff".parse().ok(),
        }
    }

    #[test]
    fn the_newest_whole_note_of_this_boot_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = Notes::path(&folder.path().join("m.db"));
        let (one, two) = (part(1), part(2));
        let load = |boot: &str| Notes::load_in(&path, Some(boot.to_owned()), |_| true);
        let notes = load("a");
        assert_eq!(notes.of(&one), Known::default());
        notes.note(&one, &known("0-10"));
        notes.note(&one, &known("0-20"));
        notes.note(&two, &known("5-6"));
        let again = load("a");
        assert_eq!(again.of(&one), known("0-20"));
        assert_eq!(again.part_of(two.digest()), Some(two.clone()));
        assert_eq!(load("b").of(&one), Known::default(), "another boot");
        let filtered = Notes::load_in(&path, Some("a".into()), |part| *part == two);
        assert_eq!(filtered.of(&one), Known::default());
        assert_eq!(filtered.of(&two), known("5-6"));

        // The newest one, the third, was torn by a kill: the second counts.
        let file = open(&path).unwrap();
        file.write_all_at(b"#", place(1) + HEAD as u64 + 5).unwrap();
        let torn = load("a");
        assert_eq!(torn.of(&one), known("0-20"));
        assert_eq!(torn.of(&two), Known::default());
        // The next one goes over the torn one, not over the whole one.
        torn.note(&one, &known("0-30"));
        assert_eq!(load("a").of(&one), known("0-30"));
        torn.forget(&one);
        torn.note(&two, &known("1-2"));
        assert_eq!(load("a").of(&one), Known::default());
    }

    #[test]
    fn what_is_no_note_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db.written");
        for rubbish in ["", "x", &"0".repeat(3 * SLOT), &" ".repeat(200)] {
            fs::write(&path, rubbish).unwrap();
            let notes = Notes::load_in(&path, Some("a".into()), |_| true);
            assert_eq!(notes.of(&part(1)), Known::default());
        }
        let nowhere = Notes::load_in(Path::new("/dev/null/x"), Some("a".into()), |_| true);
        let one = part(1);
        nowhere.note(&one, &known("0-1"));
        assert_eq!(nowhere.of(&one), known("0-1"));
    }

    #[test]
    fn a_note_that_is_too_long_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db.written");
        let one = part(1);
        let load = || Notes::load_in(&path, Some("a".into()), |_| true);
        let notes = load();
        notes.note(&one, &known("0-10"));
        let many = (0..20_000_u64).map(|n| 3 * n..3 * n + 1).collect();
        let many = Known {
            ranges: many,
            hash: None,
        };
        notes.note(&one, &many);
        assert_eq!(load().of(&one), known("0-10"));
    }
}
