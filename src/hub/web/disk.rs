//! Files of this machine by `file://` addresses, below the folders that the configuration allows.
//!
//! Invariant: the file that is read lies beneath an allowed folder, decided by the kernel when it is opened: neither `..`
//! nor a link leads out. What tells its version apart is its inode, length and time of change.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use tokio::task::JoinHandle;
use url::Url;

use super::super::fetch_error::{BrokenAt, FetchError};
use super::{Seen, Validator};
use crate::domain::{FailureCode, RepoPath, UrlFile};

/// Bytes that are read at once.
const STEP: usize = 1 << 20;

/// The folders below which files may be read.
#[derive(Debug, Clone)]
pub(super) struct Roots(Arc<[PathBuf]>);

/// A file that was opened, and what it is.
#[derive(Debug)]
struct Opened {
    file: File,
    size: u64,
    validator: Validator,
}

impl Roots {
    pub(super) fn new(roots: &[PathBuf]) -> Self {
        Self(roots.into())
    }

    /// The allowed folder of a path and the rest of it; none when no folder allows it.
    fn of<'a>(&self, path: &'a Path) -> Option<(&Path, &'a Path)> {
        self.0.iter().find_map(|root| {
            let rest = path.strip_prefix(root).ok()?;
            (!rest.as_os_str().is_empty()).then_some((root.as_path(), rest))
        })
    }

    /// Whether such a file may be registered. Nothing is looked up.
    pub(super) fn allow(&self, url: &Url) -> bool {
        url.to_file_path()
            .is_ok_and(|path| self.of(&path).is_some())
    }

    fn open(&self, url: &Url) -> Result<Opened, FetchError> {
        let blocked = || FetchError::Blocked {
            url: url.to_string(),
        };
        let path = url.to_file_path().map_err(|()| blocked())?;
        let (root, rest) = self.of(&path).ok_or_else(blocked)?;
        let broken = |error: io::Error| FetchError::Transport {
            url: url.to_string(),
            at: BrokenAt::Connect,
            cause: error.to_string(),
        };
        let root = File::open(root).map_err(broken)?;
        let file = match open_beneath(&root, rest) {
            Ok(file) => file,
            Err(Errno::XDEV | Errno::LOOP) => return Err(blocked()),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(FetchError::Refused {
                    url: url.to_string(),
                    status: 404,
                    code: FailureCode::FileNotFound,
                });
            }
            Err(errno) => return Err(broken(errno.into())),
        };
        let facts = file.metadata().map_err(broken)?;
        // A pipe or a device would never end.
        if !facts.is_file() {
            return Err(blocked());
        }
        let version = format!(
            "\"{:x}-{:x}-{:x}.{:x}-{:x}\"",
            facts.dev(),
            facts.ino(),
            facts.mtime(),
            facts.mtime_nsec(),
            facts.len()
        );
        Ok(Opened {
            file,
            size: facts.len(),
            validator: Validator::Etag(version),
        })
    }

    /// What a file is now. Blocks shortly.
    pub(super) fn look(&self, url: &Url) -> Result<Seen, FetchError> {
        let opened = self.open(url)?;
        Ok(Seen {
            size: Some(opened.size),
            ranges: true,
            validator: opened.validator,
        })
    }
}

/// Opens a file below a folder; the kernel refuses what leads out of it.
#[cfg(target_os = "linux")]
fn open_beneath(root: &File, rest: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, rest, flags, Mode::empty(), inside).map(File::from)
}

/// Without such a call no file of this machine is read.
#[cfg(not(target_os = "linux"))]
fn open_beneath(_root: &File, _rest: &Path) -> Result<File, Errno> {
    Err(Errno::NOSYS)
}

/// Reads ranges of one file.
#[derive(Debug)]
pub(crate) struct DiskReader {
    roots: Roots,
    file: UrlFile,
    size: u64,
    version: Option<Validator>,
}

impl DiskReader {
    pub(super) fn new(roots: Roots, file: UrlFile, size: u64, seen: Option<Seen>) -> Self {
        Self {
            roots,
            file,
            size,
            version: seen.map(|seen| seen.validator),
        }
    }

    /// The path of the file, below the model's folder.
    pub(crate) fn path(&self) -> &RepoPath {
        &self.file.path
    }

    /// Opens the file for the bytes `range.start..range.end`.
    pub(crate) async fn open(&self, range: Range<u64>) -> Result<DiskBody, FetchError> {
        let url = self.file.url.to_string();
        let (roots, place) = (self.roots.clone(), self.file.url.expose().clone());
        let opened = tokio::task::spawn_blocking(move || roots.open(&place)).await;
        let opened = opened.map_err(|error| FetchError::Transport {
            url: url.clone(),
            at: BrokenAt::Connect,
            cause: error.to_string(),
        })??;
        let changed = |what, expected: String, got: String| FetchError::Changed {
            url: url.clone(),
            what,
            expected,
            got,
        };
        if opened.size != self.size {
            return Err(changed(
                "the size",
                self.size.to_string(),
                opened.size.to_string(),
            ));
        }
        if let Some(version) = self
            .version
            .as_ref()
            .filter(|seen| **seen != opened.validator)
        {
            let (expected, got) = (version.as_str(), opened.validator.as_str());
            return Err(changed("the version", expected.to_owned(), got.to_owned()));
        }
        Ok(DiskBody {
            file: Arc::new(opened.file),
            url,
            at: range.start,
            end: range.end,
            reading: None,
            ready: Vec::new(),
            given: 0,
        })
    }
}

/// The bytes of a range.
#[derive(Debug)]
pub(crate) struct DiskBody {
    file: Arc<File>,
    url: String,
    /// The next byte to be read.
    at: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    /// What was read, and how much of it was handed out.
    ready: Vec<u8>,
    given: usize,
}

impl DiskBody {
    /// Reads the next bytes into `buffer`, which has room; 0 after the last one of the range.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, FetchError>> {
        loop {
            let ready = &self.ready[self.given..];
            if !ready.is_empty() {
                let count = ready.len().min(buffer.len());
                buffer[..count].copy_from_slice(&ready[..count]);
                self.given += count;
                return Poll::Ready(Ok(count));
            }
            if self.at >= self.end {
                return Poll::Ready(Ok(0));
            }
            let (at, left) = (self.at, self.end - self.at);
            let reading = self.reading.get_or_insert_with(|| {
                let file = Arc::clone(&self.file);
                let length = usize::try_from(left).map_or(STEP, |left| left.min(STEP));
                tokio::task::spawn_blocking(move || {
                    let mut bytes = vec![0; length];
                    file.read_exact_at(&mut bytes, at).map(|()| bytes)
                })
            });
            let read = ready!(Pin::new(reading).poll(context));
            self.reading = None;
            match read.map_err(io::Error::other).and_then(|read| read) {
                Ok(bytes) => {
                    self.at += bytes.len() as u64;
                    (self.ready, self.given) = (bytes, 0);
                }
                Err(error) => {
                    return Poll::Ready(Err(FetchError::Transport {
                        url: self.url.clone(),
                        at: BrokenAt::Body,
                        cause: error.to_string(),
                    }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn url(path: &Path) -> Url {
        Url::from_file_path(path).unwrap()
    }

    fn file(path: &Path) -> UrlFile {
        UrlFile {
            url: url(path).as_str().parse().unwrap(),
            path: RepoPath::parse("x").unwrap(),
            sha256: None,
            size: None,
            credential: None,
        }
    }

    #[tokio::test]
    async fn a_range_of_a_file_comes_and_another_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b.bin");
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let roots = Roots::new(&[folder.path().to_owned()]);
        let seen = roots.look(&url(&path)).unwrap();
        assert_eq!((seen.size, seen.ranges), (Some(3_000_000), true));
        let reader = DiskReader::new(roots, file(&path), 3_000_000, Some(seen));
        let mut body = reader.open(10..2_500_000).await.unwrap();
        let (mut got, mut buffer) = (Vec::new(), vec![0; 70_000]);
        loop {
            match poll_fn(|context| body.poll_read(context, &mut buffer))
                .await
                .unwrap()
            {
                0 => break,
                count => got.extend_from_slice(&buffer[..count]),
            }
        }
        assert!(got == content[10..2_500_000]);
        std::fs::write(&path, vec![7; 3_000_000]).unwrap();
        let error = reader.open(0..5).await.unwrap_err();
        assert!(matches!(error, FetchError::Changed { .. }), "{error:?}");
    }

    #[test]
    fn nothing_outside_of_the_allowed_folders_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        for place in [&inside, &outside] {
            std::fs::create_dir(place).unwrap();
            std::fs::write(place.join("f"), "secret").unwrap();
        }
        std::os::unix::fs::symlink(outside.join("f"), inside.join("link")).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("folder")).unwrap();
        std::os::unix::fs::symlink("f", inside.join("good")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            inside.join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        let roots = Roots::new(std::slice::from_ref(&inside));
        assert!(roots.look(&url(&inside.join("f"))).is_ok());
        assert!(roots.look(&url(&inside.join("good"))).is_ok());
        for bad in ["link", "folder/f", "pipe", "../out/f", ""] {
            let error = roots.look(&url(&inside.join(bad))).unwrap_err();
            assert!(
                matches!(error, FetchError::Blocked { .. }),
                "{bad}: {error:?}"
            );
        }
        assert!(!roots.allow(&url(&outside.join("f"))));
        let none = roots.look(&url(&inside.join("none"))).unwrap_err();
        assert!(matches!(none, FetchError::Refused { status: 404, .. }));
    }
}
