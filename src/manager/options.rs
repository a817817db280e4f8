//! What the manager must be told. It reads no environment: the caller decides.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::domain::{Credential, Network, Schedule, Webhook};
use crate::redact::Token;

/// Everything that a manager must be told.
#[derive(Debug, Clone)]
pub struct ManagerOptions {
    /// The SQLite file; its folder must exist.
    pub database: PathBuf,
    /// The Hugging Face hub cache, the folder that holds `models--…` folders.
    pub cache_dir: PathBuf,
    /// The folder for models whose files come from addresses; made when it is needed.
    pub artifact_dir: PathBuf,
    /// Networks beside the public ones from which such files may come.
    pub artifact_networks: Vec<Network>,
    /// Folders of this machine from which `file://` addresses may be; absolute.
    pub file_roots: Vec<PathBuf>,
    /// What their servers may be shown, by name.
    pub credentials: Vec<Credential>,
    /// The hub, for example `https://huggingface.co`.
    pub endpoint: Url,
    /// Other places that give the same bytes, in the order in which they are asked when the hub fails. They are believed
    /// nothing: what is right is decided by the hub's digests, and the token never goes to them.
    pub mirrors: Vec<Url>,
    /// A token given by the environment or the caller; goes before the file.
    pub token: Option<Token>,
    /// The file that `hf auth login` writes; read again for each job.
    pub token_path: Option<PathBuf>,
    /// Make no request at all.
    pub offline: bool,
    /// Accept no download.
    pub downloads_disabled: bool,
    /// Consecutive attempts without a new byte before a job fails; at least 1.
    pub max_retries: u32,
    /// The first pause after a failed attempt; doubles up to `backoff_max`.
    pub backoff: Duration,
    /// The longest pause between attempts, and the longest that a server may ask for.
    pub backoff_max: Duration,
    /// Longest time without a byte on one connection.
    pub download_timeout: Duration,
    /// Longest time for an answer to a metadata request, and for a connection.
    pub metadata_timeout: Duration,
    /// Most connections that carry file bytes; 1 to 64. A download with a big file uses a third of them, but at least 18.
    pub max_connections: usize,
    /// Bytes per second over all connections; none means no limit.
    pub bandwidth_limit: Option<u64>,
    /// Windows of the week that hold downloads back; an open one goes before `bandwidth_limit`.
    pub schedule: Schedule,
    /// Free bytes on the cache's file system that downloads leave alone.
    pub disk_floor: u64,
    /// How often received data is synced and recorded: the most that a kill costs.
    pub checkpoint_interval: Duration,
    /// A folder with the user's own templates.
    pub template_dir: Option<PathBuf>,
    /// A proxy for all requests to the hub.
    pub proxy: Option<Url>,
    /// Hosts that are reached without the proxy, as in `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// Who is told when a job ends; by the process that works for all.
    pub webhooks: Vec<Webhook>,
    /// Networks beside the public ones in which webhooks may be.
    pub webhook_networks: Vec<Network>,
}

impl ManagerOptions {
    /// The defaults for a database and a cache.
    pub fn new(database: impl Into<PathBuf>, cache_dir: impl Into<PathBuf>, endpoint: Url) -> Self {
        let database = database.into();
        Self {
            artifact_dir: database.with_file_name("artifacts"),
            artifact_networks: Vec::new(),
            file_roots: Vec::new(),
            credentials: Vec::new(),
            database,
            cache_dir: cache_dir.into(),
            endpoint,
            mirrors: Vec::new(),
            token: None,
            token_path: None,
            offline: false,
            downloads_disabled: false,
            max_retries: 10,
            backoff: Duration::from_secs(2),
            backoff_max: Duration::from_mins(10),
            download_timeout: Duration::from_secs(10),
            metadata_timeout: Duration::from_secs(10),
            max_connections: 50,
            bandwidth_limit: None,
            schedule: Schedule::default(),
            disk_floor: 256 << 20,
            checkpoint_interval: Duration::from_millis(500),
            template_dir: None,
            proxy: None,
            no_proxy: None,
            webhooks: Vec::new(),
            webhook_networks: Vec::new(),
        }
    }
}
