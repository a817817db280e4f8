//! How many connections are worth having: grows while more of them bring more bytes, shrinks when refused.
//!
//! Pure: it is told the time and the bytes. Invariant: the count stays between 1 and the most allowed.

use std::time::Duration;

use tokio::time::Instant;

/// Late answers alone make no more connections than this: what more of them bring has to be measured.
const LATE_MOST: usize = 16;
/// How long a count is measured before the next step.
const WINDOW: Duration = Duration::from_millis(60);
/// More connections stay only when the speed grew by this factor.
const WORTH: f64 = 1.15;
/// Windows that a larger count may fail in before it is given up: one of them may just have been unlucky.
const CHANCES: u32 = 3;
/// How long a count is kept before more are tried again; doubles with each try in vain.
const SETTLED: Duration = Duration::from_secs(1);
/// The longest that a count is kept.
const SETTLED_MOST: Duration = Duration::from_secs(16);
/// How long a refusal by the server is remembered.
const REFUSED: Duration = Duration::from_secs(20);

/// The wanted number of connections.
#[derive(Debug)]
pub(super) struct Ramp {
    most: usize,
    initial: usize,
    /// Whether a speed was measured: from then on late answers change nothing.
    measured: bool,
    target: usize,
    window: Option<(Instant, u64)>,
    /// Count and speed before the last growth.
    before: Option<(usize, f64)>,
    /// Windows since the last growth that did not show it to be worth it.
    vain: u32,
    /// How long the next count that proves best is kept.
    settle: Duration,
    settled_until: Option<Instant>,
    refused_until: Option<Instant>,
}

impl Ramp {
    /// Starts with `initial` of `most`.
    pub(super) fn new(initial: usize, most: usize) -> Self {
        let most = most.max(1);
        Self {
            most,
            initial: initial.clamp(1, most),
            measured: false,
            target: initial.clamp(1, most),
            window: None,
            before: None,
            vain: 0,
            settle: SETTLED,
            settled_until: None,
            refused_until: None,
        }
    }

    /// The wanted number of connections now.
    pub(super) fn target(&self) -> usize {
        self.target
    }

    /// A request waited for the network rather than for bandwidth: one more of them costs nothing.
    pub(super) fn waited(&mut self, now: Instant) {
        if self.refused_until.is_none_or(|until| now >= until) && self.target < self.most {
            self.target += 1;
        }
    }

    /// Nothing has come yet and the first answers are late: twice the connections cost no bandwidth.
    pub(super) fn cold(&mut self) {
        self.late_up_to(2 * self.initial);
    }

    /// So many first answers came late: as many more connections wait beside them.
    pub(super) fn late(&mut self, answers: usize) {
        self.late_up_to(self.target + answers);
    }

    fn late_up_to(&mut self, count: usize) {
        if self.refused_until.is_none() && !self.measured {
            self.target = self.target.max(count.min(LATE_MOST).min(self.most));
        }
    }

    /// The server asks for fewer requests.
    pub(super) fn refused(&mut self, now: Instant) {
        // One refusal hits several connections at once: they count as one.
        let fresh = self
            .refused_until
            .is_none_or(|until| now + REFUSED > until + Duration::from_millis(500));
        if fresh {
            self.target = (self.target / 2).max(1);
        }
        self.refused_until = Some(now + REFUSED);
        self.settled_until = self.refused_until;
        self.window = None;
        self.before = None;
    }

    /// Looks at the speed: `received` bytes so far, `warm` connections that deliver.
    pub(super) fn observe(&mut self, now: Instant, received: u64, warm: usize) {
        let settled = self.settled_until.is_some_and(|until| now < until);
        if settled || warm < self.target || self.target == self.most && self.before.is_none() {
            self.window = None;
            return;
        }
        let Some((start, base)) = self.window else {
            self.window = Some((now, received));
            return;
        };
        let elapsed = now.duration_since(start);
        if elapsed < WINDOW {
            return;
        }
        self.window = None;
        self.measured = true;
        let speed = bytes(received.saturating_sub(base)) / elapsed.as_secs_f64();
        match self.before {
            Some((_, slower)) if speed < slower * WORTH && self.vain + 1 < CHANCES => {
                self.vain += 1;
            }
            Some((fewer, slower)) if speed < slower * WORTH => {
                self.target = fewer;
                self.before = None;
                self.settled_until = Some(now + self.settle);
                self.settle = (self.settle * 2).min(SETTLED_MOST);
            }
            worth => {
                if worth.is_some() {
                    self.settle = SETTLED;
                }
                self.vain = 0;
                self.before = (self.target < self.most).then_some((self.target, speed));
                self.target = (self.target * 2).min(self.most);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a speed")]
fn bytes(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the ramp for two seconds against a link that gives `speed(connections)` bytes per second.
    fn settle(ramp: &mut Ramp, start: Instant, speed: impl Fn(usize) -> u64) -> Instant {
        // Counts from where a run before it may have been, as it must never go down.
        let mut received = 1 << 50;
        let mut now = start;
        for _ in 0..80 {
            now += Duration::from_millis(25);
            received += speed(ramp.target()) / 40;
            ramp.observe(now, received, ramp.target());
        }
        now
    }

    #[tokio::test]
    async fn it_grows_while_each_connection_brings_more() {
        let mut ramp = Ramp::new(4, 16);
        settle(&mut ramp, Instant::now(), |n| n as u64 * 40_000_000);
        assert_eq!(ramp.target(), 16);
    }

    #[tokio::test]
    async fn late_answers_make_more_connections_until_the_speed_is_known() {
        let mut ramp = Ramp::new(4, 64);
        ramp.cold();
        ramp.cold();
        assert_eq!(ramp.target(), 8);
        ramp.late(3);
        assert_eq!(ramp.target(), 11);
        ramp.late(50);
        assert_eq!(ramp.target(), LATE_MOST);
        let mut slow = Ramp::new(4, 64);
        settle(&mut slow, Instant::now(), |_| 100_000_000);
        slow.late(50);
        assert_eq!(slow.target(), 4);
        let mut refused = Ramp::new(4, 16);
        refused.refused(Instant::now());
        refused.cold();
        refused.late(9);
        assert_eq!(refused.target(), 2);
    }

    #[tokio::test]
    async fn it_goes_back_when_more_bring_nothing() {
        let mut ramp = Ramp::new(4, 16);
        settle(&mut ramp, Instant::now(), |_| 100_000_000);
        assert_eq!(ramp.target(), 4);
    }

    #[tokio::test]
    async fn it_stops_where_the_link_is_full() {
        let mut ramp = Ramp::new(4, 64);
        settle(&mut ramp, Instant::now(), |n| {
            (n as u64).min(16) * 10_000_000
        });
        assert_eq!(ramp.target(), 16);
    }

    #[tokio::test]
    async fn one_unlucky_window_does_not_stop_the_growth() {
        let mut ramp = Ramp::new(4, 16);
        let start = Instant::now();
        let mut received = 0;
        for step in 1..40_u32 {
            // For a moment after the first growth nothing moves.
            let speed = if (5..9).contains(&step) {
                0
            } else {
                ramp.target() as u64
            };
            received += speed * 1_000_000;
            ramp.observe(
                start + step * Duration::from_millis(25),
                received,
                ramp.target(),
            );
        }
        assert_eq!(ramp.target(), 16);
    }

    #[tokio::test]
    async fn a_link_that_becomes_faster_is_found_out() {
        let mut ramp = Ramp::new(4, 16);
        let now = settle(&mut ramp, Instant::now(), |_| 100_000_000);
        assert_eq!(ramp.target(), 4);
        let now = settle(&mut ramp, now, |n| n as u64 * 40_000_000);
        settle(&mut ramp, now, |n| n as u64 * 40_000_000);
        assert_eq!(ramp.target(), 16);
    }

    #[tokio::test]
    async fn connections_without_a_byte_are_waited_for() {
        let mut ramp = Ramp::new(4, 16);
        let now = Instant::now();
        for step in 0..100 {
            ramp.observe(now + Duration::from_millis(25 * step), step * 1000, 3);
        }
        assert_eq!(ramp.target(), 4);
    }

    #[tokio::test]
    async fn refusals_halve_it_once_and_stop_growth() {
        let mut ramp = Ramp::new(8, 16);
        let now = Instant::now();
        for _ in 0..8 {
            ramp.refused(now);
        }
        assert_eq!(ramp.target(), 4);
        ramp.waited(now + Duration::from_secs(1));
        settle(&mut ramp, now, |n| n as u64 * 40_000_000);
        assert_eq!(ramp.target(), 4);
        for second in 1..9 {
            ramp.refused(now + Duration::from_secs(second));
        }
        assert_eq!(ramp.target(), 1);
        ramp.waited(now + Duration::from_mins(2));
        assert_eq!(ramp.target(), 2);
    }
}
