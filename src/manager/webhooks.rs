//! Telling webhooks, in the process that works for all.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::UnifiedModelDownloadManager;
use crate::hub::Postman;
use crate::queue::{Role, outbox};

/// Pause before the database is asked again.
const PAUSE: Duration = Duration::from_millis(500);

impl UnifiedModelDownloadManager {
    /// Takes over which webhooks are configured, and tells them while this process holds the lease.
    pub(super) async fn tell_webhooks(&self, stop: &CancellationToken) {
        let hooks = &self.options.webhooks;
        let (context, clock) = (&self.context, &self.clock);
        let works = || self.scheduler.role() == Role::Holder;
        // A standby that was told of none must not take away those of the process that works.
        while !stop.is_cancelled() {
            if !hooks.is_empty() || works() {
                match context.store.set_webhooks(hooks, clock.now()).await {
                    Ok(()) => break,
                    Err(error) => tracing::warn!(%error, "The webhooks cannot be taken over yet."),
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        if hooks.is_empty() {
            return;
        }
        match Postman::new(&self.options.webhook_networks) {
            Ok(postman) => outbox::run(context, &postman, hooks, works, stop).await,
            Err(error) => tracing::warn!(%error, "The webhooks are told nothing."),
        }
    }
}
