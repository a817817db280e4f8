//! The file that the plan names, and whether the hub still speaks of the same one.
//!
//! Invariant: a commit, size or digest that the hub names and that differs from the plan is an error;
//! silence is not, because the content's hash has the last word.

use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderMap};
use url::Url;

use super::HubError;
use super::fetch_error::FetchError;
use super::refusal::{is_stranger, text};
use super::text::printable;
use crate::domain::{CommitHash, Digest, PlannedFile, RepoId};
use crate::redact::SafeUrl;

/// A file of the plan.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) repo: RepoId,
    pub(super) commit: CommitHash,
    pub(super) planned: PlannedFile,
}

impl Expected {
    /// A network's sign-in page answers every request; a file may also be meant to be a page.
    pub(super) fn check_page(
        &self,
        url: &Url,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<(), FetchError> {
        let name = self.planned.path.file_name().to_ascii_lowercase();
        let is_page = [".html", ".htm"].iter().any(|end| name.ends_with(end));
        if status == StatusCode::OK && is_stranger(headers) && !is_page {
            return Err(FetchError::Hub(HubError::NotAHub {
                url: SafeUrl::new(url.clone()).to_string(),
                got: "a web page where a file is expected".to_owned(),
            }));
        }
        Ok(())
    }

    /// Compares what the hub says about the file with the plan; silence is no contradiction.
    pub(super) fn check_hub(
        &self,
        url: &Url,
        headers: &HeaderMap,
        is_file: bool,
    ) -> Result<(), FetchError> {
        let changed = |what, expected: &dyn ToString, got: &str| FetchError::Changed {
            url: SafeUrl::new(url.clone()).to_string(),
            what,
            expected: expected.to_string(),
            got: printable(got),
        };
        let planned = &self.planned;
        if let Some(commit) = text(headers, "x-repo-commit")
            && commit != self.commit.as_str()
        {
            return Err(changed("the commit", &self.commit, commit));
        }
        if let Some(size) = text(headers, "x-linked-size")
            && size.parse() != Ok(planned.size)
        {
            return Err(changed("the size", &planned.size, size));
        }
        if let Some(etag) = text(headers, "x-linked-etag") {
            if Digest::parse(etag).as_ref() != Ok(&planned.digest) {
                return Err(changed("the digest", &planned.digest, etag));
            }
        } else if is_file && let Some(etag) = text(headers, ETAG.as_str()) {
            // A mirror may put its own etag here; only one of our kind can contradict.
            let same_kind = Digest::parse(etag).ok().filter(|digest| {
                std::mem::discriminant(digest) == std::mem::discriminant(&planned.digest)
            });
            if same_kind.is_some_and(|digest| digest != planned.digest) {
                return Err(changed("the digest", &planned.digest, etag));
            }
        }
        Ok(())
    }
}
