//! From the entries of a tree to files that are safe to plan with.
//!
//! Invariant: every path and digest was checked, no path occurs twice, and no file stands where
//! another one needs a folder.

use std::collections::HashSet;

use serde::Deserialize;

use super::HubError;
use super::text::printable;
use crate::domain::{Digest, RemoteFile, RepoId, RepoPath};

/// Sizes end up in a signed column.
const SIZE_MAX: u64 = i64::MAX as u64;

/// An entry as the hub writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    oid: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
    #[serde(rename = "xetHash")]
    xet_hash: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// Checks the entries of a whole tree; `page` names the repository in errors.
pub(crate) fn files(
    page: &str,
    repo: &RepoId,
    entries: Vec<Entry>,
) -> Result<Vec<RemoteFile>, HubError> {
    let reject = Reject { page, repo };
    let mut files = Vec::new();
    let mut folders = HashSet::new();
    let mut total: u64 = 0;
    for entry in entries {
        match entry.kind.as_str() {
            "file" => {
                let file = reject.file(entry)?;
                total = total
                    .checked_add(file.size)
                    .filter(|total| *total <= SIZE_MAX)
                    .ok_or_else(|| reject.bad("its files are larger than can be counted"))?;
                files.push(file);
            }
            "directory" => {
                folders.insert(entry.path);
            }
            kind => {
                tracing::warn!(%repo, kind = %printable(kind), "The hub lists an entry of an unknown kind; it is left out.");
            }
        }
    }
    files.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
    for pair in files.windows(2) {
        let (first, second) = (pair[0].path.as_str(), pair[1].path.as_str());
        if first == second {
            return Err(reject.dangerous(format!("file `{}` is listed twice", printable(first))));
        }
    }
    for file in &files {
        let path = file.path.as_str();
        let above = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        folders.extend(above);
    }
    if let Some(file) = files.iter().find(|f| folders.contains(f.path.as_str())) {
        return Err(reject.dangerous(format!(
            "`{}` is a file and a folder at once",
            printable(file.path.as_str())
        )));
    }
    if cfg!(any(windows, target_os = "macos")) {
        let mut folded = HashSet::new();
        let twin = files
            .iter()
            .find(|file| !folded.insert(file.path.as_str().to_lowercase()));
        if let Some(file) = twin {
            return Err(reject.dangerous(format!(
                "`{}` differs from another file only by case, which this system cannot store",
                printable(file.path.as_str())
            )));
        }
    }
    Ok(files)
}

struct Reject<'a> {
    page: &'a str,
    repo: &'a RepoId,
}

impl Reject<'_> {
    fn bad(&self, detail: impl Into<String>) -> HubError {
        HubError::BadMetadata {
            url: self.page.to_owned(),
            detail: detail.into(),
        }
    }

    fn dangerous(&self, detail: impl Into<String>) -> HubError {
        HubError::Unsafe {
            repo: self.repo.to_string(),
            detail: detail.into(),
        }
    }

    fn file(&self, entry: Entry) -> Result<RemoteFile, HubError> {
        let path = RepoPath::parse(&entry.path)
            .map_err(|error| self.dangerous(printable(&error.to_string())))?;
        let digest = |text: &str| {
            // Quotes and weak marks are for headers; here the bare digits are expected.
            Digest::parse(text).ok().filter(|d| d.as_str() == text)
        };
        let wrong = |what: &str, given: &str| {
            let detail = format!("{what} of `{path}` is `{}`", printable(given));
            if given.contains(['/', '\\', '.']) {
                self.dangerous(detail)
            } else {
                self.bad(detail)
            }
        };
        let git = digest(&entry.oid)
            .filter(|d| matches!(d, Digest::GitSha1(_)))
            .ok_or_else(|| wrong("the git id", &entry.oid))?;
        let git_oid = git.as_str().to_owned();
        let size = entry
            .size
            .ok_or_else(|| self.bad(format!("the size of `{path}` is missing")))?;
        let (digest, size) = match entry.lfs {
            None => (git, size),
            Some(lfs) => {
                let sha = digest(&lfs.oid)
                    .filter(|d| matches!(d, Digest::Sha256(_)))
                    .ok_or_else(|| wrong("the sha256", &lfs.oid))?;
                if size != lfs.size {
                    return Err(
                        self.bad(format!("`{path}` has two sizes, {size} and {}", lfs.size))
                    );
                }
                (sha, size)
            }
        };
        if size > SIZE_MAX {
            return Err(self.bad(format!("the size of `{path}` is {size}")));
        }
        let is_hash =
            |hash: &String| matches!(Digest::parse(hash), Ok(Digest::Sha256(d)) if *d == **hash);
        Ok(RemoteFile {
            path,
            size,
            digest,
            git_oid,
            xet_hash: entry.xet_hash.filter(is_hash),
        })
    }
}
