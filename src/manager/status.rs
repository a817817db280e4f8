//! Where a model and the queue stand: rows, the live numbers of the running job, and a look into the cache.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Result, UnifiedModelDownloadManager};
use crate::domain::{
    CacheStatus, Job, JobId, JobKind, JobState, Model, ModelId, ModelStatus, Phase, ProgressStatus,
    QueueEntry, QueueStatus, QueueSummary, Status, Timestamps, WaitReason, Waiting,
};
use crate::queue::{Numbers, Presence};

/// The longest queue that is shown.
const LONGEST_QUEUE: u32 = 1000;
/// A waiting caller looks again after this long, since another process may work.
const LOOK: Duration = Duration::from_millis(200);

impl UnifiedModelDownloadManager {
    /// Where the model stands, looked up without a request.
    ///
    /// # Errors
    /// [`super::ManagerError::UnknownModel`].
    pub async fn get_download_status(&self, model_id: &ModelId) -> Result<ModelStatus> {
        let model = self.model(model_id).await?;
        self.status_of(&model).await
    }

    /// Where the queue stands.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn get_queue_status(&self) -> Result<QueueStatus> {
        let store = &self.context.store;
        let settings = store.settings().await?;
        let live = self.live_numbers();
        let mut position = 0;
        let mut queue = Vec::new();
        for job in store.active_jobs(LONGEST_QUEUE).await? {
            // Before the plan is known, the registration's estimates stand in for it.
            let model = match job.bytes_total {
                Some(_) => None,
                None => store.model_by_key(job.model_key).await?,
            };
            let running = job.state == JobState::Running;
            position += u64::from(!running);
            queue.push(QueueEntry {
                job_id: job.id,
                model_id: job.model_id.clone(),
                kind: job.kind,
                state: self.shown_state(&job, settings.paused),
                phase: phase(&job, live.as_ref()),
                waiting: self.waiting(&job),
                queue_position: (!running).then_some(position),
                attempt: job.attempt,
                progress: progress(&job, live.as_ref(), model.as_ref()),
                enqueued_at: job.enqueued_at,
            });
        }
        Ok(QueueStatus {
            summary: self.summary().await?,
            paused: settings.paused,
            downloads_disabled: self.options.downloads_disabled,
            queue,
            lease: store.lease().await?,
        })
    }

    /// Waits until the model's job has ended or `timeout` is over, then answers the status.
    ///
    /// # Errors
    /// [`super::ManagerError::UnknownModel`].
    pub async fn wait(&self, model_id: &ModelId, timeout: Duration) -> Result<ModelStatus> {
        let give_up = tokio::time::sleep(timeout);
        tokio::pin!(give_up);
        loop {
            let changed = self.context.changed.notified();
            if self.active_job(model_id).await?.is_none() {
                return self.get_download_status(model_id).await;
            }
            tokio::select! {
                () = &mut give_up => return self.get_download_status(model_id).await,
                () = changed => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    pub(super) async fn status_of(&self, model: &Model) -> Result<ModelStatus> {
        let store = &self.context.store;
        let live = self.live_numbers();
        let job = store.last_job(model.key).await?;
        // Read after the job: a job that is seen as completed has left its readiness here.
        let (model, presence) = self.look(&self.model(model.id()).await?).await?;
        let model = &model;
        let active = job.as_ref().is_some_and(|job| !job.state.is_final());
        // A model that is being compared stays usable, and one that is only compared is not on its way.
        let fetching = job.as_ref().is_some_and(|job| {
            active && (job.kind == JobKind::Download || (job.repair && !presence.complete))
        });
        let status = match (fetching, presence.complete) {
            (true, _) => Status::Downloading,
            (false, true) => Status::Completed,
            (false, false) => Status::NotStarted,
        };
        let paused = store.settings().await?.paused;
        let state = match (&job, presence.complete) {
            // A completed job whose files have vanished is not completed any more.
            (Some(job), false) if job.state == JobState::Completed => {
                Status::NotStarted.to_string()
            }
            (Some(job), complete) if !complete || active => self.shown_state(job, paused),
            (_, true) => JobState::Completed.to_string(),
            (_, false) => Status::NotStarted.to_string(),
        };
        let queue_position = match &job {
            Some(job) if job.state == JobState::Queued => store.queue_position(job.key).await?,
            _ => None,
        };
        let progress = match &job {
            Some(job) if job.state != JobState::Completed => {
                progress(job, live.as_ref(), Some(model))
            }
            _ => resting_progress(model, &presence),
        };
        Ok(ModelStatus {
            model_id: model.id().clone(),
            kind: model.spec.kind,
            status,
            state,
            phase: job.as_ref().and_then(|job| phase(job, live.as_ref())),
            waiting: job.as_ref().and_then(|job| self.waiting(job)),
            queue_position,
            job_id: job.as_ref().map(|job| job.id),
            job_kind: job.as_ref().map(|job| job.kind),
            attempt: job.as_ref().map_or(0, |job| job.attempt),
            progress,
            timestamps: job.as_ref().map(timestamps).unwrap_or_default(),
            error: job
                .filter(|_| !presence.complete || active)
                .and_then(|job| job.failure),
            cache: cache_status(model, presence),
            queue: self.summary().await?,
        })
    }

    async fn summary(&self) -> Result<QueueSummary> {
        let counts = self.context.store.queue_counts().await?;
        Ok(QueueSummary {
            queue_size: counts.queued,
            running: counts.running.is_some(),
            currently_downloading: counts.running,
        })
    }

    fn shown_state(&self, job: &Job, queue_paused: bool) -> String {
        let word = match job.state {
            JobState::Queued if job.paused || queue_paused => "paused",
            JobState::Queued if self.waiting(job).is_some() => "waiting",
            state => state.as_str(),
        };
        word.to_owned()
    }

    fn waiting(&self, job: &Job) -> Option<Waiting> {
        if job.state != JobState::Queued {
            return None;
        }
        if self.options.downloads_disabled {
            return Some(Waiting {
                reason: WaitReason::DownloadsDisabled,
                until: job.run_after,
            });
        }
        let reason = job
            .wait_reason
            .filter(|_| job.run_after > self.clock.now())?;
        Some(Waiting {
            reason,
            until: job.run_after,
        })
    }

    /// The numbers of the job that runs here, and whose they are. To be taken before the rows are read: a job that
    /// ends in between would else be shown as running with the older numbers of its row.
    fn live_numbers(&self) -> Option<(JobId, Numbers)> {
        let live = self.context.live.current()?;
        Some((live.id, live.numbers(self.clock.as_ref())))
    }
}

fn progress(job: &Job, live: Option<&(JobId, Numbers)>, model: Option<&Model>) -> ProgressStatus {
    let mut shown = ProgressStatus {
        current_file: job.current_file.clone(),
        files_downloaded: job.files_done,
        files_total: job.files_total,
        bytes_downloaded: job.bytes_done,
        bytes_total: job.bytes_total,
        bytes_reused: job.bytes_reused,
        percent: None,
        speed_bytes_per_second: job.rate,
        eta_seconds: None,
        last_byte_at: job.last_byte_at,
        estimated: false,
    };
    let running = job.state == JobState::Running;
    if running && let Some(numbers) = numbers_of(job, live) {
        shown.current_file = numbers.current_file.clone().or(shown.current_file);
        shown.files_downloaded = numbers.files_done.max(shown.files_downloaded);
        shown.bytes_downloaded = numbers.bytes_done.max(shown.bytes_downloaded);
        shown.bytes_reused = numbers.bytes_reused;
        shown.speed_bytes_per_second = numbers.rate;
        shown.last_byte_at = numbers.last_byte_at.or(shown.last_byte_at);
    }
    if !running {
        shown.current_file = None;
        shown.speed_bytes_per_second = 0;
    }
    if let (None, Some(model)) = (shown.bytes_total, model) {
        estimate(&mut shown, model);
    }
    finish(&mut shown);
    shown
}

fn numbers_of<'l>(job: &Job, live: Option<&'l (JobId, Numbers)>) -> Option<&'l Numbers> {
    live.filter(|(id, _)| *id == job.id)
        .map(|(_, numbers)| numbers)
}

fn phase(job: &Job, live: Option<&(JobId, Numbers)>) -> Option<Phase> {
    numbers_of(job, live)
        .and_then(|numbers| numbers.phase)
        .or(job.phase)
        .filter(|_| job.state == JobState::Running)
}

/// Progress of a model for which nothing is under way: all or nothing.
fn resting_progress(model: &Model, presence: &Presence) -> ProgressStatus {
    let mut shown = ProgressStatus::default();
    if presence.complete {
        shown.files_downloaded = presence.files;
        shown.files_total = Some(presence.files);
        shown.bytes_downloaded = presence.bytes;
        shown.bytes_total = Some(presence.bytes);
    } else {
        estimate(&mut shown, model);
    }
    finish(&mut shown);
    shown
}

fn estimate(shown: &mut ProgressStatus, model: &Model) {
    shown.bytes_total = model.spec.total_size_estimate;
    shown.files_total = model.spec.file_count_estimate;
    shown.estimated = shown.bytes_total.is_some() || shown.files_total.is_some();
}

/// Fills in what follows from the counts.
fn finish(shown: &mut ProgressStatus) {
    let Some(total) = shown.bytes_total else {
        return;
    };
    let here = shown.bytes_downloaded.min(total);
    let tenths = here.saturating_mul(1000).checked_div(total).unwrap_or(1000);
    // A guess that is reached does not say that it is done.
    let tenths = if shown.estimated {
        tenths.min(999)
    } else {
        tenths
    };
    shown.percent = u32::try_from(tenths)
        .ok()
        .map(|tenths| f64::from(tenths) / 10.0);
    let rest = total.saturating_sub(shown.bytes_downloaded);
    shown.eta_seconds = rest.checked_div(shown.speed_bytes_per_second);
}

fn timestamps(job: &Job) -> Timestamps {
    let some = |time: DateTime<Utc>| Some(time);
    Timestamps {
        enqueued_at: some(job.enqueued_at),
        started_at: job.started_at,
        updated_at: some(job.updated_at),
        finished_at: job.finished_at,
    }
}

fn cache_status(model: &Model, presence: Presence) -> CacheStatus {
    CacheStatus {
        state: presence.state(),
        exists: presence.exists,
        complete: presence.complete,
        verified: presence.complete && model.readiness.as_ref().is_some_and(|ready| ready.verified),
        commit: presence.commit,
        path: presence.path,
        missing: presence.missing,
        corrupt: presence.corrupt,
    }
}
