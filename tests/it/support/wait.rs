//! Waiting for a fact, with a limit; the only place that polls.

use std::time::{Duration, Instant};

/// For facts that come at once on an idle machine.
pub(crate) const SHORT: Duration = Duration::from_secs(15);
/// For downloads and restarts on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// Asks until there is an answer, and panics with `what` when the time is over.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "a fact in another process can only be polled for"
)]
pub(crate) fn wait_for<T>(timeout: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < timeout,
            "waited {timeout:?} in vain for this: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A condition as an answer for [`wait_for`].
pub(crate) fn holds(condition: bool) -> Option<()> {
    condition.then_some(())
}
