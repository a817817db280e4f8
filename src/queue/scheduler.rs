//! The loop around the worker: get the lease, claim, run, repeat; stand by while another process works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::lease::{Lease, Standby};
use super::run::Ended;
use super::upkeep::Housework;
use super::worker;
use crate::domain::JobId;
use crate::store::StoreError;

/// How often a standby asks for the lock, and an idle holder for work that another process queued.
const POLL: Duration = Duration::from_millis(250);
/// How often an idle holder beats, unless its lease is so short that it must beat more often.
const IDLE_BEAT: Duration = Duration::from_secs(2);
/// Pause after an error of the database, before the next try.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// What this process does for the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Role {
    /// Nothing: it was not asked to work.
    Idle,
    /// It waits for the lease.
    Standby,
    /// It works.
    Holder,
}

/// The worker of this process.
#[derive(Debug)]
pub(crate) struct Scheduler {
    context: Arc<Context>,
    role: AtomicU8,
}

/// How a tick went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tick {
    /// A job was run.
    Worked,
    /// Nothing was due.
    Idle,
    /// The lease is lost.
    Lost,
}

impl Scheduler {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            role: AtomicU8::new(Role::Idle as u8),
        }
    }

    /// What this process does now.
    pub(crate) fn role(&self) -> Role {
        match self.role.load(Ordering::Relaxed) {
            2 => Role::Holder,
            1 => Role::Standby,
            _ => Role::Idle,
        }
    }

    /// Works until `stop`; with `only`, takes no other job.
    pub(crate) async fn run(
        &self,
        only: Option<JobId>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let mut standby = self.standby(self.context.store.settings().await?.lease_ttl);
        while !stop.is_cancelled() {
            self.set_role(Role::Standby);
            match standby.try_acquire().await {
                Ok(Some(lease)) => {
                    self.set_role(Role::Holder);
                    self.hold(lease, only, stop).await;
                }
                Ok(None) => self.pause(POLL, stop).await,
                Err(error) => {
                    tracing::warn!(%error, "The lease cannot be asked for.");
                    self.pause(ERROR_PAUSE, stop).await;
                }
            }
        }
        self.set_role(Role::Idle);
        Ok(())
    }

    /// A candidate for the lease.
    pub(crate) fn standby(&self, ttl: Duration) -> Standby {
        let context = &self.context;
        Standby::new(
            context.store.clone(),
            Arc::clone(&context.clock),
            &context.options.database,
            holder_name(),
            ttl,
        )
    }

    /// Runs at most one job under the lease.
    pub(crate) async fn tick(
        &self,
        lease: &Lease,
        only: Option<JobId>,
        stop: &CancellationToken,
    ) -> Result<Tick, StoreError> {
        let context = &self.context;
        if context.options.downloads_disabled {
            return Ok(Tick::Idle);
        }
        let (now, horizon) = (context.clock.now(), context.options.retry.backoff_max);
        // A look costs no write lock; a due time beyond the horizon means that the wall clock has jumped back.
        let due = context.store.next_due().await?;
        if due.is_none_or(|due| due > now && due <= now + horizon) {
            return Ok(Tick::Idle);
        }
        if !context.options.schedule.is_empty()
            && context
                .limit(&context.store.settings().await?)
                .is_standstill()
        {
            return Ok(Tick::Idle);
        }
        let claimed = match context.store.claim(lease.token, only, horizon, now).await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(Tick::Idle),
            Err(StoreError::Fenced) => return Ok(Tick::Lost),
            Err(error) => return Err(error),
        };
        let ended = worker::run(context, lease, claimed, stop).await;
        context.changed.notify_waiters();
        Ok(if ended == Ended::Fenced {
            Tick::Lost
        } else {
            Tick::Worked
        })
    }

    async fn hold(&self, lease: Lease, only: Option<JobId>, stop: &CancellationToken) {
        let context = &self.context;
        tracing::info!(lease.token, "Took the lease.");
        context.metrics.took_lease();
        let mut beaten = context.clock.monotonic();
        let mut housework = Housework::new(context.clock.monotonic());
        while !stop.is_cancelled() {
            let changed = context.changed.notified();
            match self.tick(&lease, only, stop).await {
                Ok(Tick::Worked) => continue,
                Ok(Tick::Idle) => {}
                Ok(Tick::Lost) => {
                    tracing::warn!(lease.token, "Lost the lease.");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "No job can be claimed.");
                    self.pause(ERROR_PAUSE, stop).await;
                }
            }
            let now = context.clock.monotonic();
            if now.saturating_sub(beaten) >= lease.trust.beat_every(IDLE_BEAT) {
                match lease.renew(&context.store, context.clock.as_ref()).await {
                    Ok(true) => beaten = now,
                    Ok(false) => {
                        tracing::warn!(lease.token, "Lost the lease.");
                        return;
                    }
                    Err(error) if lease.trust.holds() => {
                        tracing::warn!(%error, "The lease cannot be renewed.");
                    }
                    Err(error) => {
                        tracing::warn!(%error, lease.token, "The lease ran out.");
                        return;
                    }
                }
            }
            housework.run_if_due(context, stop).await;
            tokio::select! {
                () = changed => {}
                () = self.pause(POLL, stop) => {}
            }
        }
        let token = lease.token;
        match lease.release(&context.store).await {
            Ok(()) => tracing::info!(lease.token = token, "Gave the lease back."),
            Err(error) => tracing::warn!(%error, "The lease could not be given back."),
        }
    }

    async fn pause(&self, time: Duration, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    fn set_role(&self, role: Role) {
        self.role.store(role as u8, Ordering::Relaxed);
    }
}

/// Host, process and instance, for people and for telling two lives of one process id apart.
fn holder_name() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let instance = uuid::Uuid::now_v7().simple().to_string();
    format!("{host}/{}/{}", std::process::id(), &instance[20..])
}
