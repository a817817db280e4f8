//! The tables `[[credential]]` of the configuration file: what servers outside of the hub are shown, by name.

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::resolver::Resolver;
use super::tables::{self, Broken};
use super::webhook::broken;
use crate::domain::Credential;

/// The name of the tables.
pub(crate) const TABLE: &str = "credential";
const FIELDS: &str = "name, host, header, token, token_env, s3_key_id, s3_region";

/// One table as it was written.
#[derive(Debug, Default)]
pub(crate) struct CredentialTable {
    line: usize,
    name: Option<String>,
    host: Option<String>,
    header: Option<String>,
    token: Option<String>,
    token_env: Option<String>,
    s3_key_id: Option<String>,
    s3_region: Option<String>,
}

/// Reads the tables.
pub(crate) fn tables(
    value: &DeValue<'_>,
    at: usize,
    line: impl Fn(usize) -> usize,
) -> Result<Vec<CredentialTable>, Broken> {
    let shape = "write `[[credential]]` with `name`, `host` and `token` or `token_env`";
    tables::tables(value, at, shape, |fields, start| {
        table(fields, start).map(|table| CredentialTable {
            line: line(start),
            ..table
        })
    })
}

fn table(fields: &DeTable<'_>, start: usize) -> Result<CredentialTable, Broken> {
    let mut table = CredentialTable::default();
    for (name, value) in fields {
        let known = match name.as_ref().as_ref() {
            "name" => &mut table.name,
            "host" => &mut table.host,
            "header" => &mut table.header,
            "token" => &mut table.token,
            "token_env" => &mut table.token_env,
            "s3_key_id" => &mut table.s3_key_id,
            "s3_region" => &mut table.s3_region,
            other => {
                let rule = format!("unknown setting `{other}` of a credential; known are {FIELDS}");
                return Err((name.span().start, rule));
            }
        };
        let text = value.as_ref().as_str().map(str::to_owned);
        let rule = || format!("`{}`: a text is expected", name.as_ref());
        *known = Some(text.ok_or_else(|| (value.span().start, rule()))?);
    }
    if table.name.is_none() || table.host.is_none() {
        return Err((start, "a credential needs `name` and `host`".to_owned()));
    }
    if table.token.is_some() == table.token_env.is_some() {
        let rule = "a credential needs either `token` or `token_env`";
        return Err((start, rule.to_owned()));
    }
    if table.s3_key_id.is_some() && table.header.is_some()
        || table.s3_region.is_some() && table.s3_key_id.is_none()
    {
        let rule = "a credential has either a `header`, or `s3_key_id` and perhaps `s3_region`";
        return Err((start, rule.to_owned()));
    }
    Ok(table)
}

impl CredentialTable {
    /// Whether the secret itself stands in the file.
    pub(crate) fn holds_secret(&self) -> bool {
        self.token.is_some()
    }
}

impl Resolver<'_> {
    /// The credentials, each checked; a name means one of them.
    pub(crate) fn credentials(&mut self) -> Result<Vec<Credential>, ConfigError> {
        let path = self.file_path.clone().unwrap_or_default();
        let mut credentials: Vec<Credential> = Vec::new();
        for table in self.file.credentials() {
            let refuse = |rule: String| broken(&path, table.line, rule);
            // A command line may lack the variable that the service has: then only a download needs it.
            let variable = table.token_env.as_deref();
            let found = variable.and_then(|name| self.environment.lookup(name));
            let secret = table.token.as_deref().or(found);
            let (name, host) = (table.name.as_deref(), table.host.as_deref());
            let (name, host) = (name.unwrap_or_default(), host.unwrap_or_default());
            let secret = secret.filter(|secret| !secret.trim().is_empty() || variable.is_none());
            let credential = match table.s3_key_id.as_deref() {
                Some(key) => Credential::s3(name, host, key, table.s3_region.as_deref(), secret),
                None => Credential::new(name, host, table.header.as_deref(), secret),
            };
            let credential = credential.map_err(refuse)?;
            if credentials.iter().any(|c| c.name() == credential.name()) {
                let rule = "another credential has the same name".to_owned();
                return Err(broken(&path, table.line, rule));
            }
            credentials.push(credential);
        }
        let shown: Vec<String> = credentials
            .iter()
            .map(|credential| format!("{} for {}", credential.name(), credential.origin()))
            .collect();
        let first = self.file.credentials().first().map(|table| table.line);
        self.note_tables(TABLE, first, &shown);
        Ok(credentials)
    }
}
