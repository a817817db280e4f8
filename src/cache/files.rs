//! The few file operations that the other parts are built from.
//!
//! Invariant: nothing here follows a symbolic link below the root when it creates, writes or deletes.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{Cache, CacheError, Result};

/// Eight hex digits' worth of chance, for names that must not meet.
pub(super) fn nonce() -> u32 {
    getrandom::u32().expect("the system has randomness")
}

/// Opens without following a link in the last part and without waiting on a pipe.
pub(super) fn no_follow(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(
        i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits())
            .expect("open flags fit an int"),
    )
}

/// What lies at a path itself, in words.
pub(super) fn describe(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_file() {
        "a file"
    } else {
        "a special file"
    }
}

/// What lies at a path itself; none when nothing does.
pub(super) fn entry(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(CacheError::io("look at", path, error)),
    }
}

/// Whether the error says that nothing is there.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether two descriptions are of the same file.
pub(super) fn same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Makes names in a folder durable.
pub(super) fn sync_dir(path: &Path) -> Result<()> {
    let sync = || File::open(path)?.sync_all();
    match sync() {
        // Some network file systems cannot sync a folder; there is nothing more to be done there.
        Err(error) if is_unsupported(&error) => Ok(()),
        other => other.map_err(|error| CacheError::io("sync", path, error)),
    }
}

/// Whether the file system does not know the operation at all.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOTTY)
    )
}

/// Removes a file or link itself; gone already is fine. True when it was there.
pub(super) fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(CacheError::io("delete", path, error)),
    }
}

/// A new, durable file with this content; an error leaves none behind.
pub(super) fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    let mut file = no_follow(options.write(true).create_new(true))
        .open(path)
        .map_err(|error| CacheError::io("create", path, error))?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // On a full disk the bytes of a half-written file are needed elsewhere.
        if let Err(error) = remove(path) {
            tracing::debug!(path = %path.display(), %error, "a temporary file stays behind");
        }
        CacheError::io("write", path, error)
    })
}

/// The content of a regular file of at most `limit` bytes; none when there is none.
pub(super) fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    use io::Read as _;
    let read = || -> io::Result<Option<Vec<u8>>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).expect("open flags fit an int"));
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut content = Vec::new();
        file.take(limit + 1).read_to_end(&mut content)?;
        Ok(Some(content))
    };
    match read() {
        Ok(Some(content)) if content.len() as u64 > limit => Err(CacheError::Malformed {
            path: path.to_owned(),
            reason: format!("it is longer than {limit} bytes"),
        }),
        Ok(content) => Ok(content),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(CacheError::io("read", path, error)),
    }
}

impl Cache {
    /// Creates the root, its tag and every missing folder down to `dir`, which must lie beneath the root; durable.
    ///
    /// A link on the way is refused: what it points to is not modelhaul's to fill.
    pub(super) fn ensure_dir(&self, dir: &Path) -> Result<()> {
        self.make_dir(dir, sync_dir)
    }

    /// The same for folders of which nothing is promised yet: whoever promises something calls [`Self::sync_up`].
    pub(super) fn ensure_dir_for_now(&self, dir: &Path) -> Result<()> {
        self.make_dir(dir, |_| Ok(()))
    }

    fn make_dir(&self, dir: &Path, after: impl Fn(&Path) -> Result<()>) -> Result<()> {
        self.ensure_root()?;
        let below = dir
            .strip_prefix(&self.root)
            .expect("paths are made by layout, beneath the root");
        let mut at = self.root.clone();
        for part in below.components() {
            let Component::Normal(name) = part else {
                unreachable!("layout makes no `.` or `..`");
            };
            let parent = at.clone();
            at.push(name);
            // Looked at first: nearly always it is there, and a look does not wait for the folder's lock.
            if entry(&at)?.is_none() {
                match DirBuilder::new().create(&at) {
                    Ok(()) => {
                        after(&parent)?;
                        continue;
                    }
                    // Somebody was faster.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(CacheError::io("create the folder", &at, error)),
                }
            }
            let found =
                fs::symlink_metadata(&at).map_err(|error| CacheError::io("look at", &at, error))?;
            if !found.is_dir() {
                return Err(CacheError::Foreign {
                    path: at,
                    expected: "a folder",
                    found: describe(&found),
                });
            }
        }
        Ok(())
    }

    /// Makes names durable in `dirs` and in every folder above them up to the root, each once.
    ///
    /// Also those that exist already: whoever made them may have died before its own sync.
    pub(super) fn sync_up<'a>(&self, dirs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
        let mut all = BTreeSet::new();
        for dir in dirs {
            all.extend(dir.ancestors().take_while(|at| at.starts_with(&self.root)));
        }
        // Deepest first: a folder is shown only after what it holds.
        all.into_iter().rev().try_for_each(sync_dir)
    }

    /// Creates the root and the folders above it; their names must survive a power cut like all others.
    fn make_root(&self) -> Result<()> {
        let missing: Vec<&Path> = self
            .root
            .ancestors()
            .take_while(|at| !at.as_os_str().is_empty() && !at.exists())
            .collect();
        fs::create_dir_all(&self.root)
            .map_err(|error| CacheError::io("create the folder", &self.root, error))?;
        let above = missing.iter().filter_map(|at| at.parent());
        above
            .filter(|at| !at.as_os_str().is_empty())
            .try_for_each(sync_dir)
    }

    fn ensure_root(&self) -> Result<()> {
        const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
            # This file is a cache directory tag created by huggingface_hub.\n\
            # For information about cache directory tags, see:\n\
            #\thttps://bford.info/cachedir/\n";
        if !self.root.is_dir() {
            self.make_root()?;
        }
        let tag = self.root.join("CACHEDIR.TAG");
        // The tag only keeps backup programs out: a cache without it works as well.
        if !matches!(entry(&tag), Ok(Some(_)))
            && let Err(error) = write_new(&tag, TAG.as_bytes())
        {
            tracing::debug!(%error, "the cache stays without its tag");
        }
        Ok(())
    }
}
