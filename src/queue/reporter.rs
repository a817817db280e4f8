//! The running job's heartbeat: once a second its numbers go to the row, and the row's wishes come back.
//! A checkpoint carries the numbers too, so while checkpoints come there are no other beats.
//!
//! The beat is a write of the worker itself, fenced like all others; a worker that cannot write loses its trust.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::halt::Cause;
use super::lease::Lease;
use super::run::{Run, Stop};
use crate::domain::{FailureCode, JobState, Phase};
use crate::store::{FileCheckpoint, ProgressUpdate, StoreError};

/// How often the numbers are written, unless the lease is so short that it must be renewed more often.
const BEAT: Duration = Duration::from_secs(1);
/// How often it is asked whether anybody wrote: a cancel, a pause, another limit. Only then the rows are read.
const LOOK: Duration = Duration::from_millis(100);

/// Beats and looks until it is dropped; a beat that has to wait does not keep it from looking.
pub(crate) async fn watch(run: &Run, lease: &Lease, stop: &CancellationToken) {
    let blocked = AtomicBool::new(false);
    tokio::join!(beats(run, lease, &blocked), looks(run, stop, &blocked));
}

/// Writes the numbers again and again; says in `blocked` while another process keeps it from writing.
async fn beats(run: &Run, lease: &Lease, blocked: &AtomicBool) {
    let context = &run.context;
    let every = run.trust.beat_every(BEAT);
    // There is nothing to say yet.
    let mut last = Instant::now();
    loop {
        let due = run.live.reported().map_or(last, |at| at.max(last)) + every;
        if Instant::now() < due {
            tokio::time::sleep_until(due).await;
            continue;
        }
        verifying(run).await;
        last = Instant::now();
        blocked.store(true, Ordering::Release);
        let beaten = beat(run).await;
        let busy = matches!(&beaten, Err(Stop::Failed(failure)) if failure.code == FailureCode::CacheLocked);
        blocked.store(busy, Ordering::Release);
        if let Err(Stop::Failed(failure)) = beaten {
            tracing::warn!(job.id = %run.job.id, %failure, "The progress of the job cannot be written.");
        }
        if let Err(error) = lease.take_lock(&context.store).await {
            tracing::debug!(%error, "The lock was taken, but the row does not say so yet.");
        }
    }
}

/// Reads again and again what others want of the job, and ends it when the lease is not trusted any more.
async fn looks(run: &Run, stop: &CancellationToken, blocked: &AtomicBool) {
    let context = &run.context;
    let mut ticks = tokio::time::interval(LOOK.min(run.trust.beat_every(BEAT)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = None;
    let mut asked = context.clock.monotonic();
    loop {
        let changed = context.changed.notified();
        tokio::select! {
            () = stop.cancelled(), if run.halt.cause().is_none() => run.halt.stop(Cause::Stopping),
            _ = ticks.tick() => {}
            () = changed => {}
        }
        // Taken before the rows are read; a version that cannot be had is never the one that was seen.
        let version = context.store.version().await.ok();
        if version.is_none() || version != seen || blocked.load(Ordering::Acquire) {
            seen = version;
            look(run, blocked).await;
            obey_limit(run).await;
            asked = context.clock.monotonic();
        } else if !context.options.schedule.is_empty()
            && context.clock.monotonic().saturating_sub(asked) >= BEAT
        {
            // A window opens without anybody writing.
            obey_limit(run).await;
            asked = context.clock.monotonic();
        }
        if !run.trust.holds() {
            run.halt.stop(Cause::Fenced);
        }
    }
}

/// Writes the numbers once.
async fn beat(run: &Run) -> Result<(), Stop> {
    let started = run.context.clock.monotonic();
    run.renewed(started, report(run, &[]).await)
}

/// Writes the numbers, and what was synced of each file.
pub(crate) async fn checkpoint(run: &Run, files: &[FileCheckpoint]) -> Result<(), Stop> {
    run.write(|| report(run, files)).await
}

/// One write of the numbers; the wishes that it brings back are obeyed.
async fn report(run: &Run, files: &[FileCheckpoint]) -> Result<(), StoreError> {
    let context = &run.context;
    let taken = Instant::now();
    let numbers = run.live.numbers(context.clock.as_ref());
    context.metrics.received(run.live.newly_received());
    let update = ProgressUpdate {
        bytes_done: numbers.bytes_done,
        bytes_reused: numbers.bytes_reused,
        files_done: numbers.files_done,
        rate: numbers.rate,
        current_file: numbers.current_file,
        phase: numbers.phase,
        last_byte_at: numbers.last_byte_at,
    };
    let signal = context
        .store
        .progress(run.claim, &update, files, context.clock.now())
        .await?;
    run.live.set_reported(taken);
    obey(run, signal.cancel, signal.pause);
    Ok(())
}

/// Reads what others want of the job. While nobody else lets this process write, the row is the proof of the lease:
/// a standby would have had to write too.
async fn look(run: &Run, blocked: &AtomicBool) {
    let started = run.context.clock.monotonic();
    match run.context.store.job(run.job.id).await {
        Ok(Some(job))
            if job.state == JobState::Running && job.lease_token == run.job.lease_token =>
        {
            if blocked.load(Ordering::Acquire) {
                run.trust.seen(started);
            }
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

/// Takes over the bandwidth limit that a person has set meanwhile, in this process or another, or that a window says.
async fn obey_limit(run: &Run) {
    let context = &run.context;
    if let Ok(settings) = context.store.settings().await {
        let limit = context.limit(&settings);
        if limit.is_standstill() {
            run.halt.stop(Cause::Paused);
            return;
        }
        let limit = limit.bytes_per_second;
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
