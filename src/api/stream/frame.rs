//! Events as the bytes of a stream, written once for all who listen.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use crate::domain::{JobId, LiveEvent};

/// Bytes that may wait for slow listeners in all; the newest frame may be longer.
const MOST_BYTES: usize = 4 << 20;

/// Some events that were told together.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// All of them, for those who listen to everything.
    pub(super) whole: Bytes,
    pub(super) parts: Arc<[Part]>,
}

/// One event.
#[derive(Debug)]
pub(super) struct Part {
    /// The number of a durable one.
    pub(super) number: Option<i64>,
    /// The job that it is about.
    pub(super) job: Option<JobId>,
    /// Whether the job has ended with it.
    pub(super) ends: bool,
    pub(super) bytes: Bytes,
}

impl Frame {
    pub(super) fn new(events: &[LiveEvent]) -> Self {
        let mut text = Vec::new();
        let mut ends = Vec::with_capacity(events.len());
        for event in events {
            append(&mut text, event);
            ends.push(text.len());
        }
        let whole = Bytes::from(text);
        let mut start = 0;
        let parts = events.iter().zip(ends).map(|(event, end)| {
            let bytes = whole.slice(start..end);
            start = end;
            let durable = matches!(event, LiveEvent::Job(..));
            Part {
                number: event.id().filter(|_| durable).map(|id| id.number),
                job: event.job_id(),
                ends: event.ends_job(),
                bytes,
            }
        });
        let parts = parts.collect();
        Self { whole, parts }
    }

    /// The number of its first durable event.
    pub(super) fn first(&self) -> Option<i64> {
        self.parts.iter().find_map(|part| part.number)
    }

    /// The number of its last durable event.
    pub(super) fn last(&self) -> Option<i64> {
        self.parts.iter().rev().find_map(|part| part.number)
    }
}

/// A frame that waits for listeners, until there are too many of them.
#[derive(Debug)]
pub(super) struct Slot(Mutex<Option<Frame>>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Frame>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame; none when it was given up.
    pub(super) fn frame(&self) -> Option<Frame> {
        self.lock().clone()
    }

    fn len(&self) -> usize {
        self.lock().as_ref().map_or(0, |frame| frame.whole.len())
    }
}

/// The frames that wait for slow listeners, bounded by their bytes.
#[derive(Debug, Default)]
pub(super) struct Backlog(VecDeque<Weak<Slot>>);

impl Backlog {
    /// Adds a frame, and gives up the oldest ones when all together are too long.
    pub(super) fn add(&mut self, frame: Frame) -> Arc<Slot> {
        let slot = Arc::new(Slot(Mutex::new(Some(frame))));
        self.0.retain(|slot| slot.strong_count() > 0);
        self.0.push_back(Arc::downgrade(&slot));
        let slots: Vec<Arc<Slot>> = self.0.iter().filter_map(Weak::upgrade).collect();
        let mut bytes: usize = slots.iter().map(|slot| slot.len()).sum();
        for old in &slots[..slots.len() - 1] {
            if bytes <= MOST_BYTES {
                break;
            }
            bytes -= old.len();
            *old.lock() = None;
        }
        slot
    }
}

/// One event as bytes.
pub(super) fn write(event: &LiveEvent) -> Bytes {
    let mut text = Vec::new();
    append(&mut text, event);
    text.into()
}

fn append(text: &mut Vec<u8>, event: &LiveEvent) {
    let start = text.len();
    let written = head(text, event).and_then(|()| {
        // JSON never holds a line break of its own, so the data are one line.
        serde_json::to_writer(&mut *text, event).map_err(Into::into)
    });
    if let Err(error) = written {
        tracing::error!(%error, event = event.name(), "An event cannot be written as JSON.");
        text.truncate(start);
        return;
    }
    text.extend_from_slice(b"\n\n");
}

fn head(text: &mut Vec<u8>, event: &LiveEvent) -> std::io::Result<()> {
    writeln!(text, "event: {}", event.name())?;
    if let Some(id) = event.id() {
        writeln!(text, "id: {id}")?;
    }
    write!(text, "data: ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ResetReason;

    #[test]
    fn events_are_written_as_the_format_wants() {
        let bye = LiveEvent::Bye("lagged");
        assert_eq!(write(&bye), "event: bye\ndata: {\"reason\":\"lagged\"}\n\n");
        let frame = Frame::new(&[
            LiveEvent::Reset(ResetReason::TooOld),
            LiveEvent::Throughput {
                t: 5,
                bytes_per_second: 7,
            },
        ]);
        assert_eq!(
            frame.whole,
            "event: reset\ndata: {\"reason\":\"too_old\"}\n\nevent: throughput\ndata: {\"t\":5,\"bytes_per_second\":7}\n\n"
        );
        assert!(frame.parts[1].bytes.starts_with(b"event: throughput"));
        assert_eq!((frame.first(), frame.last()), (None, None));
    }

    #[test]
    fn frames_that_nobody_reads_are_given_up_when_they_are_too_long() {
        let frame = |bytes: usize| Frame {
            whole: Bytes::from(vec![b'x'; bytes]),
            parts: Arc::new([]),
        };
        let mut backlog = Backlog::default();
        let slots: Vec<_> = (0..6).map(|_| backlog.add(frame(1 << 20))).collect();
        let kept: Vec<bool> = slots.iter().map(|slot| slot.frame().is_some()).collect();
        assert_eq!(kept, [false, false, true, true, true, true]);
        let long = backlog.add(frame(9 << 20));
        assert!(long.frame().is_some() && slots[5].frame().is_none());
        drop((slots, long));
        let one = backlog.add(frame(1));
        assert_eq!((backlog.0.len(), one.len()), (1, 1));
    }
}
