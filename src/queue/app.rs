//! A job whose bytes the app itself brings in.

use std::path::PathBuf;
use std::sync::Arc;

use super::handlers::HandlerContext;
use super::run::{Run, Stop};
use crate::domain::{Failure, FailureCode, Phase, Readiness};

/// Runs the app's download function for the model; waits when the app has not registered it since the restart.
pub(crate) async fn run_handler(run: &Arc<Run>, model_path: Option<PathBuf>) -> Result<(), Stop> {
    let model_id = run.model.id().clone();
    let Some(handler) = run.context.handlers.get(&model_id) else {
        let message = format!("the app has not registered the download function of `{model_id}`");
        return Err(Failure::new(FailureCode::HandlerMissing, message)
            .with_remedy("start the app that registers it")
            .into());
    };
    run.enter(Phase::Downloading).await?;
    let cancelled = run.halt.token().child_token();
    let context = HandlerContext {
        model_id: model_id.clone(),
        model_path,
        cancelled,
    };
    let outcome = tokio::select! {
        outcome = handler.download(context) => outcome,
        () = run.halted_for_long() => return Err(Stop::Halted),
    };
    if run.halt.cause().is_some() {
        return Err(Stop::Halted);
    }
    outcome.map_err(|error| {
        let code = if error.retryable {
            FailureCode::Network
        } else {
            FailureCode::HandlerFailed
        };
        Failure::new(
            code,
            format!("the download function of `{model_id}` failed: {error}"),
        )
    })?;
    let now = run.context.clock.now();
    let readiness = Readiness {
        commit: None,
        bytes: 0,
        files: 0,
        verified: false,
        since: now,
    };
    let started = run.context.clock.monotonic();
    let done = run
        .context
        .store
        .complete(run.claim, readiness, now, || Ok(()))
        .await;
    run.renewed(started, done)
}
