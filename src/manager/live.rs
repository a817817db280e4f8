//! Where a listener begins: with a snapshot of everything, or behind the event that it knows.

use super::{Result, UnifiedModelDownloadManager};
use crate::domain::{
    EventId, JobId, LiveEvent, ModelId, ModelStatus, ResetReason, Resumed, ServerInfo, Snapshot,
};

/// How many models a snapshot lists.
const MOST_MODELS: u32 = 250;

/// Where a listener begins.
#[derive(Debug)]
pub(crate) enum Beginning {
    /// With everything; if it had asked for a position, then this is why it does not get it.
    Anew(Option<ResetReason>),
    /// Behind the event with this number of the database with this epoch.
    After(String, i64),
}

impl UnifiedModelDownloadManager {
    /// Which process answers.
    pub fn server_info(&self) -> ServerInfo {
        ServerInfo {
            version: env!("CARGO_PKG_VERSION"),
            instance: self.instance.to_string(),
            started_at: self.started_at,
            now: self.clock.now(),
        }
    }

    /// Whether it can go on behind that event. Number 0 stands before everything that is kept.
    pub(crate) async fn beginning(&self, after: Option<&EventId>) -> Result<Beginning> {
        let Some(after) = after else {
            return Ok(Beginning::Anew(None));
        };
        let bounds = self.context.store.trail_bounds().await?;
        let other = after.epoch.as_ref().is_some_and(|it| *it != bounds.epoch);
        let reason = if other {
            ResetReason::OtherDatabase
        } else if after.number > bounds.newest {
            ResetReason::Unknown
        } else if after.number != 0 && after.number < bounds.before_oldest {
            ResetReason::TooOld
        } else {
            return Ok(Beginning::After(bounds.epoch, after.number));
        };
        Ok(Beginning::Anew(Some(reason)))
    }

    /// The number of the newest event.
    pub(crate) async fn newest_event(&self) -> Result<i64> {
        Ok(self.context.store.trail_bounds().await?.newest)
    }

    /// Everything at this moment. Its id is not newer than what it holds: what is told behind it is never missing in it
    /// or afterwards.
    pub(crate) async fn snapshot(&self, job: Option<JobId>) -> Result<LiveEvent> {
        let bounds = self.context.store.trail_bounds().await?;
        let (jobs, truncated) = match job {
            None => self.models_of_interest().await?,
            Some(id) => (vec![self.job(id).await?.model_id], false),
        };
        let mut statuses = Vec::with_capacity(jobs.len());
        for id in jobs {
            statuses.extend(self.status_with_job(&id).await?);
        }
        let id = EventId {
            epoch: Some(bounds.epoch),
            number: bounds.newest,
        };
        let snapshot = Snapshot {
            server: self.server_info(),
            queue: self.get_queue_status().await?,
            jobs: statuses,
            truncated,
        };
        Ok(LiveEvent::Snapshot(id, Box::new(snapshot)))
    }

    /// What a listener is told first that goes on behind an event.
    pub(crate) async fn resumed(&self, epoch: &str, after: i64) -> Result<LiveEvent> {
        Ok(LiveEvent::Resumed(Box::new(Resumed {
            server: self.server_info(),
            after: format!("{epoch}:{after}"),
            queue: self.get_queue_status().await?,
        })))
    }

    /// Models in the order of the queue, then those whose jobs were made last; and whether there are more.
    async fn models_of_interest(&self) -> Result<(Vec<ModelId>, bool)> {
        let store = &self.context.store;
        let active = store.active_jobs(None, MOST_MODELS + 1).await?;
        let newest = store.jobs(None, None, None, MOST_MODELS + 1).await?;
        let most = MOST_MODELS as usize;
        let mut truncated = active.len() > most || newest.len() > most;
        let mut models: Vec<ModelId> = Vec::new();
        for job in active.into_iter().chain(newest) {
            if models.contains(&job.model_id) {
                continue;
            }
            if models.len() == most {
                truncated = true;
                break;
            }
            models.push(job.model_id);
        }
        Ok((models, truncated))
    }

    /// The status of a model whose last job was not cleared.
    async fn status_with_job(&self, id: &ModelId) -> Result<Option<ModelStatus>> {
        match self.get_download_status(id).await {
            Ok(status) => Ok(Some(status).filter(|status| status.job_id.is_some())),
            Err(super::ManagerError::UnknownModel(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
