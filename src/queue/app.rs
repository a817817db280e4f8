//! A job whose bytes the app itself brings in.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::growth;
use super::handlers::HandlerContext;
use super::reports::HandlerProgress;
use super::run::{Run, Stop};
use super::web_client::HandlerClient;
use crate::domain::{Failure, FailureCode, Origin, Phase, Readiness};

/// Runs the app's download function for the model; waits when the app has not registered it since the restart.
pub(crate) async fn run_handler(run: &Arc<Run>) -> Result<(), Stop> {
    let model_path = match &run.model.spec.origin {
        Origin::Handler { model_path } => model_path.clone(),
        Origin::Hub { .. } | Origin::Urls { .. } => None,
    };
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
        model_path: model_path.clone(),
        progress: HandlerProgress::new(run),
        http: HandlerClient::new(run.context.web.clone()),
        cancelled,
    };
    run.live.set_total(u64::MAX);
    run.live
        .present_bytes
        .store(run.job.bytes_done, Ordering::Relaxed);
    let watched = async {
        if let Some(place) = model_path.clone() {
            growth::watch(run, place).await;
        }
        pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = handler.download(context) => outcome,
        () = watched => return Err(Stop::Halted),
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
    let size = match &model_path {
        Some(place) => growth::look(place).await?,
        None => growth::Size::default(),
    };
    let now = run.context.clock.now();
    let readiness = Readiness {
        commit: None,
        bytes: size.bytes,
        files: size.files,
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
