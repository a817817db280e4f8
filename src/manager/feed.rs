//! What happens, told step by step: the lines of the audit trail, and how the running job gets on in between.
//!
//! Invariant: the lines are told in the order of their numbers, each once, none left out; a line that another process
//! wrote (an edit with `sqlite3` too) is told like an own one. The numbers in between are told at most four times a
//! second, and only when they have changed.

use std::collections::HashMap;
use std::time::Duration;

use super::pulse::Pulse;
use super::{ManagerError, Result, UnifiedModelDownloadManager};
use crate::domain::{
    EventId, FileProgress, FileState, JobEvent, JobId, LiveEvent, ModelId, ModelStatus,
    QueueStatus, RunningJob,
};

/// How many lines are told at once.
pub(crate) const PAGE: u32 = 50;
/// How often the running job's numbers are told at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How often the queue is looked at although nothing was written: waits end by the clock.
const QUEUE_EVERY: Duration = Duration::from_secs(1);
/// How many files under way are told.
const FILES: usize = 16;
/// How many rows are looked through for them.
const FILE_ROWS: u32 = 1000;

/// Follows what happens from a position on.
pub(crate) struct Feed {
    manager: UnifiedModelDownloadManager,
    pulse: Pulse,
    epoch: String,
    after: i64,
    /// The numbers are looked at from this moment on, on the monotonic clock.
    progress_due: Duration,
    queue_due: Duration,
    progress: Option<RunningJob>,
    queue: Option<QueueStatus>,
    /// The second that was told last.
    second: i64,
}

impl UnifiedModelDownloadManager {
    /// Tells what happens from now on.
    pub(crate) async fn feed(&self) -> Result<Feed> {
        let bounds = self.context.store.trail_bounds().await?;
        Ok(self.feed_after(bounds.epoch, bounds.newest))
    }

    /// Tells what happens behind an event.
    pub(crate) fn feed_after(&self, epoch: String, after: i64) -> Feed {
        Feed {
            manager: self.clone(),
            pulse: Pulse::new(),
            epoch,
            after,
            progress_due: Duration::ZERO,
            queue_due: Duration::ZERO,
            progress: None,
            queue: None,
            second: self.clock.now().timestamp(),
        }
    }

    /// At most [`PAGE`] lines of the trail behind that number, of all jobs or of one, with where their models stand now.
    pub(crate) async fn lines_after(
        &self,
        epoch: &str,
        after: i64,
        job: Option<JobId>,
    ) -> Result<Vec<LiveEvent>> {
        let events = match job {
            None => self.context.store.events(after, PAGE).await?,
            Some(id) => self.job_events(id, after, PAGE).await?,
        };
        let mut statuses: HashMap<ModelId, Option<Box<ModelStatus>>> = HashMap::new();
        let mut lines = Vec::with_capacity(events.len());
        for event in events {
            if let Some(id) = &event.model_id
                && !statuses.contains_key(id)
            {
                let status = self.status_if_known(id).await?;
                statuses.insert(id.clone(), status);
            }
            let status = event.model_id.as_ref().and_then(|id| statuses.get(id));
            let id = EventId {
                epoch: Some(epoch.to_owned()),
                number: event.id,
            };
            let line = JobEvent {
                status: status.cloned().flatten(),
                event,
            };
            lines.push(LiveEvent::Job(id, Box::new(line)));
        }
        Ok(lines)
    }

    /// Where the model stands; none when it is not registered any more.
    async fn status_if_known(&self, id: &ModelId) -> Result<Option<Box<ModelStatus>>> {
        match self.get_download_status(id).await {
            Ok(status) => Ok(Some(Box::new(status))),
            Err(ManagerError::UnknownModel(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Files of the running job that are being received: exact when it runs here, else as its rows say.
    async fn files_under_way(&self, id: JobId) -> Result<Vec<FileProgress>> {
        if let Some(live) = self.context.live.get(id) {
            return Ok(live.under_way(FILES));
        }
        let rows = match self.job_files(id, None, FILE_ROWS).await {
            Ok(rows) => rows,
            Err(ManagerError::UnknownJob(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let partial = rows
            .into_iter()
            .filter(|row| row.state == FileState::Partial);
        let progress = partial.map(|row| FileProgress {
            path: row.file.path.to_string(),
            size: row.file.size,
            received: row.ranges.len(),
        });
        Ok(progress.take(FILES).collect())
    }
}

impl Feed {
    /// What has happened since the last step; waits at most a tenth of a second for it, and may come back with nothing.
    ///
    /// # Errors
    /// The database cannot be read; the next step tells what this one did not.
    pub(crate) async fn step(&mut self) -> Result<Vec<LiveEvent>> {
        let mut told = Vec::new();
        let beaten = self.pulse.has_beaten(&self.manager.context).await?;
        if beaten {
            let lines = self.lines().await;
            if lines.is_err() {
                self.pulse.again();
            }
            told.extend(lines?);
        }
        let now = self.manager.clock.monotonic();
        if now >= self.queue_due || (beaten && now >= self.progress_due) {
            told.extend(self.queue().await?);
            self.queue_due = now + QUEUE_EVERY;
        }
        if now >= self.progress_due {
            self.progress_due = now + PROGRESS_EVERY;
            told.extend(self.progress().await?);
            told.extend(self.throughput());
        }
        if told.is_empty() {
            self.manager.soon().await;
        }
        Ok(told)
    }

    async fn lines(&mut self) -> Result<Vec<LiveEvent>> {
        let manager = &self.manager;
        let lines = manager.lines_after(&self.epoch, self.after, None).await?;
        if let Some(id) = lines.last().and_then(LiveEvent::id) {
            self.after = id.number;
        }
        if lines.len() >= PAGE as usize {
            self.pulse.again();
        }
        Ok(lines)
    }

    /// The queue, when it is another one than before; numbers of jobs and beats of the lease do not count.
    async fn queue(&mut self) -> Result<Option<LiveEvent>> {
        let queue = self.manager.get_queue_status().await?;
        let mut still = queue.clone();
        for entry in &mut still.queue {
            entry.progress = crate::domain::ProgressStatus::default();
            entry.phase = None;
        }
        if let Some(lease) = &mut still.lease {
            (lease.beat, lease.renewed_at, lease.expires_at) =
                (0, lease.acquired_at, lease.acquired_at);
        }
        if self.queue.as_ref() == Some(&still) {
            return Ok(None);
        }
        self.queue = Some(still);
        Ok(Some(LiveEvent::Queue(Box::new(queue))))
    }

    /// How far the running job is, when that is another number than before.
    async fn progress(&mut self) -> Result<Option<LiveEvent>> {
        let manager = &self.manager;
        let Some(id) = manager
            .overview()
            .await?
            .summary
            .currently_downloading
            .clone()
        else {
            self.progress = None;
            return Ok(None);
        };
        let Some(status) = manager.status_if_known(&id).await? else {
            return Ok(None);
        };
        let Some(job) = status.job_id.filter(|_| status.state == "running") else {
            return Ok(None);
        };
        let files = manager.files_under_way(job).await?;
        let running = RunningJob {
            status: *status,
            files,
        };
        if self.progress.as_ref() == Some(&running) {
            return Ok(None);
        }
        self.progress = Some(running.clone());
        Ok(Some(LiveEvent::Progress(Box::new(running))))
    }

    /// How fast the last whole second was, once for each.
    fn throughput(&mut self) -> Option<LiveEvent> {
        let now = self.manager.clock.now().timestamp();
        // A clock that was set back begins anew.
        let due = now > self.second + 1 || now < self.second;
        if !due {
            return None;
        }
        self.second = now - 1;
        let shown = self.progress.as_ref();
        let shown = shown.map_or(0, |job| job.status.progress.speed_bytes_per_second);
        let bytes_per_second = self.manager.flow.second(now - 1).unwrap_or(shown);
        Some(LiveEvent::Throughput {
            t: now - 1,
            bytes_per_second,
        })
    }
}
