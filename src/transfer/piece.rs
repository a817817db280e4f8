//! The range that one stream works on; its end may move down while the stream runs.
//!
//! Invariant: positions are claimed before bytes are taken, so two streams never hold the same byte.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::{Shown, whole};

/// A write that takes longer shows a slow disk; a shorter one is the usual work.
const HELD_UP: Duration = Duration::from_millis(100);

/// A range on its way.
#[derive(Debug)]
pub(super) struct Piece {
    /// How often the range failed in a row before this try.
    pub(super) failures: u32,
    /// A whole-file stream: it can be neither split nor taken over.
    pub(super) whole: bool,
    /// Ends the stream early; what it has is kept.
    pub(super) revoked: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    start: u64,
    at: u64,
    end: u64,
    asked: Instant,
    first_byte: Option<Instant>,
    /// Its first byte was looked at by [`Piece::came_late`].
    judged: bool,
    /// Since when the stream waits for the network; none while it waits for disk or limit.
    listening: Option<Instant>,
    /// Since when it waits for disk or limit; none while it waits for the network.
    writing: Option<Instant>,
}

impl Piece {
    /// A piece nothing of which is here.
    pub(super) fn new(
        range: Range<u64>,
        failures: u32,
        whole: bool,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            failures,
            whole,
            revoked: stop.child_token(),
            state: Mutex::new(State {
                start: range.start,
                at: range.start,
                end: range.end,
                asked: Instant::now(),
                first_byte: None,
                judged: false,
                listening: Some(Instant::now()),
                writing: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the disk or the limit is what makes the stream slow. Another connection would not be faster, and what
    /// waits in the buffers of this one would be fetched twice.
    pub(super) fn is_held_up(&self, now: Instant) -> bool {
        let writing = self.lock().writing;
        writing.is_some_and(|since| now.duration_since(since) >= HELD_UP)
    }

    /// What is left to receive.
    pub(super) fn rest(&self) -> Range<u64> {
        let state = self.lock();
        state.at..state.end
    }

    /// Claims up to `bytes` at the current position; answers the position and how many belong to the piece.
    pub(super) fn claim(&self, bytes: u64) -> (u64, u64) {
        let mut state = self.lock();
        state.first_byte.get_or_insert_with(Instant::now);
        state.wait_for_disk();
        let at = state.at;
        let count = bytes.min(state.end - at);
        state.at += count;
        (at, count)
    }

    /// The stream waits for the network from now on.
    pub(super) fn listen(&self, now: Instant) {
        let mut state = self.lock();
        state.listening = Some(now);
        state.writing = None;
    }

    /// The stream waits for the disk from now on, which is no silence of the network.
    pub(super) fn writes(&self) {
        self.lock().wait_for_disk();
    }

    /// Whether a byte has come.
    pub(super) fn is_warm(&self) -> bool {
        self.lock().first_byte.is_some()
    }

    /// Whether the first byte has come and took at least `long`; says so once.
    pub(super) fn came_late(&self, long: Duration) -> bool {
        let mut state = self.lock();
        let wait = state
            .first_byte
            .map(|first| first.duration_since(state.asked));
        wait.is_some_and(|wait| !std::mem::replace(&mut state.judged, true) && wait >= long)
    }

    /// Whether the piece was asked for so long ago and no byte has come.
    pub(super) fn is_awaited(&self, now: Instant, long: Duration) -> bool {
        let state = self.lock();
        state.first_byte.is_none() && now.duration_since(state.asked) >= long
    }

    /// Bytes that are still to come.
    pub(super) fn left(&self) -> u64 {
        let state = self.lock();
        state.end - state.at
    }

    /// Whether the first byte took longer than all the others: more such requests cost no bandwidth.
    pub(super) fn waited_most(&self, now: Instant) -> bool {
        let state = self.lock();
        state
            .first_byte
            .is_some_and(|first| first.duration_since(state.asked) > now.duration_since(first))
    }

    /// What the piece shows about waiting and speed; `None` before the first byte.
    pub(super) fn shown(&self, now: Instant) -> Option<Shown> {
        let state = self.lock();
        let first = state.first_byte?;
        let seconds = now.duration_since(first).as_secs_f64().max(1e-4);
        Some(Shown {
            wait: first.duration_since(state.asked).as_secs_f64(),
            speed: as_f64(state.at - state.start) / seconds,
        })
    }

    /// Seconds that the rest takes at the speed so far; `None` before the first byte.
    pub(super) fn seconds_left(&self, now: Instant) -> Option<f64> {
        let state = self.lock();
        let seconds = now.duration_since(state.first_byte?).as_secs_f64();
        let speed = as_f64(state.at - state.start) / seconds.max(1e-3);
        Some(as_f64(state.end - state.at) / speed.max(1.0))
    }

    /// Gives the second half of the rest away when the rest is at least `least`.
    ///
    /// Half of what is left after `wait` seconds, since whoever takes it gets its first byte only then.
    pub(super) fn split(&self, least: u64, wait: f64) -> Option<Range<u64>> {
        let mut state = self.lock();
        let rest = state.end - state.at;
        if self.whole || rest < least.max(2) {
            return None;
        }
        let speed = state.first_byte.map_or(0.0, |first| {
            let seconds = first.elapsed().as_secs_f64().max(1e-3);
            as_f64(state.at - state.start) / seconds
        });
        let meanwhile = whole(speed * wait).min(rest);
        let given = (rest - meanwhile) / 2;
        if given == 0 {
            return None;
        }
        let middle = state.end - given;
        let given = middle..state.end;
        state.end = middle;
        Some(given)
    }

    /// Gives all of the rest away when the network was silent for `patience`, and ends the stream.
    pub(super) fn take_over(&self, now: Instant, patience: Duration) -> Option<Range<u64>> {
        let mut state = self.lock();
        let silent = state
            .listening
            .map_or(Duration::ZERO, |since| now.duration_since(since));
        if self.whole || state.at == state.end || silent < patience {
            return None;
        }
        let given = state.at..state.end;
        state.end = state.at;
        self.revoked.cancel();
        Some(given)
    }
}

impl State {
    fn wait_for_disk(&mut self) {
        self.listening = None;
        self.writing.get_or_insert_with(Instant::now);
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn claimed_and_given_bytes_never_overlap() {
        let piece = Piece::new(100..200, 0, false, &CancellationToken::new());
        assert_eq!(piece.claim(30), (100, 30));
        assert_eq!(piece.split(2, 0.0), Some(165..200));
        assert_eq!(piece.claim(1000), (130, 35));
        assert_eq!(piece.claim(1000), (165, 0));
        assert_eq!(piece.split(2, 0.0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_before_the_first_byte_of_the_other_stream_is_not_given_away() {
        let piece = Piece::new(0..1000, 0, false, &CancellationToken::new());
        piece.claim(0);
        piece.listen(Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        piece.claim(200);
        assert_eq!(piece.split(2, 2.0), Some(800..1000));
        assert_eq!(piece.split(2, 60.0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_the_disk_is_held_up() {
        let piece = Piece::new(0..1000, 0, false, &CancellationToken::new());
        piece.claim(10);
        assert!(!piece.is_held_up(Instant::now()));
        tokio::time::advance(HELD_UP).await;
        assert!(piece.is_held_up(Instant::now()));
        piece.listen(Instant::now());
        tokio::time::advance(2 * HELD_UP).await;
        assert!(!piece.is_held_up(Instant::now()));
    }

    #[tokio::test]
    async fn a_whole_file_stream_gives_nothing_away() {
        let piece = Piece::new(0..200, 0, true, &CancellationToken::new());
        assert_eq!(piece.split(2, 0.0), None);
        assert_eq!(piece.take_over(Instant::now(), Duration::ZERO), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_silent_piece_is_taken_over() {
        let piece = Piece::new(0..200, 0, false, &CancellationToken::new());
        let patience = Duration::from_secs(2);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(piece.take_over(Instant::now(), patience), None);
        piece.claim(10);
        tokio::time::advance(Duration::from_mins(1)).await;
        // It waits for the disk or the limit, so the network is not to blame.
        assert_eq!(piece.take_over(Instant::now(), patience), None);
        piece.listen(Instant::now());
        assert!(!piece.revoked.is_cancelled());
        tokio::time::advance(patience).await;
        assert_eq!(piece.take_over(Instant::now(), patience), Some(10..200));
        assert!(piece.revoked.is_cancelled());
        assert!(piece.rest().is_empty());
    }
}
