//! Following a job until it ends, a person interrupts, or the time is over.
//!
//! Where statuses come from is the caller's: `pull` and `wait` ask the manager, tests bring their own.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::CliError;
use super::exit::Exit;
use super::output::{self, Output};
use super::progress::Display;
use crate::clock::Clock;
use crate::domain::{Failure, FailureCode, Job, JobState, ModelStatus, Status};
use crate::manager::ManagerError;

/// How long one look at the job lasts at most: the pace of the bar.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// How the following ended, with the last status.
#[derive(Debug, PartialEq)]
pub(crate) enum Followed {
    Ended(Box<ModelStatus>),
    Interrupted(Box<ModelStatus>),
    TimedOut(Box<ModelStatus>),
}

/// Looks at statuses, the first at once, until the job has ended, `stop` is cancelled or `limit` is over.
pub(crate) async fn follow(
    mut look: impl AsyncFnMut() -> Result<ModelStatus, ManagerError>,
    display: &mut Display,
    clock: &dyn Clock,
    stop: &CancellationToken,
    limit: Option<Duration>,
) -> Result<Followed, CliError> {
    let began = clock.monotonic();
    loop {
        // A look is a short read: it is finished even after an interrupt, for its status is needed.
        let status = Box::new(look().await?);
        let now = clock.monotonic();
        display.update(&status, now);
        if has_ended(&status) {
            return Ok(Followed::Ended(status));
        }
        if stop.is_cancelled() {
            return Ok(Followed::Interrupted(status));
        }
        if limit.is_some_and(|limit| now.saturating_sub(began) >= limit) {
            return Ok(Followed::TimedOut(status));
        }
    }
}

/// Whether no job of the model is queued, waiting, paused or running.
fn has_ended(status: &ModelStatus) -> bool {
    !matches!(
        status.state.as_str(),
        "queued" | "waiting" | "paused" | "running"
    )
}

/// Prints the result of a job that ended: the path, or the status object.
///
/// The job goes before the status: a failed look for something newer leaves a complete model behind.
pub(crate) fn report(
    output: Output,
    status: &ModelStatus,
    job: Option<&Job>,
) -> Result<Exit, CliError> {
    if output.is_json() {
        output::json(status)?;
    }
    let state = match job {
        Some(job) if matches!(job.state, JobState::Failed | JobState::Cancelled) => {
            job.state.as_str()
        }
        _ => status.state.as_str(),
    };
    match state {
        "failed" => {
            if let (true, Some(path)) = (status.cache.complete, &status.cache.path) {
                output.hint(&format!(
                    "an earlier snapshot is complete: {}",
                    path.display()
                ));
            }
            let unknown = || Failure::new(FailureCode::Internal, "the job failed without a reason");
            let failure = job
                .and_then(|job| job.failure.clone())
                .or_else(|| status.error.clone());
            Err(CliError::Ended(failure.unwrap_or_else(unknown)))
        }
        "cancelled" => {
            output.hint(&format!("{} was cancelled", status.model_id));
            Ok(Exit::Cancelled)
        }
        _ if status.status == Status::Completed => {
            if !output.is_json() {
                match &status.cache.path {
                    Some(path) => output::path(path)?,
                    None => output::line(status.model_id.as_str())?,
                }
            }
            Ok(Exit::Done)
        }
        _ => {
            output.hint(&format!(
                "no job for {} is left: it was cleared, or never started",
                status.model_id
            ));
            Ok(Exit::Unfinished)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use chrono::DateTime;

    use super::super::args::Format;
    use super::super::progress::tests::status;
    use super::*;
    use crate::clock::ManualClock;

    async fn run(
        states: &[&str],
        stop_after: Option<usize>,
        limit: Option<Duration>,
    ) -> (Result<Followed, CliError>, usize) {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let stop = CancellationToken::new();
        let looks = Cell::new(0);
        let look = async || {
            let state = states.get(looks.get()).copied();
            looks.set(looks.get() + 1);
            clock.advance(Duration::from_secs(1));
            if stop_after == Some(looks.get()) {
                stop.cancel();
            }
            state.map(status).ok_or(ManagerError::ShuttingDown)
        };
        let followed = follow(look, &mut Display::Silent, &clock, &stop, limit).await;
        (followed, looks.get())
    }

    #[tokio::test]
    async fn it_goes_on_until_the_job_has_ended() {
        for last in ["completed", "failed", "cancelled", "not_started"] {
            let states = ["queued", "running", "waiting", "paused", "running", last];
            let (followed, looks) = run(&states, None, None).await;
            assert_eq!(followed.unwrap(), Followed::Ended(Box::new(status(last))));
            assert_eq!(looks, 6);
        }
    }

    #[tokio::test]
    async fn an_interrupt_a_limit_and_an_error_end_it_and_an_end_goes_first() {
        let running = ["running"; 9];
        let (followed, looks) = run(&running, Some(3), None).await;
        assert!(matches!(followed, Ok(Followed::Interrupted(_))));
        assert_eq!(looks, 3);
        let (followed, looks) = run(&running, None, Some(Duration::from_secs(4))).await;
        assert!(matches!(followed, Ok(Followed::TimedOut(_))));
        assert_eq!(looks, 4);
        let (followed, _) = run(&["completed"], Some(1), Some(Duration::ZERO)).await;
        assert!(matches!(followed, Ok(Followed::Ended(_))));
        let (followed, _) = run(&["running"], None, None).await;
        assert!(matches!(
            followed,
            Err(CliError::Manager(ManagerError::ShuttingDown))
        ));
    }

    #[test]
    fn the_exit_code_is_that_of_the_end() {
        let output = Output {
            format: Format::Human,
            quiet: true,
        };
        let mut failed = status("failed");
        failed.error = Some(Failure::new(FailureCode::ChecksumMismatch, "x"));
        assert_eq!(
            report(output, &failed, None).unwrap_err().exit(),
            Exit::Checksum
        );
        failed.error = None;
        assert_eq!(
            report(output, &failed, None).unwrap_err().exit(),
            Exit::Failed
        );
        assert_eq!(
            report(output, &status("cancelled"), None).unwrap(),
            Exit::Cancelled
        );
        assert_eq!(
            report(output, &status("not_started"), None).unwrap(),
            Exit::Unfinished
        );
    }
}
