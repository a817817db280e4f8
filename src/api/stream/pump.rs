//! The pump: follows the database while anybody listens, and hands each step to all of them at once.

use std::sync::Arc;
use std::time::Duration;

use super::Streams;
use super::frame::{Backlog, Frame};
use crate::manager::Feed;

/// Pause after an error of the database.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// Pumps until nobody listens any more or the service stops.
pub(super) async fn run(streams: Arc<Streams>, mut feed: Feed) {
    let mut backlog = Backlog::default();
    loop {
        if streams.frames.receiver_count() == 0 {
            let mut pumping = streams.pumping.lock().await;
            // Nobody can begin to listen while the lock is held.
            if streams.frames.receiver_count() == 0 {
                *pumping = false;
                return;
            }
        }
        let step = tokio::select! {
            () = streams.draining.cancelled() => return,
            step = feed.step() => step,
        };
        match step {
            Ok(events) if events.is_empty() => {}
            Ok(events) => {
                let slot = backlog.add(Frame::new(&events));
                // Nobody listens any more: the next round finds that out.
                drop(streams.frames.send(slot));
            }
            Err(error) => {
                tracing::warn!(%error, "The events cannot be read.");
                tokio::select! {
                    () = streams.draining.cancelled() => return,
                    () = tokio::time::sleep(ERROR_PAUSE) => {}
                }
            }
        }
    }
}
