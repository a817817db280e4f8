//! Flag before environment before file before default, and a note of which one it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::{ConfigError, Origin};
use super::expand;
use super::file::FileLayer;
use super::key::{self, Key};
use super::units;

/// What the command line says, by the names of the settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    values: BTreeMap<&'static str, String>,
    /// The configuration file, from `--config`.
    pub config: Option<String>,
}

impl Flags {
    /// The same flags with one more; `None` changes nothing.
    #[must_use]
    pub fn with(mut self, setting: &'static str, value: Option<impl Into<String>>) -> Self {
        debug_assert!(
            key::ALL.iter().any(|key| key.name == setting),
            "{setting} is no setting"
        );
        if let Some(value) = value {
            self.values.insert(setting, value.into());
        }
        self
    }
}

/// A setting as it was resolved, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the file.
    pub name: &'static str,
    /// Its value; `***` for secrets.
    pub value: String,
    /// Where it was set.
    pub origin: Origin,
}

/// A text and the place where it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    pub(crate) flags: &'a Flags,
    pub(crate) environment: &'a Environment,
    pub(crate) file: FileLayer,
    pub(crate) file_path: Option<PathBuf>,
    pub(crate) settings: Vec<Setting>,
}

impl Resolver<'_> {
    /// The text of a setting, wherever it was set.
    pub(crate) fn find(&self, key: &Key) -> Result<Option<Found>, ConfigError> {
        if let Some(text) = self.flags.values.get(key.name) {
            return Ok(Some(Found {
                text: text.clone(),
                origin: Origin::Flag(key.flag.unwrap_or(key.name)),
            }));
        }
        for name in key.variables {
            let value = if key.empty_counts {
                self.environment.get(name)?
            } else {
                self.environment.filled(name)?
            };
            if let Some(text) = value {
                return Ok(Some(Found {
                    text: text.to_owned(),
                    origin: Origin::Environment(name),
                }));
            }
        }
        Ok(self.in_file(key))
    }

    pub(crate) fn in_file(&self, key: &Key) -> Option<Found> {
        let (text, line) = self.file.get(key.name)?;
        Some(Found {
            text: text.to_owned(),
            origin: Origin::File {
                path: self.file_path.clone()?,
                line,
            },
        })
    }

    /// The error for a text that breaks the rule of its setting.
    pub(crate) fn refuse(key: &Key, found: &Found, rule: impl Into<String>) -> ConfigError {
        let shown: String = found.text.chars().take(200).collect();
        ConfigError::Value {
            name: key.name,
            origin: found.origin.clone(),
            value: if key.secret { "***".to_owned() } else { shown },
            rule: rule.into(),
        }
    }

    pub(crate) fn note(&mut self, key: &Key, value: impl Into<String>, origin: Origin) {
        self.settings.push(Setting {
            name: key.name,
            value: value.into(),
            origin,
        });
    }

    /// A setting with a default; `parse` answers `None` for a text that means the default.
    pub(crate) fn value<T>(
        &mut self,
        key: &Key,
        default: T,
        parse: impl Fn(&str) -> Result<Option<T>, String>,
        show: impl Fn(&T) -> String,
    ) -> Result<T, ConfigError> {
        let mut chosen = (default, Origin::Default);
        if let Some(found) = self.find(key)?
            && let Some(value) =
                parse(&found.text).map_err(|rule| Self::refuse(key, &found, rule))?
        {
            chosen = (value, found.origin);
        }
        self.note(key, show(&chosen.0), chosen.1);
        Ok(chosen.0)
    }

    /// A switch; variables follow the field's lax rule unless `strict`, files and flags never do.
    pub(crate) fn switch(&mut self, key: &Key, strict: bool) -> Result<bool, ConfigError> {
        let mut found = self.find(key)?;
        if matches!(
            found,
            Some(Found {
                origin: Origin::Environment(_),
                ..
            })
        ) {
            for name in key.variables {
                if self.environment.filled(name)?.is_some_and(units::is_true) {
                    found = Some(Found {
                        text: "1".to_owned(),
                        origin: Origin::Environment(name),
                    });
                    break;
                }
            }
        }
        let (value, origin) = match found {
            None => (false, Origin::Default),
            Some(found) => {
                let lax = matches!(found.origin, Origin::Environment(_)) && !strict;
                let value = if lax {
                    units::is_true(&found.text)
                } else {
                    units::switch(&found.text).map_err(|rule| Self::refuse(key, &found, rule))?
                };
                (value, found.origin)
            }
        };
        self.note(key, value.to_string(), origin);
        Ok(value)
    }

    /// A path with `~` and `$NAME` replaced. A relative one counts from the working folder, or from the
    /// folder of the file that holds it.
    pub(crate) fn path(&mut self, key: &Key) -> Result<Option<PathBuf>, ConfigError> {
        self.find(key)?
            .map(|found| self.path_of(key, &found))
            .transpose()
    }

    pub(crate) fn path_of(&mut self, key: &Key, found: &Found) -> Result<PathBuf, ConfigError> {
        if found.text.is_empty() && !key.empty_counts {
            return Err(Self::refuse(key, found, "a path is expected"));
        }
        let text = expand::variables(
            &expand::user(&found.text, self.environment, key.name)?,
            self.environment,
        );
        let base = match &found.origin {
            Origin::File { path, .. } => path.parent().unwrap_or_else(|| Path::new("/")),
            _ => self.environment.working_dir(),
        };
        // A value of a variable may itself begin with `~`: `Path.expanduser` is the last step in Python too.
        let text = expand::user(&text, self.environment, key.name)?;
        let path = expand::resolve(Path::new(&text), base);
        self.note(key, path.display().to_string(), found.origin.clone());
        Ok(path)
    }
}
