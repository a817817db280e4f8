//! How an attempt ends in the table: completed was written by the last step, all else is written here.

use std::time::Duration;

use super::halt::Cause;
use super::retry::Decision;
use super::run::{Ended, Run, Stop};
use crate::domain::{Failure, FailureCode, JobKind, Origin, WaitReason};
use crate::store::StoreError;

/// Pause between tries to write the outcome while the database refuses.
const PAUSE: Duration = Duration::from_secs(1);
/// A token that is gone is looked for again after this long.
const TOKEN_RECHECK: Duration = Duration::from_secs(15);
/// Tries to write the outcome while the service stops; the lease's release requeues the job anyway.
const TRIES_AT_STOP: u32 = 2;

/// Writes the outcome; keeps trying while the database refuses, because a row that says `running` would lie.
pub(crate) async fn settle(run: &Run, outcome: Result<(), Stop>) -> Ended {
    run.context.metrics.received(run.live.newly_received());
    let failure = match outcome {
        Ok(()) => {
            tracing::info!(job.id = %run.job.id, model.id = %run.model.id(), "The job is completed.");
            run.context.past.forget(run.job.id);
            let reused = run.live.numbers(run.context.clock.as_ref()).bytes_reused;
            run.context.metrics.reused(reused);
            count_end(run, "completed");
            return Ended::Settled;
        }
        Err(Stop::Halted) => None,
        Err(Stop::Failed(failure)) => (run.halt.cause().is_none()).then_some(failure),
    };
    let decision = failure.as_ref().map(|failure| decide(run, failure));
    if matches!(decision, Some(Decision::Fail)) || run.halt.cause() == Some(Cause::Cancelled) {
        run.context.past.forget(run.job.id);
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let store = &run.context.store;
        let failed = failure.as_ref().zip(decision.as_ref());
        match store.with_reserve(|| write(run, failed)).await {
            Ok(ended) => return ended,
            Err(StoreError::Fenced) => return Ended::Fenced,
            Err(error) => {
                tracing::warn!(%error, job.id = %run.job.id, "The outcome cannot be written.");
            }
        }
        if !run.trust.holds()
            || (run.halt.cause() == Some(Cause::Stopping) && tries >= TRIES_AT_STOP)
        {
            return Ended::Fenced;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What becomes of the job after a failed attempt.
fn decide(run: &Run, failure: &Failure) -> Decision {
    let (context, written) = (&run.context, run.live.written());
    let trickles = context.past.attempt(run.job.id, written);
    let policy = context.options.retry;
    if lacks_token(run, failure) {
        return Decision::Wait {
            reason: WaitReason::AuthRequired,
            pause: TOKEN_RECHECK.min(policy.backoff_max),
            retries: run.job.retries,
        };
    }
    policy.decide(failure, run.job.retries, written > 0, trickles, jitter())
}

/// Whether the hub let this job in before and does not any more: then a person brings the token back, and no new
/// start is needed. A job that was never let in fails, as its cause is not known to be the token.
///
/// A listing proves nothing where anybody may list, as in gated repositories; a byte does, and so does a token that
/// was not refused.
fn lacks_token(run: &Run, failure: &Failure) -> bool {
    // Other servers refuse an address that has expired: no token of the hub brings it back.
    if !matches!(run.model.spec.origin, Origin::Hub { .. }) {
        return false;
    }
    let was_fed = run.live.written() > 0 || run.job.bytes_done > run.job.bytes_reused;
    let token_worked = run.context.past.had_token(run.job.id);
    match failure.code {
        FailureCode::TokenMissing | FailureCode::TokenInvalid => was_fed || token_worked,
        FailureCode::Gated | FailureCode::Forbidden => was_fed,
        // To whom sends no token, a private repository does not exist.
        FailureCode::RepoNotFound => failure.anonymous && token_worked,
        _ => false,
    }
}

async fn write(run: &Run, failed: Option<(&Failure, &Decision)>) -> Result<Ended, StoreError> {
    let (store, claim, now) = (&run.context.store, run.claim, run.context.clock.now());
    let Some((failure, decision)) = failed else {
        match run.halt.cause() {
            Some(Cause::Fenced) => return Ok(Ended::Fenced),
            Some(Cause::Cancelled) => {
                tracing::info!(job.id = %run.job.id, "The job is cancelled.");
                store.cancelled(claim, now).await?;
                count_end(run, "cancelled");
            }
            Some(Cause::Paused | Cause::Stopping) => {
                store.release(claim, now).await?;
            }
            // A write was refused because the trust had run out, as after a sleep, and a beat has renewed it since:
            // nobody else has worked meanwhile, so the job only takes its place again.
            None => {
                tracing::warn!(job.id = %run.job.id, "The lease was in doubt; the job goes back into the queue.");
                store.release(claim, now).await?;
            }
        }
        return Ok(Ended::Settled);
    };
    match *decision {
        Decision::Fail => {
            let failure = &failure.clone().with_next_step();
            tracing::warn!(job.id = %run.job.id, model.id = %run.model.id(), code = %failure.code, %failure, "The job failed.");
            if run.job.kind == JobKind::Verify && !run.job.repair {
                if !store.fail_verify(claim, failure, now).await? {
                    tracing::info!(job.id = %run.job.id, "A repair was asked for meanwhile.");
                }
            } else {
                store.fail(claim, failure, now).await?;
            }
            if failure.code == FailureCode::ChecksumMismatch {
                run.context.metrics.verification_failed();
            }
            count_end(run, "failed");
        }
        Decision::Wait {
            reason,
            pause,
            retries,
        } => {
            let due = now + pause;
            tracing::info!(job.id = %run.job.id, %reason, %failure, retries, until = %due, "The job waits.");
            store
                .retry(claim, failure, reason, due, retries, now)
                .await?;
            run.context.metrics.retried(reason.as_str());
        }
    }
    Ok(Ended::Settled)
}

/// Tells monitoring how the job ended.
fn count_end(run: &Run, outcome: &'static str) {
    let source = match run.model.spec.origin {
        Origin::Hub { .. } => "hub",
        Origin::Urls { .. } => "url",
        Origin::Handler { .. } => "handler",
    };
    let since = run.job.started_at.unwrap_or(run.job.enqueued_at);
    let after = (run.context.clock.now() - since).to_std().ok();
    run.context.metrics.ended(outcome, source, after);
}

/// A number in 0..1; half when the system has no randomness.
fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}
