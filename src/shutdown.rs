//! The end of the process: the first signal asks, the second one insists, and five seconds are the limit.
//!
//! Nothing here is needed for safety: a kill is as safe, an orderly end only saves the next start some work.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long work may go on after it was asked to stop; the rest of the five seconds is for the end of the process.
pub(crate) const LIMIT: Duration = Duration::from_millis(4500);

/// Tells work to stop, and waits for it only so long.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    limit: Duration,
}

impl Shutdown {
    /// A shutdown that nobody has asked for.
    pub(crate) fn new() -> Self {
        Self::with_limit(LIMIT)
    }

    fn with_limit(limit: Duration) -> Self {
        let hard = CancellationToken::new();
        Self {
            soft: hard.child_token(),
            hard,
            tasks: TaskTracker::new(),
            limit,
        }
    }

    /// Listens for SIGTERM and SIGINT from now on. Must be called within a runtime.
    pub(crate) fn listen(&self) -> io::Result<()> {
        // Its default is the death of the process; handled, a file beyond the limit is an error of its write.
        drop(signal(SignalKind::from_raw(
            rustix::process::Signal::XFSZ.as_raw(),
        ))?);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (soft, hard) = (self.soft.clone(), self.hard.clone());
        self.tasks.spawn(async move {
            let asked = tokio::select! {
                asked = either(&mut terminate, &mut interrupt) => asked,
                () = soft.cancelled() => "the work",
            };
            tracing::info!(by = asked, "stopping");
            soft.cancel();
            tokio::select! {
                _again = either(&mut terminate, &mut interrupt) => hard.cancel(),
                () = hard.cancelled() => {}
            }
        });
        Ok(())
    }

    /// The token that work should watch.
    pub(crate) fn token(&self) -> CancellationToken {
        self.soft.child_token()
    }

    /// Asks everything to stop.
    pub(crate) fn stop(&self) {
        self.soft.cancel();
    }

    /// Runs `work` to its end; after a stop it has the limit's time, and none after a second signal.
    /// `None` means that it was dropped unfinished.
    pub(crate) async fn bounded<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let expired = async {
            self.soft.cancelled().await;
            tokio::select! {
                () = tokio::time::sleep(self.limit) => {}
                () = self.hard.cancelled() => {}
            }
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = expired => None,
        }
    }

    /// Runs `work` to its end, or drops it at the second signal.
    pub(crate) async fn unless_forced<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.hard.cancelled() => None,
        }
    }

    /// Ends the listening itself.
    pub(crate) async fn finish(self) {
        self.hard.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _signal = terminate.recv() => "SIGTERM",
        _signal = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_is_waited_for() {
        let shutdown = Shutdown::new();
        let token = shutdown.token();
        shutdown.stop();
        let work = async {
            token.cancelled().await;
            tokio::time::sleep(Duration::from_millis(4400)).await;
            7
        };
        assert_eq!(shutdown.bounded(work).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_dropped_after_the_limit_and_not_before_a_stop() {
        let shutdown = Shutdown::new();
        let early =
            tokio::time::timeout(Duration::from_hours(1), shutdown.bounded(pending::<()>()));
        assert!(early.await.is_err(), "without a stop there is no limit");
        shutdown.stop();
        let began = tokio::time::Instant::now();
        assert_eq!(shutdown.bounded(pending::<()>()).await, None);
        assert_eq!(began.elapsed(), LIMIT);
    }

    /// One test for both signals: they are the process's, not the test's.
    #[tokio::test]
    async fn the_first_signal_asks_and_the_second_one_insists() {
        let shutdown = Shutdown::with_limit(Duration::from_hours(1));
        shutdown.listen().unwrap();
        let me = rustix::process::getpid();
        rustix::process::kill_process(me, rustix::process::Signal::TERM).unwrap();
        shutdown.token().cancelled().await;
        assert!(!shutdown.hard.is_cancelled());
        rustix::process::kill_process(me, rustix::process::Signal::INT).unwrap();
        let limit = Duration::from_secs(20);
        let unfinished = tokio::time::timeout(limit, shutdown.bounded(pending::<()>()));
        assert_eq!(unfinished.await.unwrap(), None);
        assert_eq!(shutdown.unless_forced(pending::<()>()).await, None);
        shutdown.finish().await;
    }

    #[tokio::test]
    async fn the_end_of_the_work_ends_the_listening() {
        let shutdown = Shutdown::new();
        shutdown.listen().unwrap();
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, shutdown.finish())
            .await
            .unwrap();
    }
}
