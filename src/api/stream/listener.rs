//! One who listens: first what it missed, then what comes, at its own pace and never more than a few frames behind.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::frame::{self, Frame, Slot};
use super::{Problem, Streams};
use crate::domain::{JobId, LiveEvent, ResetReason};
use crate::manager::{Beginning, PAGE};

/// A comment is sent after this time without an event, so that proxies and both ends know that the other one lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a browser waits before it connects again, in milliseconds.
const RETRY: &str = "retry: 2000\n\n";

/// What it does next.
#[derive(Debug)]
enum Stage {
    /// Tell where it begins.
    Begin(Beginning),
    /// Read what is in the trail, before it listens (without a receiver) and once afterwards.
    CatchUp(Option<Receiver<Arc<Slot>>>),
    /// Hand on what comes.
    Follow(Receiver<Arc<Slot>>),
    /// Nothing more.
    Ended,
}

/// One who listens.
#[derive(Debug)]
pub(super) struct Listener {
    streams: Arc<Streams>,
    job: Option<JobId>,
    stage: Stage,
    epoch: String,
    /// The number of the last event that was handed on.
    after: i64,
    ready: VecDeque<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    pub(super) fn new(
        streams: Arc<Streams>,
        beginning: Beginning,
        job: Option<JobId>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            streams,
            job,
            stage: Stage::Begin(beginning),
            epoch: String::new(),
            after: 0,
            ready: VecDeque::from([Bytes::from_static(RETRY.as_bytes())]),
            _place: place,
        }
    }

    /// The next bytes; none at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            let draining = self.streams.draining.clone();
            let stage = std::mem::replace(&mut self.stage, Stage::Ended);
            if matches!(stage, Stage::Ended) {
                return None;
            }
            tokio::select! {
                biased;
                () = draining.cancelled() => self.end("shutdown"),
                done = self.advance(stage) => match done {
                    Ok(stage) => self.stage = stage,
                    // The stream has begun, so the refusal cannot be an answer any more: the client comes again.
                    Err(problem) => {
                        tracing::warn!(code = problem.code(), "A stream of events broke off.");
                        return None;
                    }
                },
            }
        }
    }

    fn end(&mut self, reason: &'static str) {
        self.ready.push_back(Streams::bye(reason));
        self.stage = Stage::Ended;
    }

    async fn advance(&mut self, stage: Stage) -> Result<Stage, Problem> {
        match stage {
            Stage::Begin(beginning) => {
                self.begin(beginning).await?;
                Ok(Stage::CatchUp(None))
            }
            Stage::CatchUp(receiver) => self.catch_up(receiver).await,
            Stage::Follow(receiver) => Ok(self.follow(receiver).await),
            Stage::Ended => Ok(Stage::Ended),
        }
    }

    async fn begin(&mut self, beginning: Beginning) -> Result<(), Problem> {
        let manager = self.streams.manager.clone();
        match beginning {
            Beginning::After(epoch, number) => {
                let resumed = manager.resumed(&epoch, number).await?;
                self.ready.push_back(frame::write(&resumed));
                (self.epoch, self.after) = (epoch, number);
            }
            Beginning::Anew(reason) => {
                if let Some(reason) = reason {
                    self.ready
                        .push_back(frame::write(&LiveEvent::Reset(reason)));
                }
                let snapshot = self.streams.snapshot(self.job).await?;
                self.ready.push_back(snapshot.bytes);
                (self.epoch, self.after) = (snapshot.epoch, snapshot.number);
            }
        }
        Ok(())
    }

    /// Reads a page of the trail. After the last one it listens, and reads once more what came before it listened.
    async fn catch_up(&mut self, receiver: Option<Receiver<Arc<Slot>>>) -> Result<Stage, Problem> {
        let manager = self.streams.manager.clone();
        let lines = manager
            .lines_after(&self.epoch, self.after, self.job)
            .await?;
        let whole = lines.len() < PAGE as usize;
        let frame = Frame::new(&lines);
        // Numbers follow each other; where one is missing, the housework was faster than the listener.
        let gap = self.job.is_none() && self.after > 0;
        if gap && frame.first().is_some_and(|first| first > self.after + 1) {
            return Ok(Stage::Begin(Beginning::Anew(Some(ResetReason::TooOld))));
        }
        if let Some(last) = frame.last() {
            self.after = last;
            self.ready.push_back(frame.whole);
        }
        match receiver {
            None if whole => Ok(Stage::CatchUp(Some(self.streams.subscribe().await?))),
            Some(receiver) if whole => self.followed(receiver).await,
            receiver => Ok(Stage::CatchUp(receiver)),
        }
    }

    /// Goes on with what comes, unless the job has ended.
    async fn followed(&mut self, receiver: Receiver<Arc<Slot>>) -> Result<Stage, Problem> {
        if let Some(id) = self.job {
            let job = self.streams.manager.job(id).await?;
            let told = self
                .streams
                .manager
                .lines_after(&self.epoch, self.after, self.job);
            if job.state.is_final() && told.await?.is_empty() {
                self.ready.push_back(Streams::bye("ended"));
                return Ok(Stage::Ended);
            }
        }
        Ok(Stage::Follow(receiver))
    }

    async fn follow(&mut self, mut receiver: Receiver<Arc<Slot>>) -> Stage {
        match tokio::time::timeout(KEEP_ALIVE, receiver.recv()).await {
            Err(_quiet) => {
                self.ready
                    .push_back(Bytes::from_static(b": keep-alive\n\n"));
                Stage::Follow(receiver)
            }
            Ok(Ok(slot)) => {
                let Some(frame) = slot.frame() else {
                    return self.lagged();
                };
                if self.hand_on(&frame) {
                    self.ready.push_back(Streams::bye("ended"));
                    return Stage::Ended;
                }
                Stage::Follow(receiver)
            }
            Ok(Err(RecvError::Lagged(_))) => self.lagged(),
            // The pump holds the sender for as long as anybody listens.
            Ok(Err(RecvError::Closed)) => Stage::Ended,
        }
    }

    fn lagged(&mut self) -> Stage {
        tracing::info!("A listener does not keep up and is dropped.");
        self.ready.push_back(Streams::bye("lagged"));
        Stage::Ended
    }

    /// Hands on what is new and asked for; whether the job has ended with it.
    fn hand_on(&mut self, frame: &Frame) -> bool {
        let fresh = frame.first().is_none_or(|first| first > self.after);
        if self.job.is_none() && fresh {
            self.after = frame.last().unwrap_or(self.after);
            self.ready.push_back(frame.whole.clone());
            return false;
        }
        let mut ended = false;
        for part in frame.parts.iter() {
            let known = part.number.is_some_and(|number| number <= self.after);
            let asked_for = self.job.is_none() || part.job == self.job;
            if known || !asked_for {
                continue;
            }
            self.after = part.number.unwrap_or(self.after);
            self.ready.push_back(part.bytes.clone());
            ended |= self.job.is_some() && part.ends;
        }
        ended
    }
}
