//! The tables `[[webhook]]` of the configuration file, and the networks that webhooks may be in.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::key::Key;
use super::resolver::Resolver;
use super::tables::{self, Broken};
use crate::domain::{Network, Webhook};

/// The name of the tables.
pub(crate) const TABLE: &str = "webhook";

/// One table as it was written.
#[derive(Debug, Default)]
pub(crate) struct WebhookTable {
    line: usize,
    url: String,
    secret: String,
    events: Vec<String>,
}

/// Reads the tables.
pub(crate) fn tables(
    value: &DeValue<'_>,
    at: usize,
    line: impl Fn(usize) -> usize,
) -> Result<Vec<WebhookTable>, Broken> {
    let shape = "write `[[webhook]]` with `url`, `secret` and perhaps `events`";
    tables::tables(value, at, shape, |fields, start| {
        table(fields, start).map(|table| WebhookTable {
            line: line(start),
            ..table
        })
    })
}

fn table(fields: &DeTable<'_>, start: usize) -> Result<WebhookTable, Broken> {
    let mut table = WebhookTable::default();
    for (name, value) in fields {
        let at = value.span().start;
        let text = value.as_ref().as_str().map(str::to_owned);
        let wrong = |rule: &str| (at, format!("`{}`: {rule}", name.as_ref()));
        match name.as_ref().as_ref() {
            "url" => table.url = text.ok_or_else(|| wrong("a text is expected"))?,
            "secret" => table.secret = text.ok_or_else(|| wrong("a text is expected"))?,
            "events" => {
                let DeValue::Array(items) = value.as_ref() else {
                    return Err(wrong("a list of texts is expected"));
                };
                table.events = items
                    .iter()
                    .map(|item| item.as_ref().as_str().map(str::to_owned))
                    .collect::<Option<_>>()
                    .ok_or_else(|| wrong("a list of texts is expected"))?;
            }
            _ => {
                return Err((
                    name.span().start,
                    format!(
                        "unknown setting `{}` of a webhook; known are url, secret, events",
                        name.as_ref()
                    ),
                ));
            }
        }
    }
    for (name, text) in [("url", &table.url), ("secret", &table.secret)] {
        if text.is_empty() {
            return Err((start, format!("a webhook needs `{name}`")));
        }
    }
    Ok(table)
}

impl Resolver<'_> {
    /// The webhooks, each checked; two of the same address would be told twice, so they are refused.
    pub(crate) fn webhooks(&mut self) -> Result<Vec<Webhook>, ConfigError> {
        let path = self.file_path.clone().unwrap_or_default();
        let mut hooks: Vec<Webhook> = Vec::new();
        for table in self.file.webhooks() {
            let hook = Webhook::new(&table.url, &table.secret, &table.events)
                .map_err(|rule| broken(&path, table.line, rule))?;
            if hooks.iter().any(|other| other.id() == hook.id()) {
                let rule = "another webhook has the same url".to_owned();
                return Err(broken(&path, table.line, rule));
            }
            hooks.push(hook);
        }
        let hosts: Vec<String> = hooks.iter().map(|hook| hook.host().to_owned()).collect();
        let first = self.file.webhooks().first().map(|table| table.line);
        self.note_tables(TABLE, first, &hosts);
        Ok(hooks)
    }

    /// Networks beside the public ones to which this setting opens the way.
    pub(crate) fn networks(&mut self, key: &Key) -> Result<Vec<Network>, ConfigError> {
        self.value(
            key,
            Vec::new(),
            |text| {
                let parts = text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty());
                let read: Result<Vec<Network>, _> = parts.map(str::parse).collect();
                read.map(Some)
                    .map_err(|error: crate::domain::InvalidNetwork| error.to_string())
            },
            |networks| match networks.as_slice() {
                [] => "none".to_owned(),
                some => some
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        )
    }
}

pub(super) fn broken(path: &Path, line: usize, message: String) -> ConfigError {
    ConfigError::Syntax {
        path: path.to_owned(),
        line,
        message,
    }
}
