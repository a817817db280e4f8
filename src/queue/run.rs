//! One attempt at a job: the claim, its counters, its stop signal.

use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::halt::{Cause, Halt};
use super::lease::Trust;
use super::live::LiveJob;
use crate::domain::{Failure, FailureCode, Job, Model, Phase};
use crate::store::{Claim, StoreError};

/// How long an app's download function may take to stop.
const HANDLER_GRACE: Duration = Duration::from_secs(2);

/// How an attempt ended, as far as the scheduler must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The row says how.
    Settled,
    /// The lease is lost.
    Fenced,
}

/// Why a step did not succeed.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The stop signal was given; it knows the cause.
    Halted,
    /// The attempt failed.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// An attempt that runs.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) context: Arc<Context>,
    pub(crate) claim: Claim,
    pub(crate) job: Job,
    pub(crate) model: Model,
    pub(crate) live: Arc<LiveJob>,
    pub(crate) halt: Arc<Halt>,
    pub(crate) trust: Arc<Trust>,
    /// Whether the former holder was certainly dead, so that its parts may be written on.
    pub(crate) clean: bool,
}

impl Run {
    /// Tells the readers in this process what the job does now; the table learns it with the next report.
    ///
    /// For steps that are over in a moment: a commit of its own would take longer than they do.
    pub(crate) fn show(&self, phase: Phase) {
        self.live.set_phase(phase);
    }

    /// Tells the table and the readers what the job does now.
    pub(crate) async fn enter(&self, phase: Phase) -> Result<(), Stop> {
        self.live.set_phase(phase);
        let (store, clock) = (&self.context.store, &self.context.clock);
        self.write(|| store.set_phase(self.claim, phase, clock.now()))
            .await
    }

    /// Makes a fenced write. While another process keeps the database's write lock it is made again: as long as the
    /// lease is trusted, waiting loses nothing, and giving up would end a transfer that goes on well.
    pub(crate) async fn write<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            let started = self.context.clock.monotonic();
            match attempt().await {
                Err(StoreError::Busy) if self.trust.holds() && self.halt.cause().is_none() => {
                    tracing::debug!(job.id = %self.job.id, "A write is made again.");
                }
                outcome => return self.renewed(started, outcome),
            }
        }
    }

    /// Notes the outcome of a fenced write: a good one renews the trust, a refused one ends everything.
    pub(crate) fn renewed<T>(
        &self,
        started: Duration,
        outcome: Result<T, StoreError>,
    ) -> Result<T, Stop> {
        match outcome {
            Ok(value) => {
                self.trust.renewed(started);
                Ok(value)
            }
            Err(error) => Err(self.stopped_by(&error)),
        }
    }

    /// What a refused write means for the attempt.
    pub(crate) fn stopped_by(&self, error: &StoreError) -> Stop {
        if matches!(error, StoreError::Fenced) {
            self.trust.revoke();
            self.halt.stop(Cause::Fenced);
            return Stop::Halted;
        }
        match store_failure(error) {
            failure if failure.code == FailureCode::LeaseLost => Stop::Halted,
            failure => Stop::Failed(failure),
        }
    }

    /// Awaits `request`, but not longer than the job may run.
    pub(crate) async fn unless_halted<T>(
        &self,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Stop> {
        tokio::select! {
            outcome = request => outcome.map_err(Stop::Failed),
            () = self.halt.token().cancelled() => Err(Stop::Halted),
        }
    }

    /// Ends a while after the stop signal, for work that was asked to stop and does not.
    pub(crate) async fn halted_for_long(&self) {
        self.halt.token().cancelled().await;
        tokio::time::sleep(HANDLER_GRACE).await;
    }

    /// The failure that tells the transfer to stop because the lease is lost.
    pub(crate) fn fenced() -> Failure {
        Failure::new(FailureCode::LeaseLost, "the lease was lost")
    }
}

/// What an error of the database means to people. A failure that a publication wrapped comes out again.
pub(crate) fn store_failure(error: &StoreError) -> Failure {
    let code = match error {
        StoreError::Publish(cause) => {
            if let Some(failure) = cause
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<Failure>())
            {
                return failure.clone();
            }
            FailureCode::Internal
        }
        StoreError::DiskFull => FailureCode::DiskFull,
        // Somebody else's transaction: it ends, and the job goes on.
        StoreError::Busy => FailureCode::CacheLocked,
        StoreError::Fenced => FailureCode::LeaseLost,
        StoreError::Database(_) => FailureCode::StorageUnavailable,
        _ => FailureCode::Storage,
    };
    let failure = Failure::new(code, error.to_string());
    match code {
        FailureCode::DiskFull => failure.with_remedy("free some space; it goes on by itself"),
        FailureCode::StorageUnavailable => failure.with_remedy(
            "look at the disk of the database, and whether another program holds it; it goes on by itself",
        ),
        FailureCode::Internal => failure.with_remedy(Failure::REPORT),
        _ => failure.with_remedy("look at the database with `modelhaul doctor`"),
    }
}
