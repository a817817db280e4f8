//! `GET /api/v1/config`: what the service was told, and where; secrets stay masked.

use std::path::PathBuf;

use axum::extract::State;
use serde::Serialize;

use super::super::answer::{Answer, Answered};
use super::super::{App, EffectiveSetting};
use crate::redact::SafeUrl;

/// The configuration in force.
#[derive(Debug, Serialize)]
pub(crate) struct Configuration {
    version: &'static str,
    database: PathBuf,
    cache_dir: PathBuf,
    endpoint: String,
    offline: bool,
    downloads_disabled: bool,
    settings: Vec<EffectiveSetting>,
}

/// Each setting with its value and origin.
pub(in super::super) async fn show(State(app): State<App>) -> Answered<Configuration> {
    let options = app.manager.options();
    Ok(Answer::ok(Configuration {
        version: env!("CARGO_PKG_VERSION"),
        database: options.database.clone(),
        cache_dir: options.cache_dir.clone(),
        endpoint: SafeUrl::new(options.endpoint.clone()).to_string(),
        offline: options.offline,
        downloads_disabled: options.downloads_disabled,
        settings: app.settings.to_vec(),
    }))
}
