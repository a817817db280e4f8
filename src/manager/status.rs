//! Where a model stands: rows and a look into the cache, kept in memory while nothing changes, and the live numbers of
//! the running job.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::progress::{phase, progress, resting_progress};
use super::queue::Overview;
use super::{Result, UnifiedModelDownloadManager};
use crate::domain::{
    CacheStatus, Job, JobId, JobKind, JobState, Model, ModelId, ModelStatus, Status, Timestamps,
    WaitReason, Waiting,
};
use crate::queue::{Numbers, Presence};
use crate::store::Estimates;

/// A waiting caller looks again after this long, since another process may work.
const LOOK: Duration = Duration::from_millis(200);

/// What a model's status is made of, without the numbers that change all the time.
#[derive(Debug)]
pub(super) struct ModelView {
    model: Model,
    presence: Presence,
    job: Option<Job>,
    queue_position: Option<u64>,
}

impl UnifiedModelDownloadManager {
    /// Where the model stands, looked up without a request.
    ///
    /// # Errors
    /// [`super::ManagerError::UnknownModel`].
    pub async fn get_download_status(&self, model_id: &ModelId) -> Result<ModelStatus> {
        self.status_by_id(model_id).await
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

    /// Where the model stands; of a model that was just changed by this process never the state before.
    pub(super) async fn status_of(&self, model: &Model) -> Result<ModelStatus> {
        self.status_by_id(model.id()).await
    }

    async fn status_by_id(&self, id: &ModelId) -> Result<ModelStatus> {
        // Before the rows: a job that ends in between would else be shown as running with the older numbers of its row.
        let live = self.live_numbers();
        let kept = self.kept.models.of(id);
        // Files vanish without a word: a complete model is looked at anew each time.
        let lasts = |view: &ModelView| !view.presence.complete;
        let view = kept.get(&self.context, lasts, || self.view(id)).await?;
        let overview = self.overview().await?;
        Ok(self.shown(&view, &overview, live.as_ref()))
    }

    /// Where a model stands whose job was made just now, as it was looked at right before.
    pub(super) async fn status_of_new(
        &self,
        model: Model,
        presence: Presence,
        job: Job,
    ) -> Result<ModelStatus> {
        let queue_position = self.context.store.queue_position(job.key).await?;
        let overview = self.overview().await?;
        let view = ModelView {
            model,
            presence,
            job: Some(job),
            queue_position,
        };
        Ok(self.shown(&view, &overview, None))
    }

    async fn view(&self, id: &ModelId) -> Result<ModelView> {
        let store = &self.context.store;
        let model = self.model(id).await?;
        let job = store.last_job(model.key).await?;
        // Read after the job: a job that is seen as completed has left its readiness here.
        let model = match &job {
            Some(_) => self.model(id).await?,
            None => model,
        };
        let (model, presence) = self.look(&model).await?;
        let queue_position = match &job {
            Some(job) if job.state == JobState::Queued => store.queue_position(job.key).await?,
            _ => None,
        };
        Ok(ModelView {
            model,
            presence,
            job,
            queue_position,
        })
    }

    fn shown(
        &self,
        view: &ModelView,
        overview: &Overview,
        live: Option<&(JobId, Numbers)>,
    ) -> ModelStatus {
        let ModelView {
            model,
            presence,
            job,
            queue_position,
        } = view;
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
        let state = match (job, presence.complete) {
            // A completed job whose files have vanished is not completed any more.
            (Some(job), false) if job.state == JobState::Completed => {
                Status::NotStarted.to_string()
            }
            (Some(job), complete) if !complete || active => self.shown_state(job, overview.held),
            (_, true) => JobState::Completed.to_string(),
            (_, false) => Status::NotStarted.to_string(),
        };
        let progress = match job {
            Some(job) if job.state != JobState::Completed => {
                progress(job, live, Some(&Estimates::of(model)))
            }
            _ => resting_progress(model, presence),
        };
        ModelStatus {
            model_id: model.id().clone(),
            kind: model.spec.kind,
            status,
            state,
            phase: job.as_ref().and_then(|job| phase(job, live)),
            waiting: job.as_ref().and_then(|job| self.waiting(job)),
            queue_position: *queue_position,
            job_id: job.as_ref().map(|job| job.id),
            job_kind: job.as_ref().map(|job| job.kind),
            attempt: job.as_ref().map_or(0, |job| job.attempt),
            progress,
            timestamps: job.as_ref().map(timestamps).unwrap_or_default(),
            error: job
                .as_ref()
                .filter(|_| !presence.complete || active)
                .and_then(|job| job.failure.clone()),
            cache: cache_status(model, presence),
            queue: overview.summary.clone(),
        }
    }

    pub(super) fn shown_state(&self, job: &Job, queue_paused: bool) -> String {
        let word = match job.state {
            JobState::Queued if job.paused || queue_paused => "paused",
            JobState::Queued if self.waiting(job).is_some() => "waiting",
            state => state.as_str(),
        };
        word.to_owned()
    }

    pub(super) fn waiting(&self, job: &Job) -> Option<Waiting> {
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
    pub(super) fn live_numbers(&self) -> Option<(JobId, Numbers)> {
        let live = self.context.live.current()?;
        Some((live.id, live.numbers(self.clock.as_ref())))
    }
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

fn cache_status(model: &Model, presence: &Presence) -> CacheStatus {
    CacheStatus {
        state: presence.state(),
        exists: presence.exists,
        complete: presence.complete,
        verified: presence.complete && model.readiness.as_ref().is_some_and(|ready| ready.verified),
        commit: presence.commit.clone(),
        path: presence.path.clone(),
        missing: presence.missing.clone(),
        corrupt: presence.corrupt.clone(),
    }
}
