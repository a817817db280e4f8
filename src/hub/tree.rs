//! The file list of a commit, page by page.
//!
//! Invariant: pages come from the hub's origin only, none twice, and their number, length and entries
//! are limited. What an entry may be is for the listing.

use std::collections::HashSet;

use url::Url;

use super::HubError;
use super::json;
use super::link;
use super::listing::{Entry, files};
use super::refusal::Asked;
use super::request::Wire;
use crate::domain::{CommitHash, RemoteFile, RepoId};
use crate::redact::SafeUrl;

/// The hub answers 1,000 entries a page, of 300 to 500 bytes each; a mirror may put a whole repository into one.
const PAGE_LIMIT: usize = 16 << 20;
const PAGES_MAX: usize = 2_000;
const ENTRIES_MAX: usize = 200_000;
const BYTES_MAX: usize = 256 << 20;

/// Lists the files of a commit, sorted by path.
pub(crate) async fn tree(
    wire: &Wire,
    repo: &RepoId,
    commit: &CommitHash,
) -> Result<Vec<RemoteFile>, HubError> {
    let mut url = wire.endpoint.tree_url(repo, commit);
    let mut seen = HashSet::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    loop {
        if !seen.insert(url.clone()) {
            return Err(bad(&url, "its pages lead in a circle"));
        }
        if seen.len() > PAGES_MAX {
            return Err(bad(&url, "it has too many pages"));
        }
        let answer = wire
            .get(repo, Asked::Tree(commit), url.clone(), PAGE_LIMIT)
            .await?;
        bytes += answer.body.len();
        let next = next_page(wire, &answer.url, &answer.headers)?;
        entries.append(&mut json::parse::<Vec<Entry>>(answer).await?);
        if entries.len() > ENTRIES_MAX || bytes > BYTES_MAX {
            return Err(bad(&url, "it has too many entries"));
        }
        match next {
            Some(next) => url = next,
            None => break,
        }
    }
    files(&wire.endpoint.page(repo), repo, entries)
}

fn next_page(
    wire: &Wire,
    from: &Url,
    headers: &reqwest::header::HeaderMap,
) -> Result<Option<Url>, HubError> {
    let Some(target) = link::next(headers) else {
        return Ok(None);
    };
    let next = from
        .join(target)
        .map_err(|_no_url| bad(from, "the address of its next page is no URL"))?;
    if !wire.endpoint.is_hub(&next) {
        return Err(bad(from, "its next page lies on another host"));
    }
    Ok(Some(next))
}

fn bad(url: &Url, detail: &str) -> HubError {
    HubError::BadMetadata {
        url: SafeUrl::new(url.clone()).to_string(),
        detail: detail.to_owned(),
    }
}
