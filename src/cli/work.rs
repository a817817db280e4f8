//! Working on a job while following it: whichever way the following ends, the work is ended in order.

use std::future::Future;
use std::pin::pin;

use tokio_util::sync::CancellationToken;

use super::error::CliError;
use super::follow::Followed;
use crate::manager::ManagerError;
use crate::shutdown::{LIMIT, Shutdown};

/// Runs `work` beside `following`; when that ends, cancels `stop_work` and waits for the work, but only so long.
///
/// The answer says also whether this process was the one that worked when a person or the time ended it.
pub(crate) async fn beside(
    shutdown: &Shutdown,
    work: impl Future<Output = Result<(), ManagerError>>,
    stop_work: &CancellationToken,
    following: impl Future<Output = Result<Followed, CliError>>,
    is_worker: impl AsyncFnOnce() -> bool,
) -> Result<(Followed, bool), CliError> {
    let mut work = pin!(work);
    let mut following = pin!(following);
    let followed = tokio::select! {
        followed = &mut following => followed,
        worked = &mut work => {
            // The worker leaves when its job has ended; with an error it will not come back, and nobody else may work.
            worked?;
            return Ok((following.await?, false));
        }
    };
    let own = match &followed {
        Ok(Followed::Interrupted(_) | Followed::TimedOut(_)) => is_worker().await,
        Ok(Followed::Ended(_)) | Err(_) => false,
    };
    stop_work.cancel();
    let work = shutdown.bounded(work);
    let worked = if matches!(followed, Ok(Followed::Ended(_))) {
        // Another job may follow, so nothing but this work is asked to stop.
        let limited = tokio::time::timeout(LIMIT, work).await;
        limited.ok().flatten()
    } else {
        shutdown.stop();
        work.await
    };
    let followed = followed?;
    if let Some(worked) = worked {
        worked?;
    } else {
        tracing::warn!("the worker did not stop in time; its last checkpoint counts");
    }
    Ok((followed, own))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::super::progress::tests::status;
    use super::*;

    fn ended() -> Followed {
        Followed::Ended(Box::new(status("completed")))
    }

    fn interrupted() -> Followed {
        Followed::Interrupted(Box::new(status("running")))
    }

    /// A worker that stops when it is told to, some time later.
    async fn worker(stop: CancellationToken) -> Result<(), ManagerError> {
        stop.cancelled().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn the_work_is_stopped_and_waited_for_however_the_following_ends() {
        for (followed, own) in [(ended(), false), (interrupted(), true)] {
            let stop = CancellationToken::new();
            let began = tokio::time::Instant::now();
            let expected = matches!(followed, Followed::Ended(_));
            let (followed, worked) = beside(
                &Shutdown::new(),
                worker(stop.clone()),
                &stop,
                ready(Ok(followed)),
                async || true,
            )
            .await
            .unwrap();
            assert_eq!(matches!(followed, Followed::Ended(_)), expected);
            assert_eq!(worked, own);
            assert_eq!(
                began.elapsed(),
                Duration::from_secs(2),
                "the worker gave the lease back"
            );
        }
        let stop = CancellationToken::new();
        let shutdown = Shutdown::new();
        let failed = ready(Err(ManagerError::ShuttingDown.into()));
        let began = tokio::time::Instant::now();
        let result = beside(&shutdown, worker(stop.clone()), &stop, failed, async || {
            true
        });
        assert!(result.await.is_err());
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_stop_is_left_after_the_limit() {
        let stop = CancellationToken::new();
        let shutdown = Shutdown::new();
        let began = tokio::time::Instant::now();
        let result = beside(
            &shutdown,
            pending(),
            &stop,
            ready(Ok(interrupted())),
            async || false,
        );
        let (followed, own) = result.await.unwrap();
        assert_eq!((followed, own), (interrupted(), false));
        assert_eq!(began.elapsed(), LIMIT);
    }

    #[tokio::test]
    async fn a_worker_that_leaves_early_does_not_end_the_following_and_a_broken_one_does() {
        let stop = CancellationToken::new();
        let shutdown = Shutdown::new();
        let later = async {
            tokio::task::yield_now().await;
            Ok(ended())
        };
        let result = beside(&shutdown, ready(Ok(())), &stop, later, async || true);
        assert_eq!(result.await.unwrap(), (ended(), false));
        let broken = ready(Err(ManagerError::ShuttingDown));
        let result = beside(&shutdown, broken, &stop, pending(), async || true);
        assert!(result.await.is_err());
    }
}
