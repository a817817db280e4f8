//! The running job's heartbeat: once a second its numbers go to the row, and the row's wishes come back.
//!
//! The beat is a write of the worker itself, fenced like all others; a worker that cannot write loses its trust.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::halt::Cause;
use super::lease::Lease;
use super::run::{Run, Stop};
use crate::domain::{JobState, Phase};
use crate::store::{FileCheckpoint, ProgressUpdate, StoreError};

/// How often the numbers are written, unless the lease is so short that it must be renewed more often.
const BEAT: Duration = Duration::from_secs(1);
/// How often it is asked whether anybody wrote: a cancel, a pause, another limit. Only then the rows are read.
const LOOK: Duration = Duration::from_millis(100);

/// Beats until it is dropped.
pub(crate) async fn watch(run: &Run, lease: &Lease, stop: &CancellationToken) {
    let context = &run.context;
    let every = run.trust.beat_every(BEAT);
    let mut beaten = context.clock.monotonic();
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = None;
    loop {
        let changed = context.changed.notified();
        tokio::select! {
            () = stop.cancelled(), if run.halt.cause().is_none() => run.halt.stop(Cause::Stopping),
            _ = ticks.tick() => {}
            () = changed => {}
        }
        // Taken before the rows are read; a version that cannot be had is never the one that was seen.
        let version = context.store.version().await.ok();
        if version.is_none() || version != seen {
            seen = version;
            look(run).await;
            obey_limit(run).await;
        }
        let now = context.clock.monotonic();
        if now.saturating_sub(beaten) >= every {
            beaten = now;
            verifying(run).await;
            if let Err(Stop::Failed(failure)) = beat(run, &[]).await {
                tracing::warn!(job.id = %run.job.id, %failure, "The progress of the job cannot be written.");
            }
            if let Err(error) = lease.take_lock(&context.store).await {
                tracing::debug!(%error, "The lock was taken, but the row does not say so yet.");
            }
        }
        if !run.trust.holds() {
            run.halt.stop(Cause::Fenced);
        }
    }
}

/// Writes the numbers, and what was synced of each file; hands back nothing but the wishes it obeys.
pub(crate) async fn beat(run: &Run, files: &[FileCheckpoint]) -> Result<(), Stop> {
    let context = &run.context;
    let started = context.clock.monotonic();
    let numbers = run.live.numbers(context.clock.as_ref());
    let update = ProgressUpdate {
        bytes_done: numbers.bytes_done,
        bytes_reused: numbers.bytes_reused,
        files_done: numbers.files_done,
        rate: numbers.rate,
        current_file: numbers.current_file,
        last_byte_at: numbers.last_byte_at,
    };
    let signal = context
        .store
        .progress(run.claim, &update, files, context.clock.now())
        .await;
    let signal = run.renewed(started, signal)?;
    obey(run, signal.cancel, signal.pause);
    Ok(())
}

/// Reads what others want of the job.
async fn look(run: &Run) {
    match run.context.store.job(run.job.id).await {
        Ok(Some(job))
            if job.state == JobState::Running && job.lease_token == run.job.lease_token =>
        {
            obey(run, job.cancel_requested, job.paused);
        }
        Ok(_) => {
            run.stopped_by(&StoreError::Fenced);
        }
        Err(error) => tracing::debug!(%error, job.id = %run.job.id, "The job cannot be read."),
    }
}

fn obey(run: &Run, cancel: bool, pause: bool) {
    if cancel {
        run.halt.stop(Cause::Cancelled);
    } else if pause {
        run.halt.stop(Cause::Paused);
    }
}

/// Takes over the bandwidth limit that a person has set meanwhile, in this process or another.
async fn obey_limit(run: &Run) {
    let context = &run.context;
    if let Ok(settings) = context.store.settings().await {
        let limit = settings.bandwidth_limit.or(context.options.bandwidth_limit);
        if context.limiter.limit() != limit {
            context.limiter.set_limit(limit);
        }
    }
}

/// When the last byte is here and files are still being compared, says so.
async fn verifying(run: &Run) {
    let numbers = run.live.numbers(run.context.clock.as_ref());
    let all_here = run.live.total() > 0 && numbers.bytes_done == run.live.total();
    if numbers.phase == Some(Phase::Downloading) && all_here {
        // A refused write shows at the beat that follows.
        run.enter(Phase::Verifying).await.ok();
    }
}
