//! Who may stay connected: a bounded number, and when there are too many, those go that owe the service something.
//!
//! A connection is *served* from the moment when a request is whole until its answer is made; else it *waits*: for a
//! header, for a body, for the client to read. When all seats are taken, the one that has waited longest is closed, so
//! a crowd that connects and says nothing keeps nobody out. What is served is never closed for another one. A connection
//! whose answer does not end *listens*: it leaves its seat, and how many may listen is decided by whoever answers so.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The log tells about closed connections at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// All seats.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    taken: Mutex<Taken>,
    changed: Notify,
    /// Orders the moments at which connections began to wait.
    moment: AtomicU64,
}

#[derive(Debug, Default)]
struct Taken {
    seats: BTreeMap<u64, Arc<State>>,
    next: u64,
    /// Closed for others since the log was told.
    closed: u64,
    told: Option<Instant>,
}

#[derive(Debug)]
struct State {
    /// The moment since which it waits; 0 while it is served.
    waits_since: AtomicU64,
    /// Its answer does not end.
    listens: AtomicBool,
    close: CancellationToken,
}

/// A seat of one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    state: Arc<State>,
}

impl Seats {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
            changed: Notify::new(),
            moment: AtomicU64::new(1),
        })
    }

    /// Takes a seat. Without a free one, the connection that has waited longest is closed; when all are being served,
    /// this waits.
    pub(super) async fn take(self: &Arc<Self>) -> Seat {
        loop {
            if let Some(seat) = self.try_take() {
                return seat;
            }
            self.changed.notified().await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Seat> {
        let mut taken = self.taken();
        let seated = |seat: &&Arc<State>| !seat.listens.load(Ordering::Acquire);
        if taken.seats.values().filter(seated).count() >= self.most {
            let mut leaving = taken
                .seats
                .values()
                .filter(|seat| seat.close.is_cancelled());
            if leaving.next().is_none() {
                let waits = |seat: &&Arc<State>| seat.waits_since.load(Ordering::Acquire);
                let waiting = taken.seats.values().filter(seated);
                let waiting = waiting.filter(|seat| waits(seat) > 0);
                if let Some(longest) = waiting.min_by_key(waits) {
                    longest.close.cancel();
                    taken.tell();
                }
            }
            return None;
        }
        taken.next += 1;
        let number = taken.next;
        let state = Arc::new(State {
            waits_since: AtomicU64::new(self.now()),
            listens: AtomicBool::new(false),
            close: CancellationToken::new(),
        });
        taken.seats.insert(number, Arc::clone(&state));
        Some(Seat {
            seats: Arc::clone(self),
            number,
            state,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::Relaxed)
    }
}

impl Taken {
    /// Counts a closed connection, and tells the log now and then.
    fn tell(&mut self) {
        self.closed += 1;
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            tracing::warn!(
                closed = self.closed,
                "Closed connections that waited, to let others in."
            );
            self.told = Some(Instant::now());
            self.closed = 0;
        }
    }
}

impl Seat {
    /// Ends when the connection is to be closed for another one.
    pub(super) fn closed(&self) -> CancellationToken {
        self.state.close.clone()
    }

    /// A handle that says what the connection does.
    pub(super) fn handle(&self) -> Handle {
        Handle {
            seats: Arc::clone(&self.seats),
            state: Arc::clone(&self.state),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().seats.remove(&self.number);
        self.seats.changed.notify_one();
    }
}

/// Says what a connection does.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    seats: Arc<Seats>,
    state: Arc<State>,
}

impl Handle {
    /// A request is whole.
    fn served(&self) {
        self.state.waits_since.store(0, Ordering::Release);
    }

    /// The answer is made, or the request was given up.
    pub(super) fn waits(&self) {
        let now = self.seats.now();
        self.state.waits_since.store(now, Ordering::Release);
        self.seats.changed.notify_one();
    }

    /// The answer goes on for as long as the client listens.
    pub(super) fn listens(&self) {
        self.state.listens.store(true, Ordering::Release);
        self.seats.changed.notify_one();
    }

    /// Whether [`Self::listens`] was said.
    pub(super) fn is_listening(&self) -> bool {
        self.state.listens.load(Ordering::Acquire)
    }

    /// Watches a body come; the connection is served when all of it is here.
    pub(super) fn watch<B: Body>(&self, body: B) -> Watched<B> {
        if body.is_end_stream() {
            self.served();
        }
        Watched {
            body,
            handle: self.clone(),
        }
    }
}

/// A body that tells when it is whole.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    handle: Handle,
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let poll = Pin::new(&mut self.body).poll_frame(context);
        if matches!(poll, Poll::Ready(None)) || self.body.is_end_stream() {
            self.handle.served();
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_closed(seat: &Seat) -> bool {
        seat.closed().is_cancelled()
    }

    #[tokio::test]
    async fn the_longest_waiting_goes_and_the_served_stay() {
        let seats = Seats::new(3);
        let (first, second, third) = (seats.take().await, seats.take().await, seats.take().await);
        first.handle().served();
        assert!(seats.try_take().is_none());
        assert!(!is_closed(&first) && is_closed(&second) && !is_closed(&third));
        assert!(seats.try_take().is_none());
        assert!(!is_closed(&third), "one is leaving already");
        drop(second);
        let fourth = seats.take().await;
        // Who has just been answered waits shorter than who never asked.
        first.handle().waits();
        assert!(seats.try_take().is_none());
        assert!(is_closed(&third) && !is_closed(&first) && !is_closed(&fourth));
    }

    #[tokio::test]
    async fn who_listens_is_not_closed_and_leaves_its_seat() {
        let seats = Seats::new(1);
        let first = seats.take().await;
        first.handle().served();
        first.handle().listens();
        first.handle().waits();
        let second = seats.take().await;
        assert!(!is_closed(&first), "nobody needs its seat");
        assert!(seats.try_take().is_none());
        assert!(is_closed(&second) && !is_closed(&first));
    }

    #[tokio::test]
    async fn when_all_are_served_the_next_one_waits_for_an_answer() {
        let seats = Seats::new(1);
        let only = seats.take().await;
        only.handle().served();
        let mut next = std::pin::pin!(seats.take());
        let early = tokio::time::timeout(Duration::from_millis(50), next.as_mut()).await;
        assert!(early.is_err() && !is_closed(&only));
        only.handle().waits();
        let early = tokio::time::timeout(Duration::from_millis(50), next.as_mut()).await;
        assert!(early.is_err() && is_closed(&only));
        drop(only);
        next.await;
    }
}
