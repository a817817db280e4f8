//! Lists of tables in the configuration file: `[[webhook]]`, `[[credential]]`.

use toml::de::{DeTable, DeValue};

use super::Setting;
use super::error::Origin;
use super::resolver::Resolver;

/// The rule that was broken and the index of the byte. It quotes no value: each may be secret.
pub(super) type Broken = (usize, String);

/// Reads each table with its start; `at` is where the list begins, and `shape` says how it is to be written.
pub(super) fn tables<T>(
    value: &DeValue<'_>,
    at: usize,
    shape: &str,
    read: impl Fn(&DeTable<'_>, usize) -> Result<T, Broken>,
) -> Result<Vec<T>, Broken> {
    let wrong = || (at, shape.to_owned());
    let DeValue::Array(items) = value else {
        return Err(wrong());
    };
    items
        .iter()
        .map(|item| match item.as_ref() {
            DeValue::Table(fields) => read(fields, item.span().start),
            _ => Err(wrong()),
        })
        .collect()
}

impl Resolver<'_> {
    /// Shows in one line what the tables say, with the line of the first; nothing when there are none.
    pub(super) fn note_tables(
        &mut self,
        name: &'static str,
        first: Option<usize>,
        shown: &[String],
    ) {
        let Some(line) = first else {
            return;
        };
        let path = self.file_path.clone().unwrap_or_default();
        self.settings.push(Setting {
            name,
            value: shown.join(", "),
            origin: Origin::File { path, line },
        });
    }
}
