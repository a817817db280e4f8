//! What the process was told: flag before environment before TOML file before default.
//!
//! The only module that reads the environment. Each value keeps its origin, secrets are masked where values are
//! shown, and an unknown key or a broken rule is an error with name, place and rule. What the values mean is left
//! to those who use them.

mod admin_token;
mod credential;
mod environment;
mod error;
mod expand;
mod file;
mod folders;
mod key;
mod network;
mod resolver;
mod schedule;
mod tables;
#[cfg(test)]
mod tests;
mod units;
mod webhook;

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::manager::ManagerOptions;
use crate::redact::Token;
use credential::CredentialTable;
use file::FileLayer;
use resolver::Resolver;

pub use environment::Environment;
pub use error::{ConfigError, Origin};
pub use resolver::{Flags, Setting};
pub(crate) use units::duration as parse_duration;
pub(crate) use units::rate as parse_rate;
pub(crate) use units::size as parse_size;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON lines for a service whose log goes elsewhere.
    Auto,
    /// One line of text each.
    Text,
    /// One JSON object each.
    Json,
}

/// What the log shows and how.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Directives like `info,modelhaul=debug`; none means the default of the command.
    pub filter: Option<String>,
    /// Where the directives were set.
    pub filter_origin: Origin,
    /// How lines look.
    pub format: LogFormat,
}

/// What the HTTP service must be told.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The admin token, when it was given and not left to the file.
    pub admin_token: Option<Token>,
    /// The file with the admin token.
    pub admin_token_file: PathBuf,
    /// Host names under which the service is reached, beside its address.
    pub allowed_hosts: Vec<String>,
    /// Whether a proxy in front is believed when it says how its client came.
    pub trust_proxy: bool,
}

/// What the environment says about the terminal.
#[derive(Debug, Clone, Copy, Default)]
pub struct TerminalOptions {
    /// `TERM=dumb`, `CI` or `HF_HUB_DISABLE_PROGRESS_BARS`: no bars, even on a terminal.
    pub plain: bool,
}

/// Everything that the process was told.
#[derive(Debug, Clone)]
pub struct Config {
    /// For the manager.
    pub manager: ManagerOptions,
    /// For the HTTP service.
    pub serve: ServeOptions,
    /// For the log.
    pub log: LogOptions,
    /// For the terminal.
    pub terminal: TerminalOptions,
    /// Each setting with value and origin, fit to be shown.
    pub settings: Vec<Setting>,
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    /// What is legal and still unwise, one sentence each.
    pub warnings: Vec<String>,
}

impl Config {
    /// Resolves every setting.
    ///
    /// # Errors
    /// The first setting that breaks its rule, or a configuration file that cannot be read.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let (file_path, file) = read_file(flags, environment)?;
        let mut warnings = Vec::new();
        if let Some(path) = &file_path
            && (file.get("token").is_some()
                || file.get("admin_token").is_some()
                || !file.webhooks().is_empty()
                || file.credentials().iter().any(CredentialTable::holds_secret))
            && readable_by_others(path)
        {
            warnings.push(format!(
                "{} holds a token and others may read it: chmod 600 it",
                path.display()
            ));
        }
        let mut resolver = Resolver {
            flags,
            environment,
            file,
            file_path,
            settings: Vec::new(),
        };
        let manager = manager_options(&mut resolver)?;
        let serve = serve_options(&mut resolver, &manager.database)?;
        let log = LogOptions {
            filter_origin: resolver
                .find(&key::LOG)?
                .map_or(Origin::Default, |found| found.origin),
            filter: resolver.text(&key::LOG)?,
            format: resolver.value(
                &key::LOG_FORMAT,
                LogFormat::Auto,
                |text| match text {
                    "auto" => Ok(Some(LogFormat::Auto)),
                    "text" => Ok(Some(LogFormat::Text)),
                    "json" => Ok(Some(LogFormat::Json)),
                    _ => Err("auto, text or json is expected".to_owned()),
                },
                |format| format!("{format:?}").to_ascii_lowercase(),
            )?,
        };
        let plain = environment.filled("CI")?.is_some()
            || environment.get("TERM")? == Some("dumb")
            || environment
                .filled("HF_HUB_DISABLE_PROGRESS_BARS")?
                .is_some_and(units::is_true);
        Ok(Self {
            manager,
            serve,
            log,
            terminal: TerminalOptions { plain },
            settings: resolver.settings,
            file: resolver.file_path,
            warnings,
        })
    }

    /// Makes the database's folder, for its owner only, unless it is there.
    pub fn create_data_folder(&self) -> Result<(), ConfigError> {
        let folder = self
            .manager
            .database
            .parent()
            .unwrap_or_else(|| Path::new("/"));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| ConfigError::Io {
                path: folder.to_owned(),
                what: "the database's folder cannot be made",
                source,
            })
    }

    /// The admin token as given, else from its file; a service makes the file at its first start.
    pub fn admin_token(&self, create: bool) -> Result<Option<Token>, ConfigError> {
        if let Some(token) = &self.serve.admin_token {
            return Ok(Some(token.clone()));
        }
        if create {
            admin_token::read_or_create(&self.serve.admin_token_file).map(Some)
        } else {
            admin_token::read(&self.serve.admin_token_file)
        }
    }
}

fn read_file(
    flags: &Flags,
    environment: &Environment,
) -> Result<(Option<PathBuf>, FileLayer), ConfigError> {
    let named = match &flags.config {
        Some(flag) => Some(flag.as_str()),
        None => environment.filled("MODELHAUL_CONFIG")?,
    };
    let path = match named {
        Some(text) => {
            let text = expand::variables(&expand::user(text, environment, "config")?, environment);
            Some(expand::resolve(Path::new(&text), environment.working_dir()))
        }
        None => folders::default_config(environment),
    };
    let Some(path) = path else {
        return Ok((None, FileLayer::default()));
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let layer = FileLayer::parse(&text, &path)?;
            Ok((Some(path), layer))
        }
        // A file that was named must be there; the default one need not.
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok((None, FileLayer::default()))
        }
        Err(source) => Err(ConfigError::Io {
            path,
            what: "the configuration file cannot be read",
            source,
        }),
    }
}

fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().is_ok_and(|about| about.mode() & 0o044 != 0)
}

fn manager_options(resolver: &mut Resolver<'_>) -> Result<ManagerOptions, ConfigError> {
    let database = resolver.database()?;
    let cache_dir = resolver.cache_dir()?;
    let endpoint = resolver.endpoint()?;
    let defaults = ManagerOptions::new(database, cache_dir, endpoint);
    let token = resolver.token(&key::TOKEN)?;
    let token_path = Some(resolver.token_path()?);
    let (token, token_path) = resolver.without_implicit_token(token, token_path)?;
    let (proxy, no_proxy) = resolver.proxy(&defaults.endpoint)?;
    Ok(ManagerOptions {
        mirrors: resolver.mirrors()?,
        token,
        token_path,
        offline: resolver.switch(&key::OFFLINE, false)?,
        downloads_disabled: resolver.switch(&key::DOWNLOADS_DISABLED, true)?,
        max_retries: resolver.value(
            &key::MAX_RETRIES,
            defaults.max_retries,
            |text| units::whole(text, 0, 1000).map(|tries| Some(tries).filter(|tries| *tries > 0)),
            u32::to_string,
        )?,
        backoff: resolver.span(&key::BACKOFF, defaults.backoff)?,
        backoff_max: resolver.span(&key::BACKOFF_MAX, defaults.backoff_max)?,
        download_timeout: resolver.span(&key::DOWNLOAD_TIMEOUT, defaults.download_timeout)?,
        metadata_timeout: resolver.span(&key::METADATA_TIMEOUT, defaults.metadata_timeout)?,
        max_connections: resolver.value(
            &key::MAX_CONNECTIONS,
            defaults.max_connections,
            |text| units::whole(text, 1, 64).map(Some),
            usize::to_string,
        )?,
        bandwidth_limit: resolver.value(
            &key::BANDWIDTH_LIMIT,
            None,
            |text| units::rate(text).map(Some),
            |limit| limit.map_or_else(|| "none".to_owned(), |limit| format!("{limit} bytes/s")),
        )?,
        schedule: resolver.schedule()?,
        disk_floor: resolver.value(
            &key::DISK_FLOOR,
            defaults.disk_floor,
            |text| units::size(text).map(Some),
            |floor| format!("{floor} bytes"),
        )?,
        checkpoint_interval: resolver
            .span(&key::CHECKPOINT_INTERVAL, defaults.checkpoint_interval)?,
        template_dir: resolver.optional_path(&key::TEMPLATE_DIR)?,
        artifact_dir: artifact_dir(resolver, &defaults.artifact_dir)?,
        artifact_networks: resolver.networks(&key::ARTIFACT_NETWORKS)?,
        file_roots: resolver.roots()?,
        credentials: resolver.credentials()?,
        proxy,
        no_proxy,
        webhooks: resolver.webhooks()?,
        webhook_networks: resolver.networks(&key::WEBHOOK_NETWORKS)?,
        ..defaults
    })
}

/// The folder for files from addresses: beside the database when nobody says where.
fn artifact_dir(resolver: &mut Resolver<'_>, beside: &Path) -> Result<PathBuf, ConfigError> {
    if let Some(path) = resolver.path(&key::ARTIFACT_DIR)? {
        return Ok(path);
    }
    let shown = beside.display().to_string();
    resolver.note(&key::ARTIFACT_DIR, shown, Origin::Default);
    Ok(beside.to_owned())
}

fn serve_options(
    resolver: &mut Resolver<'_>,
    database: &Path,
) -> Result<ServeOptions, ConfigError> {
    let listen = resolver.listen()?;
    let admin_token = resolver.token(&key::ADMIN_TOKEN)?;
    let named = resolver.path(&key::ADMIN_TOKEN_FILE)?;
    let admin_token_file = named.unwrap_or_else(|| {
        let path = database.with_file_name("admin-token");
        let shown = path.display().to_string();
        resolver.note(&key::ADMIN_TOKEN_FILE, shown, Origin::Default);
        path
    });
    Ok(ServeOptions {
        listen,
        admin_token,
        admin_token_file,
        allowed_hosts: resolver.hosts()?,
        trust_proxy: resolver.switch(&key::TRUST_PROXY, true)?,
    })
}
