//! One job, step by step: plan, look what is here, fetch the rest, publish.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::halt::Halt;
use super::lease::Lease;
use super::live::LiveJob;
use super::run::{Ended, Run, Stop};
use super::{app, fetch, publish, reporter, settle, supply, verify};
use crate::domain::{Failure, FailureCode, JobKind, Phase};
use crate::store::Claimed;

/// Runs a claimed job until it ends, waits, or must stop.
pub(crate) async fn run(
    context: &Arc<Context>,
    lease: &Lease,
    claimed: Claimed,
    stop: &CancellationToken,
) -> Ended {
    let run = Arc::new(Run {
        context: Arc::clone(context),
        claim: claimed.claim,
        live: Arc::new(LiveJob::new(claimed.job.id)),
        job: claimed.job,
        model: claimed.model,
        halt: Arc::new(Halt::new()),
        trust: Arc::clone(&lease.trust),
        clean: lease.is_clean(),
    });
    tracing::info!(job.id = %run.job.id, model.id = %run.model.id(), attempt = run.job.attempt, "The job runs.");
    context.live.begin(&run.live);
    let outcome = tokio::select! {
        // A defect in one job must not end the service.
        outcome = AssertUnwindSafe(steps(&run)).catch_unwind() => outcome.unwrap_or_else(|_panic| {
            Err(Failure::new(FailureCode::Internal, "a defect stopped the job; the log has the place").with_remedy(Failure::REPORT).into())
        }),
        () = reporter::watch(&run, lease, stop) => Err(Stop::Halted),
    };
    let ended = settle::settle(&run, outcome).await;
    context.live.end();
    ended
}

async fn steps(run: &Arc<Run>) -> Result<(), Stop> {
    let Some(supply) = supply::of(run) else {
        return app::run_handler(run).await;
    };
    if run.job.kind == JobKind::Verify {
        return verify::run(run, &*supply).await;
    }
    let place = supply.place();
    run.show(Phase::Resolving);
    let plan = supply.plan(run).await?;
    run.show(Phase::CheckingCache);
    let plan = verify::discard_known_wrong(run, place, plan).await?;
    let missing = fetch::what_is_missing(run, place, &plan).await?;
    if !missing.is_empty() {
        run.show(Phase::Downloading);
        fetch::fetch(run, &*supply, &plan, missing).await?;
    }
    failpoint!("job-fetched");
    fetch::drop_useless_parts(place, &plan).await?;
    run.show(Phase::Publishing);
    publish::publish(run, place, &plan).await
}
