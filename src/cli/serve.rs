//! `serve`: the HTTP API and the worker, until a signal.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use crate::manager::WorkScope;
use crate::server::{EffectiveSetting, Server, ServerOptions};

pub(crate) async fn run(context: &Context) -> Result<Exit, CliError> {
    let manager = context.open().await?;
    let shutdown = &context.shutdown;
    let serve = &context.config.serve;
    let known = context.config.admin_token(false)?.is_some();
    let admin_token = context.config.admin_token(true)?;
    if !known {
        let file = serve.admin_token_file.display();
        tracing::info!(%file, "Made the admin token; this file holds it.");
    }
    let options = ServerOptions {
        listen: serve.listen,
        admin_token,
        allowed_hosts: serve.allowed_hosts.clone(),
        trust_proxy: serve.trust_proxy,
        settings: settings(context),
    };
    let server = Server::bind(options, manager.clone())?;
    // Scripts wait for exactly this line: the port may have been chosen by the system.
    let address = server.local_addr();
    if let Err(error) = output::line(&format!("listening on http://{address}")) {
        tracing::warn!(%error, "the address could not be announced");
    }
    tracing::info!(
        %address,
        database = %context.config.manager.database.display(),
        cache = %context.config.manager.cache_dir.display(),
        "serving"
    );

    let admin = super::admin_token::watch(&context.config, server.admin_key());
    // Whichever of the two ends first takes the other one along.
    let serving = async {
        let served = server.run_until(shutdown.token()).await;
        shutdown.stop();
        served
    };
    let working = async {
        let worked = manager.run(WorkScope::All, shutdown.token()).await;
        shutdown.stop();
        worked
    };
    let both = Box::pin(async {
        let both = tokio::select! {
            both = async { tokio::join!(serving, working) } => both,
            never = admin => match never {},
        };
        // Folds the WAL into the database, so that a copy of the one file is all of it.
        manager.close().await;
        both
    });
    if let Some((served, worked)) = shutdown.bounded(both).await {
        worked?;
        served?;
    } else {
        // Nothing is lost: the next start goes on from the last checkpoint, as after a kill.
        tracing::warn!("not everything stopped in time");
    }
    tracing::info!("stopped");
    Ok(Exit::Done)
}

/// The configuration as `config show` shows it.
fn settings(context: &Context) -> Vec<EffectiveSetting> {
    let settings = context.config.settings.iter();
    settings
        .map(|setting| EffectiveSetting {
            name: setting.name.to_owned(),
            value: setting.value.clone(),
            origin: setting.origin.to_string(),
        })
        .collect()
}
