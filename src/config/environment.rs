//! The process environment, read once.
//!
//! Tests make their own, so no test changes variables that another one reads.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin};

/// The variables, the home and the working folder of the process at one moment.
#[derive(Clone, Default)]
pub struct Environment {
    variables: HashMap<String, OsString>,
    home: Option<PathBuf>,
    working_dir: PathBuf,
}

impl fmt::Debug for Environment {
    /// Values may be secrets, so only their number is shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Environment")
            .field("variables", &self.variables.len())
            .field("home", &self.home)
            .field("working_dir", &self.working_dir)
            .finish()
    }
}

impl Environment {
    /// What the process was started with.
    pub fn capture() -> Self {
        Self {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .collect(),
            home: std::env::home_dir().filter(|home| !home.as_os_str().is_empty()),
            working_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        }
    }

    /// An environment made up by the caller.
    pub fn of<'a>(
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
        home: impl Into<PathBuf>,
        working_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), OsString::from(value)))
                .collect(),
            home: Some(home.into()).filter(|home| !home.as_os_str().is_empty()),
            working_dir: working_dir.into(),
        }
    }

    /// A variable, the empty one included.
    pub(crate) fn get(&self, name: &'static str) -> Result<Option<&str>, ConfigError> {
        self.variables
            .get(name)
            .map(|value| {
                value.to_str().ok_or_else(|| ConfigError::Value {
                    name,
                    origin: Origin::Environment(name),
                    value: "***".to_owned(),
                    rule: "it must be UTF-8".to_owned(),
                })
            })
            .transpose()
    }

    /// A variable that counts as unset when it is empty.
    pub(crate) fn filled(&self, name: &'static str) -> Result<Option<&str>, ConfigError> {
        Ok(self.get(name)?.filter(|value| !value.trim().is_empty()))
    }

    /// Any variable, for `$NAME` inside a path.
    pub(crate) fn lookup(&self, name: &str) -> Option<&str> {
        self.variables.get(name).and_then(|value| value.to_str())
    }

    pub(crate) fn home(&self, needed_for: &'static str) -> Result<&Path, ConfigError> {
        self.home
            .as_deref()
            .ok_or(ConfigError::NoHome { needed_for })
    }

    pub(crate) fn working_dir(&self) -> &Path {
        &self.working_dir
    }
}
