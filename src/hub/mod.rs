//! The Hugging Face hub: revisions, file lists and the bytes of files, over one checked request path.
//!
//! Invariant: whatever the server does, what comes out was checked or is an error with a cause; the token
//! reaches the configured origin only; nothing is written. Retries over time, planning and storing are
//! left to others.

mod address;
mod direct;
mod error;
mod expected;
mod fetch_error;
mod guard;
mod http;
mod info;
mod json;
mod link;
mod listing;
mod location;
mod mirrors;
mod pace;
mod range;
mod range_body;
mod reader;
mod redirect;
mod refusal;
mod reply;
mod request;
mod text;
mod token;
mod tree;
mod web;
mod webhook;

#[cfg(test)]
mod tests_kit;
#[cfg(test)]
mod tests_metadata;
#[cfg(test)]
mod tests_oracle;
#[cfg(test)]
mod tests_range;
#[cfg(test)]
mod tests_refusal;
#[cfg(test)]
mod tests_renewal;

use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub(crate) use error::HubError;
pub(crate) use fetch_error::FetchError;
pub(crate) use info::RepoInfo;
use mirrors::Health;
pub(crate) use mirrors::{FileBody, FileReader};
pub(crate) use range_body::RangeBody;
pub(crate) use reader::RangeReader;
pub(crate) use token::TokenSource;
pub(crate) use web::{
    DiskBody, DiskReader, Seen, Validator, Web, WebAnswer, WebOptions, WebReader,
};
pub(crate) use webhook::{Message, Postman};

use address::{Endpoint, host_of};
use direct::Direct;
pub(crate) use direct::Tls;
use http::{CONNECT_TIMEOUT_MAX, client};
use request::Wire;

use crate::clock::Clock;
use crate::domain::{CommitHash, PlannedFile, RemoteFile, RepoId, Revision};
use crate::metrics::Metrics;

/// Everything that a hub client must be told.
#[derive(Debug, Clone)]
pub(crate) struct HubOptions {
    /// The hub, for example `https://huggingface.co`.
    pub(crate) endpoint: Url,
    /// Other places that give the same bytes, in the order in which they are asked.
    pub(crate) mirrors: Vec<Url>,
    /// How https addresses are spoken to.
    pub(crate) tls: Tls,
    /// Where the token comes from.
    pub(crate) tokens: TokenSource,
    /// Longest time for a connection, and for each step of a metadata answer.
    pub(crate) metadata_timeout: Duration,
    /// Longest time without a byte on a connection that carries a file.
    pub(crate) read_timeout: Duration,
    /// The proxy for all requests; none means none, whatever the environment says.
    pub(crate) proxy: Option<Url>,
    /// Hosts that are reached without the proxy, as in `NO_PROXY`.
    pub(crate) no_proxy: Option<String>,
    /// Make no request at all.
    pub(crate) offline: bool,
    /// For dates in `Retry-After`.
    pub(crate) clock: Arc<dyn Clock>,
    /// Where requests are counted.
    pub(crate) metrics: Arc<Metrics>,
}

/// A client of one hub; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    wire: Arc<Wire>,
    health: Arc<Health>,
    mirrors: Arc<[(Arc<Wire>, Arc<Health>)]>,
}

impl Hub {
    /// Makes the client; no request is made.
    ///
    /// Fails when the endpoint is no hub address, the proxy is no proxy address, or the system has no
    /// certificates.
    pub(crate) fn new(options: HubOptions) -> Result<Self, HubError> {
        let HubOptions {
            endpoint,
            mirrors,
            tls: Tls(tls),
            tokens,
            metadata_timeout,
            read_timeout,
            proxy,
            no_proxy,
            offline,
            clock,
            metrics,
        } = options;
        // A proxy is the client's matter: it knows which hosts go around it, and how to ask it.
        let direct = proxy.is_none().then(|| {
            let longest = metadata_timeout.min(CONNECT_TIMEOUT_MAX);
            Direct::new(longest, tls.clone())
        });
        let client = client(metadata_timeout, tls, proxy.as_ref(), no_proxy.as_deref())?;
        let wire = |endpoint: &Url, tokens: TokenSource| {
            Ok::<_, HubError>(Arc::new(Wire {
                endpoint: Endpoint::new(endpoint.clone())?,
                client: client.clone(),
                direct: direct.clone(),
                tokens,
                metadata_timeout,
                read_timeout,
                proxy: proxy.as_ref().map(host_of),
                offline,
                clock: Arc::clone(&clock),
                metrics: Arc::clone(&metrics),
            }))
        };
        let mirrors: Result<Vec<_>, HubError> = mirrors
            .iter()
            .map(|mirror| Ok((wire(mirror, TokenSource::default())?, Arc::default())))
            .collect();
        Ok(Self {
            mirrors: mirrors?.into(),
            wire: wire(&endpoint, tokens)?,
            health: Arc::default(),
        })
    }

    /// The commit that a revision names now; a full commit is taken as it is, without a request.
    pub(crate) async fn resolve_revision(
        &self,
        repo: &RepoId,
        revision: &Revision,
    ) -> Result<RepoInfo, HubError> {
        info::resolve_revision(&self.wire, repo, revision).await
    }

    /// What a revision is and who may read it; unlike [`Self::resolve_revision`] a full commit is asked about too.
    pub(crate) async fn repo_info(
        &self,
        repo: &RepoId,
        revision: &Revision,
    ) -> Result<RepoInfo, HubError> {
        info::ask(&self.wire, repo, revision).await
    }

    /// Makes connections for so many files that are about to be asked for, in the background. Behind a proxy it does
    /// nothing.
    pub(crate) fn connect_ahead(&self, files: usize) {
        let wire = &self.wire;
        if let Some(direct) = wire.direct.as_ref().filter(|_| !wire.offline) {
            direct.connect_ahead(wire.endpoint.base(), files);
        }
    }

    /// Whether a token would be sent now.
    pub(crate) async fn has_token(&self) -> bool {
        self.wire.tokens.current().await.is_some()
    }

    /// All files of a commit, sorted by path, each name and digest checked.
    pub(crate) async fn tree(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
    ) -> Result<Vec<RemoteFile>, HubError> {
        tree::tree(&self.wire, repo, commit).await
    }

    /// A reader of one file's ranges at the hub and its mirrors, for one attempt; no request is made yet.
    pub(crate) fn file(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        file: &PlannedFile,
    ) -> FileReader {
        let own = (self.reader(repo, commit, file), Arc::clone(&self.health));
        let mirrors = self.mirrors.iter().map(|(wire, health)| {
            let (wire, repo) = (Arc::clone(wire), repo.clone());
            let reader = RangeReader::new(wire, repo, commit.clone(), file.clone());
            (reader, Arc::clone(health))
        });
        FileReader::new([own].into_iter().chain(mirrors).collect())
    }

    /// A reader of one file's ranges at the hub, for one attempt; no request is made yet.
    pub(crate) fn reader(
        &self,
        repo: &RepoId,
        commit: &CommitHash,
        file: &PlannedFile,
    ) -> RangeReader {
        RangeReader::new(
            Arc::clone(&self.wire),
            repo.clone(),
            commit.clone(),
            file.clone(),
        )
    }
}
