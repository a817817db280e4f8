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
        let took = start.elapsed();
        // The load is read only when there is something to excuse.
        assert!(
            took < timeout || took < timeout.mul_f64(slowness()),
            "waited {took:?} in vain for this: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How much longer things take on this machine than on an idle one: its load for each of its processors, at least 1.
pub(crate) fn slowness() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text
        .split(' ')
        .next()
        .and_then(|load| load.parse::<f64>().ok());
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let processors = f64::from(u32::try_from(processors).unwrap_or(1));
    (load.unwrap_or(0.0) / processors).max(1.0)
}

/// A condition as an answer for [`wait_for`].
pub(crate) fn holds(condition: bool) -> Option<()> {
    condition.then_some(())
}
