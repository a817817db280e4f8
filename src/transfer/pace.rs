//! How large a piece should be: large enough that the wait for its first byte does not count, no larger.
//!
//! Smaller pieces keep the hash closer behind what was received. Pure: it is told what ended pieces showed.

use super::options::Options;

/// A piece takes this many times as long as the wait for its first byte: 6 % are lost to waiting.
const TIMES: f64 = 16.0;
/// How much the last piece counts.
const WEIGHT: f64 = 0.25;
/// No piece is shorter than this part of the longest.
const PARTS: u64 = 4;

/// What the streams showed so far.
#[derive(Debug, Default)]
pub(super) struct Pace {
    known: Option<Shown>,
}

/// What one piece showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// Seconds until the first byte.
    pub(super) wait: f64,
    /// Bytes per second from then on.
    pub(super) speed: f64,
}

impl Pace {
    /// Takes in what a piece that ended showed.
    pub(super) fn learn(&mut self, shown: Shown) {
        let mixed = self.known.map_or(shown, |known| Shown {
            wait: known.wait + (shown.wait - known.wait) * WEIGHT,
            speed: known.speed + (shown.speed - known.speed) * WEIGHT,
        });
        self.known = Some(mixed);
    }

    /// The length that pieces should have at most.
    pub(super) fn longest(&self, options: &Options) -> u64 {
        let least = options.min_piece.max(1);
        let most = options.max_piece.max(least);
        let Some(Shown { wait, speed }) = self.known else {
            return most;
        };
        whole(wait * speed * TIMES)
            .next_multiple_of(1 << 20)
            .clamp(least, most)
    }

    /// Seconds until the first byte of a piece.
    pub(super) fn wait(&self) -> f64 {
        self.known.map_or(0.0, |known| known.wait)
    }

    /// The length that pieces should have at least.
    pub(super) fn shortest(&self, options: &Options) -> u64 {
        let least = options.min_piece.max(1);
        if self.known.is_none() {
            return least;
        }
        least.max(self.longest(options) / PARTS)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits exactly"
)]
pub(super) fn whole(bytes: f64) -> u64 {
    bytes.clamp(0.0, 1e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(wait: f64, speed: f64) -> u64 {
        let mut pace = Pace::default();
        pace.learn(Shown { wait, speed });
        pace.longest(&Options::default())
    }

    #[test]
    fn long_waits_and_fast_streams_make_long_pieces() {
        let options = Options::default();
        assert_eq!(longest(0.0001, 5e8), options.min_piece);
        assert_eq!(longest(0.06, 4e7), options.max_piece);
        assert_eq!(longest(0.02, 4e7), 13 << 20);
        assert_eq!(longest(f64::INFINITY, 1.0), options.max_piece);
        assert_eq!(Pace::default().longest(&options), options.max_piece);
        assert_eq!(Pace::default().shortest(&options), options.min_piece);
    }

    #[test]
    fn one_odd_piece_changes_little() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.learn(Shown {
                wait: 0.02,
                speed: 4e7,
            });
        }
        pace.learn(Shown {
            wait: 0.0,
            speed: 4e7,
        });
        assert!(pace.longest(&Options::default()) >= 9 << 20);
    }
}
