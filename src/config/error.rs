//! What can be wrong with a configuration: always a name, a place and a rule; never a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::Flag(name) => write!(formatter, "flag --{name}"),
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value breaks its rule.
    #[error("{name} ({origin}) is `{value}`: {rule}")]
    Value {
        /// The setting.
        name: &'static str,
        /// Where it was set.
        origin: Origin,
        /// What was given; `***` for secrets.
        value: String,
        /// What is allowed.
        rule: String,
    },
    /// The file holds a key that is none.
    #[error("{}:{line}: unknown setting `{key}`; {hint}", path.display())]
    UnknownKey {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The nearest known key, or all of them.
        hint: String,
    },
    /// The file is no TOML. The line's text is left out: it may hold a secret.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A file could not be read or made.
    #[error("{}: {what}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A file is not fit to hold a secret.
    #[error("{}: {rule}", path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// What is expected.
        rule: &'static str,
    },
    /// The user's home is not known.
    #[error("the home folder is not known, and {needed_for} depends on it: set HOME")]
    NoHome {
        /// What needs it.
        needed_for: &'static str,
    },
}
