//! How the practice hub is started, and what may be changed while it runs.

use serde::{Deserialize, Serialize};

use super::repo::RepoSpec;

/// What may be changed while the hub runs; zero means without limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bytes per second of each connection.
    pub rate_per_connection: u64,
    /// Bytes per second of all connections together.
    pub rate_total: u64,
    /// Milliseconds before each answer.
    pub latency_ms: u64,
    /// Milliseconds before the first answer of a connection, beside `latency_ms`: what a handshake costs.
    pub connect_latency_ms: u64,
    /// Milliseconds for which a signed link is good.
    pub signed_ttl_ms: u64,
    /// How often a signed link may be used.
    pub signed_uses: u64,
    /// Entries on a page of the tree, at most.
    pub page_size: usize,
    /// Whether regular files answer with a relative redirect first, as the hub does.
    pub resolve_cache: bool,
    /// Whether a 401 for a repository that is not there carries the code `RepoNotFound`.
    ///
    /// Python understands one without a code only from an endpoint with https.
    pub code_on_401: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rate_per_connection: 0,
            rate_total: 0,
            latency_ms: 0,
            connect_latency_ms: 0,
            signed_ttl_ms: 3_600_000,
            signed_uses: 0,
            page_size: 1000,
            resolve_cache: true,
            code_on_401: true,
        }
    }
}

/// How a practice hub is started.
#[derive(Debug, Clone, Default)]
pub struct HubConfig {
    /// The hub's port; 0 takes a free one.
    pub port: u16,
    /// The control door's port; 0 takes a free one.
    pub control_port: u16,
    /// The repositories that are there from the start.
    pub repos: Vec<RepoSpec>,
    /// The tokens that are valid; any other token is answered 401.
    pub tokens: Vec<String>,
    /// What may change later.
    pub settings: Settings,
}

impl HubConfig {
    /// A hub with these repositories.
    pub fn with(repos: impl IntoIterator<Item = RepoSpec>) -> Self {
        Self {
            repos: repos.into_iter().collect(),
            ..Self::default()
        }
    }
}
