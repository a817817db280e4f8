//! The TOML file: a flat table of settings, each with its line, and the tables of webhooks and credentials.
//!
//! An unknown key is an error, for a misspelt setting would silently be the default. Messages never quote
//! the line, for it may hold a token.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::credential::{self, CredentialTable};
use super::error::ConfigError;
use super::key;
use super::webhook::{self, WebhookTable};

/// The values of a file by the names of their settings: text and line.
#[derive(Debug, Default)]
pub(crate) struct FileLayer {
    values: BTreeMap<String, (String, usize)>,
    webhooks: Vec<WebhookTable>,
    credentials: Vec<CredentialTable>,
}

impl FileLayer {
    /// Reads `text`, the content of `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let line = |span: Range<usize>| {
            let before = text.get(..span.start).unwrap_or(text);
            1 + before.matches('\n').count()
        };
        let syntax = |span: Range<usize>, message: String| ConfigError::Syntax {
            path: path.to_owned(),
            line: line(span),
            message,
        };
        let table = DeTable::parse(text).map_err(|error| {
            syntax(error.span().unwrap_or_default(), error.message().to_owned())
        })?;
        let mut values = BTreeMap::new();
        let mut webhooks = Vec::new();
        let mut credentials = Vec::new();
        for (name, value) in table.into_inner() {
            let at = line(name.span());
            if name.as_ref() == webhook::TABLE {
                let line = |at: usize| line(at..at);
                webhooks = webhook::tables(value.as_ref(), value.span().start, line)
                    .map_err(|(at, message)| syntax(at..at, message))?;
                continue;
            }
            if name.as_ref() == credential::TABLE {
                let line = |at: usize| line(at..at);
                credentials = credential::tables(value.as_ref(), value.span().start, line)
                    .map_err(|(at, message)| syntax(at..at, message))?;
                continue;
            }
            let known = key::ALL.iter().any(|key| key.name == name.as_ref());
            if !known {
                return Err(ConfigError::UnknownKey {
                    path: path.to_owned(),
                    line: at,
                    hint: hint(name.as_ref()),
                    key: name.into_inner().into_owned(),
                });
            }
            let text = scalar(value.as_ref()).ok_or_else(|| {
                let kind = value.as_ref().type_str();
                syntax(
                    value.span(),
                    format!(
                        "`{}` is a {kind}; text, a number, a switch or a list of texts is expected",
                        name.as_ref()
                    ),
                )
            })?;
            values.insert(name.into_inner().into_owned(), (text, at));
        }
        Ok(Self {
            values,
            webhooks,
            credentials,
        })
    }

    /// The tables of webhooks.
    pub(crate) fn webhooks(&self) -> &[WebhookTable] {
        &self.webhooks
    }

    /// The tables of credentials.
    pub(crate) fn credentials(&self) -> &[CredentialTable] {
        &self.credentials
    }

    /// The text of a setting and its line.
    pub(crate) fn get(&self, name: &str) -> Option<(&str, usize)> {
        self.values
            .get(name)
            .map(|(text, line)| (text.as_str(), *line))
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Float(number) => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.as_ref().as_str())
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(",")),
        _ => None,
    }
}

fn hint(given: &str) -> String {
    key::nearest(given).map_or_else(
        || {
            let names: Vec<_> = key::ALL.iter().map(|key| key.name).collect();
            format!("known are {}", names.join(", "))
        },
        |name| format!("did you mean `{name}`?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FileLayer, ConfigError> {
        FileLayer::parse(text, Path::new("c.toml"))
    }

    #[test]
    fn scalars_and_lists_become_text_with_their_line() {
        let layer = parse(
            "# a comment\nmax_connections = 1_6\noffline = true\n\nallowed_hosts = [\"a\", \"b\"]\nbackoff = 1.5\n",
        )
        .unwrap();
        assert_eq!(layer.get("max_connections"), Some(("16", 2)));
        assert_eq!(layer.get("offline"), Some(("true", 3)));
        assert_eq!(layer.get("allowed_hosts"), Some(("a,b", 5)));
        assert_eq!(layer.get("backoff"), Some(("1.5", 6)));
        assert_eq!(layer.get("database"), None);
    }

    #[test]
    fn an_unknown_key_is_named_with_file_and_line_and_without_its_value() {
        let error = parse("offline = false\nadmin_tokn = 'hunter2'\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "c.toml:2: unknown setting `admin_tokn`; did you mean `admin_token`?"
        );
        let error = parse("[serve]\nlisten = 'x'\n").unwrap_err().to_string();
        assert!(error.starts_with("c.toml:1: unknown setting `serve`; known are database, "));
    }

    #[test]
    fn bad_syntax_and_bad_types_name_the_line_only() {
        for text in [
            "\ntoken = hunter2\n",
            "\ntoken = 'hunter2\n",
            "\ntoken = { a = 'hunter2' }\n",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with("c.toml:2: "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(parse("listen = 'a'\nlisten = 'b'\n").is_err());
    }
}
