//! Server-sent events: one pump follows the database for all who listen, and each line is written as JSON once.
//!
//! Invariant: a listener gets every durable event behind its position once and in order. What it missed is read from
//! the trail, what comes is shared; who does not keep up is told so and dropped, so memory stays bounded.

mod frame;
mod listener;
mod pump;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::problem::{Code, Problem};
use crate::domain::{EventId, Job, JobId, LiveEvent};
use crate::manager::{Beginning, UnifiedModelDownloadManager};

use frame::Slot;
use listener::Listener;

/// Listeners at a time.
const MOST_LISTENERS: usize = 256;
/// Frames that a listener may be behind before it is dropped.
const FRAMES: usize = 128;
/// A snapshot of everything is shared by those who come within this time, unless something durable has happened.
const SNAPSHOT_AGE: Duration = Duration::from_secs(1);
/// Seconds after which to ask again when there is no place.
const RETRY_AFTER: u64 = 5;

/// Marks an answer that goes on for as long as the client listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endless;

/// A snapshot as bytes, with its position.
#[derive(Debug, Clone)]
struct Written {
    epoch: String,
    number: i64,
    bytes: Bytes,
}

impl Written {
    fn new(snapshot: &LiveEvent) -> Self {
        let id = snapshot.id();
        Self {
            epoch: id.and_then(|id| id.epoch.clone()).unwrap_or_default(),
            number: id.map_or(0, |id| id.number),
            bytes: frame::write(snapshot),
        }
    }
}

/// Everything that listeners share.
#[derive(Debug)]
pub(crate) struct Streams {
    manager: UnifiedModelDownloadManager,
    draining: CancellationToken,
    frames: broadcast::Sender<Arc<Slot>>,
    /// Whether the pump runs; locked while somebody begins to listen.
    pumping: Mutex<bool>,
    places: Arc<Semaphore>,
    snapshot: Mutex<Option<(Instant, Written)>>,
    tasks: TaskTracker,
}

impl Streams {
    /// Nobody listens yet; all who will are told goodbye when `draining` ends.
    pub(crate) fn new(
        manager: UnifiedModelDownloadManager,
        draining: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            manager,
            draining,
            frames: broadcast::Sender::new(FRAMES),
            pumping: Mutex::new(false),
            places: Arc::new(Semaphore::new(MOST_LISTENERS)),
            snapshot: Mutex::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// The stream of everything, or of one job.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        after: Option<EventId>,
        job: Option<&Job>,
    ) -> Result<Response<Body>, Problem> {
        let place = self.place()?;
        let beginning = self.manager.beginning(after.as_ref()).await?;
        if let (Beginning::After(epoch, number), Some(job)) = (&beginning, job)
            && job.state.is_final()
            && *number != 0
        {
            let rest = self.manager.lines_after(epoch, *number, Some(job.id));
            if rest.await?.is_empty() {
                // A browser then stops asking again.
                let mut nothing = Response::new(Body::empty());
                *nothing.status_mut() = StatusCode::NO_CONTENT;
                return Ok(nothing);
            }
        }
        let listener = Listener::new(Arc::clone(self), beginning, job.map(|job| job.id), place);
        let body = stream::unfold(listener, async |mut listener| {
            let bytes = listener.next().await?;
            Some((Ok::<_, Infallible>(bytes), listener))
        });
        let mut response = Response::new(Body::from_stream(body));
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
            // A proxy that collects answers would hold events back.
            (HeaderName::from_static("x-accel-buffering"), "no"),
            // The connection has left its seat, so it carries nothing else afterwards.
            (header::CONNECTION, "close"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response.extensions_mut().insert(Endless);
        Ok(response)
    }

    /// How many listen now.
    pub(crate) fn listeners(&self) -> usize {
        MOST_LISTENERS.saturating_sub(self.places.available_permits())
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_full| {
                Problem::new(
                    Code::TooManyStreams,
                    format!("{MOST_LISTENERS} listeners are the most"),
                )
                .with_remedy("close streams that nobody needs, or poll the status instead")
                .with_retry_after(RETRY_AFTER)
            })
    }

    /// A snapshot of one job, or of everything and then not older than a second.
    async fn snapshot(&self, job: Option<JobId>) -> Result<Written, Problem> {
        if job.is_some() {
            return Ok(Written::new(&self.manager.snapshot(job).await?));
        }
        // One makes it for all who wait.
        let mut kept = self.snapshot.lock().await;
        if let Some((made, written)) = kept.as_ref()
            && made.elapsed() < SNAPSHOT_AGE
            && self.manager.newest_event().await? == written.number
        {
            return Ok(written.clone());
        }
        let made = Instant::now();
        let written = Written::new(&self.manager.snapshot(None).await?);
        *kept = Some((made, written.clone()));
        Ok(written)
    }

    /// Begins to listen to what the pump tells. What was committed before this returns must be read from the trail.
    async fn subscribe(self: &Arc<Self>) -> Result<broadcast::Receiver<Arc<Slot>>, Problem> {
        let mut pumping = self.pumping.lock().await;
        let receiver = self.frames.subscribe();
        if !*pumping {
            // Its position is taken here, so that nothing lies between it and what the listener then reads.
            let feed = self.manager.feed().await?;
            self.tasks.spawn(pump::run(Arc::clone(self), feed));
            *pumping = true;
        }
        Ok(receiver)
    }

    fn bye(reason: &'static str) -> Bytes {
        frame::write(&LiveEvent::Bye(reason))
    }
}
