//! Where things lie when nobody says so: the cache and the token of the field, the data of modelhaul.
//!
//! The first two follow `huggingface_hub` to the letter, empty variables included, so that both see one cache.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::{ConfigError, Origin};
use super::expand;
use super::key;
use super::resolver::{Found, Resolver};

/// `HF_HOME` as text, and what decided it.
fn hf_home(environment: &Environment) -> Result<(String, Origin), ConfigError> {
    let (text, origin) = match environment.get("HF_HOME")? {
        Some(home) => (home.to_owned(), Origin::Environment("HF_HOME")),
        None => match environment.get("XDG_CACHE_HOME")? {
            Some(cache) => (
                join(cache, "huggingface"),
                Origin::Environment("XDG_CACHE_HOME"),
            ),
            None => (
                expand::user("~/.cache/huggingface", environment, "cache_dir")?,
                Origin::Default,
            ),
        },
    };
    let text = expand::variables(&expand::user(&text, environment, "cache_dir")?, environment);
    Ok((text, origin))
}

/// `os.path.join` of two relative or absolute texts.
fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() || folder.ends_with('/') {
        format!("{folder}{name}")
    } else {
        format!("{folder}/{name}")
    }
}

impl Resolver<'_> {
    /// The hub cache: the folder that holds `models--…`.
    pub(crate) fn cache_dir(&mut self) -> Result<PathBuf, ConfigError> {
        self.under_hf_home(&key::CACHE_DIR, "hub")
    }

    /// The file that `hf auth login` writes.
    pub(crate) fn token_path(&mut self) -> Result<PathBuf, ConfigError> {
        self.under_hf_home(&key::TOKEN_PATH, "token")
    }

    /// The setting itself, or a name below `HF_HOME`. A set `HF_HOME` is environment: it goes before the file.
    fn under_hf_home(&mut self, key: &key::Key, name: &str) -> Result<PathBuf, ConfigError> {
        let found = match self.find(key)? {
            Some(found) if !matches!(found.origin, Origin::File { .. }) => found,
            other => {
                let (home, origin) = hf_home(self.environment)?;
                let derived = Found {
                    text: join(&home, name),
                    origin,
                };
                match other {
                    Some(file) if derived.origin != Origin::Environment("HF_HOME") => file,
                    _ => derived,
                }
            }
        };
        self.path_of(key, &found)
    }

    /// The SQLite file.
    pub(crate) fn database(&mut self) -> Result<PathBuf, ConfigError> {
        if let Some(path) = self.path(&key::DATABASE)? {
            return Ok(path);
        }
        let folder = user_folder(
            self.environment,
            "XDG_DATA_HOME",
            ".local/share",
            "database",
        )?;
        // Two processes that come by different links must meet at one lock file.
        let path = expand::resolve(&folder.join("modelhaul/modelhaul.db"), Path::new("/"));
        self.note(&key::DATABASE, path.display().to_string(), Origin::Default);
        Ok(path)
    }
}

/// The configuration file that is read when nobody names one.
pub(crate) fn default_config(environment: &Environment) -> Option<PathBuf> {
    user_folder(environment, "XDG_CONFIG_HOME", ".config", "config")
        .ok()
        .map(|folder| folder.join("modelhaul/config.toml"))
}

/// A folder by the XDG rules: an empty or relative variable is ignored.
fn user_folder(
    environment: &Environment,
    variable: &'static str,
    below_home: &str,
    needed_for: &'static str,
) -> Result<PathBuf, ConfigError> {
    let set = environment
        .filled(variable)?
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    set.map_or_else(|| Ok(environment.home(needed_for)?.join(below_home)), Ok)
}
