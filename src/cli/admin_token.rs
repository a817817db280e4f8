//! The admin token's file while the service runs: another token in it counts within a second, without a restart.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, ConfigError};
use crate::redact::Token;
use crate::server::AdminKey;

/// How often the file is read; it holds a few dozen bytes.
const EVERY: Duration = Duration::from_secs(1);

/// Reads the file again and again and hands over what is in it; without end. A file that was deleted is made anew with
/// another token, as at a start. One that cannot be used is warned of once, and the last good token goes on.
pub(crate) async fn watch(config: &Config, key: AdminKey) -> Infallible {
    if config.serve.admin_token.is_some() {
        // It was given; a file does not count beside it.
        return std::future::pending().await;
    }
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        ticks.tick().await;
        let config = config.clone();
        let read = tokio::task::spawn_blocking(move || config.admin_token(true)).await;
        let trouble = match read {
            Ok(read) => take(&key, read).err(),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = trouble.as_ref().filter(|_| trouble != told) {
            tracing::warn!(%error, "The admin token's file cannot be used; the last token goes on.");
        }
        told = trouble;
    }
}

fn take(key: &AdminKey, read: Result<Option<Token>, ConfigError>) -> Result<(), String> {
    let Some(token) = read.map_err(|error| error.to_string())? else {
        return Ok(());
    };
    if key.replace(&token).map_err(|error| error.to_string())? {
        tracing::info!(
            "The admin token has changed: from now on only the new one opens admin routes."
        );
    }
    Ok(())
}
