//! Where the queue stands: its numbers, and a page of its jobs.
//!
//! The first page is kept in memory while nothing changes; later ones are read. No answer is longer than
//! [`LONGEST_QUEUE`] jobs, however many wait: `next` says that there are more.

use std::collections::HashMap;

use super::progress::{phase, progress};
use super::{Result, UnifiedModelDownloadManager};
use crate::domain::{
    Job, JobId, JobState, LeaseInfo, LimitOrigin, LimitStatus, LimitedBy, QueueEntry, QueueStatus,
    QueueSummary,
};
use crate::queue::Numbers;
use crate::store::Estimates;

/// The longest page.
pub(crate) const LONGEST_QUEUE: u32 = 1000;
/// The page that is kept.
const USUAL_QUEUE: u32 = 100;

/// What holds for the whole queue.
#[derive(Debug)]
pub(super) struct Overview {
    pub(super) paused: bool,
    /// Whether nothing runs, because of a person or of a window.
    pub(super) held: bool,
    pub(super) summary: QueueSummary,
}

/// A page of the queue as its rows say.
#[derive(Debug)]
pub(super) struct QueueView {
    jobs: Vec<Job>,
    /// Before the plan is known, the registration's estimates stand in for it.
    estimates: HashMap<i64, Estimates>,
    /// The place of the last job before this page.
    before: u64,
    more: bool,
    lease: Option<LeaseInfo>,
}

impl UnifiedModelDownloadManager {
    /// Where the queue stands, with the first 100 of its jobs.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn get_queue_status(&self) -> Result<QueueStatus> {
        self.queue_page(None, USUAL_QUEUE).await
    }

    /// Where the queue stands, with at most `limit` (1 to 1000) of its jobs; with `after`, only those behind that job.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn queue_page(&self, after: Option<JobId>, limit: u32) -> Result<QueueStatus> {
        let limit = limit.clamp(1, LONGEST_QUEUE);
        let live = self.live_numbers();
        if after.is_none() && limit == USUAL_QUEUE {
            let kept =
                self.kept
                    .queue
                    .get(&self.context, |_| true, || self.queue_view(None, limit));
            let view = kept.await?;
            return Ok(self.shown_queue(&view, &*self.overview().await?, live.as_ref()));
        }
        let view = self.queue_view(after, limit).await?;
        Ok(self.shown_queue(&view, &*self.overview().await?, live.as_ref()))
    }

    /// The numbers of the queue.
    pub(super) async fn overview(&self) -> Result<std::sync::Arc<Overview>> {
        let read = || async {
            let store = &self.context.store;
            let settings = store.settings().await?;
            let limit = self.context.limit(&settings);
            let counts = store.queue_counts().await?;
            Ok(Overview {
                paused: settings.paused,
                held: settings.paused || limit.is_standstill(),
                summary: QueueSummary {
                    queue_size: counts.queued,
                    running: counts.running.is_some(),
                    currently_downloading: counts.running,
                    limit,
                },
            })
        };
        self.kept.overview.get(&self.context, |_| true, read).await
    }

    async fn queue_view(&self, after: Option<JobId>, limit: u32) -> Result<QueueView> {
        let store = &self.context.store;
        let mut jobs = store.active_jobs(after, limit + 1).await?;
        let more = jobs.len() > limit as usize;
        jobs.truncate(limit as usize);
        let unplanned: Vec<i64> = jobs
            .iter()
            .filter(|job| job.bytes_total.is_none())
            .map(|job| job.model_key)
            .collect();
        let estimates = match unplanned.as_slice() {
            [] => HashMap::new(),
            keys => store.estimates(keys).await?,
        };
        let before = match after {
            None => 0,
            Some(id) => store.places_before(id).await?,
        };
        Ok(QueueView {
            jobs,
            estimates,
            before,
            more,
            lease: store.lease().await?,
        })
    }

    fn shown_queue(
        &self,
        view: &QueueView,
        overview: &Overview,
        live: Option<&(JobId, Numbers)>,
    ) -> QueueStatus {
        let mut position = view.before;
        let entry = |job: &Job| {
            let running = job.state == JobState::Running;
            position += u64::from(!running);
            QueueEntry {
                job_id: job.id,
                model_id: job.model_id.clone(),
                kind: job.kind,
                state: self.shown_state(job, overview.held),
                phase: phase(job, live),
                waiting: self.waiting(job),
                queue_position: (!running).then_some(position),
                attempt: job.attempt,
                progress: progress(job, live, view.estimates.get(&job.model_key)),
                enqueued_at: job.enqueued_at,
            }
        };
        QueueStatus {
            summary: overview.summary.clone(),
            paused: overview.paused,
            bandwidth_limit: overview.summary.limit.bytes_per_second,
            limited_by: limited_by(&overview.summary.limit),
            downloads_disabled: self.options.downloads_disabled,
            queue: view.jobs.iter().map(entry).collect(),
            next: view.jobs.last().filter(|_| view.more).map(|job| job.id),
            lease: view.lease.clone(),
        }
    }
}

/// What people are told of an open window.
fn limited_by(limit: &LimitStatus) -> Option<LimitedBy> {
    if limit.why != LimitOrigin::Window {
        return None;
    }
    let window = limit.window.as_deref().unwrap_or_default();
    let what = match limit.bytes_per_second {
        Some(0) => "Downloads stand still",
        Some(_) => "Downloads are slower",
        None => return None,
    };
    Some(LimitedBy {
        text: format!("{what}: {window}."),
        until: limit.until,
    })
}
