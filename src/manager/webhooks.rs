//! Telling webhooks, in the process that works for all.

use tokio_util::sync::CancellationToken;

use super::UnifiedModelDownloadManager;
use crate::hub::Postman;
use crate::queue::{Role, outbox};

impl UnifiedModelDownloadManager {
    /// Takes over which webhooks are configured, and tells them while this process holds the lease.
    pub(super) async fn tell_webhooks(&self, stop: &CancellationToken) {
        let hooks = &self.options.webhooks;
        let (context, now) = (&self.context, self.clock.now());
        if let Err(error) = context.store.set_webhooks(hooks, now).await {
            tracing::warn!(%error, "The webhooks cannot be taken over; they are told nothing.");
            return;
        }
        if hooks.is_empty() {
            return;
        }
        match Postman::new(&self.options.webhook_networks) {
            Ok(postman) => {
                let works = || self.scheduler.role() == Role::Holder;
                outbox::run(context, &postman, hooks, works, stop).await;
            }
            Err(error) => tracing::warn!(%error, "The webhooks are told nothing."),
        }
    }
}
