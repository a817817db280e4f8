//! Promotion: the row of a model says what the cache holds, however it came there or went away.
//!
//! Invariant: a change is written only if nobody changed the row since it was read, so a look never undoes what a
//! job recorded. A look that cannot be written is still a look: its answer stands.

use tokio_util::sync::CancellationToken;

use super::{Result, UnifiedModelDownloadManager};
use crate::domain::{Model, ModelId, Origin};
use crate::queue::Presence;

/// How many registrations are read at once.
const PAGE: u32 = 100;

impl UnifiedModelDownloadManager {
    /// Looks what of the model is in the cache, and brings its row in line; asks the hub nothing.
    pub(super) async fn look(&self, model: &Model) -> Result<(Model, Presence)> {
        let presence = self.context.presence(model).await?;
        let now = self.clock.now();
        let readiness = match (&model.readiness, presence.readiness(now)) {
            (None, Some(readiness)) => Some(readiness),
            // Another commit serves now: what was compared of the old one says nothing about it.
            (Some(before), Some(found)) if before.commit != found.commit => Some(found),
            // Of an app's own model the row is the only proof: it comes back when its place does.
            (Some(_), None) if !matches!(model.spec.origin, Origin::Handler { .. }) => None,
            _ => return Ok((model.clone(), presence)),
        };
        let store = &self.context.store;
        let written = store.change_readiness(model, readiness.as_ref(), now).await;
        match written {
            Ok(true) => {
                if readiness.is_some() {
                    tracing::info!(model.id = %model.id(), "The model is in the cache already.");
                } else {
                    tracing::warn!(model.id = %model.id(), "Files of a complete model are gone.");
                }
            }
            Ok(false) => return Ok((model.clone(), presence)),
            Err(error) => {
                tracing::warn!(model.id = %model.id(), %error, "What is in the cache cannot be noted.");
            }
        }
        let model = Model {
            readiness,
            updated_at: now,
            ..model.clone()
        };
        Ok((model, presence))
    }

    /// Notes that a model is complete when it is, however it came here.
    pub(super) async fn promote(&self, model: Model) -> Result<Model> {
        Ok(self.look(&model).await?.0)
    }

    /// Looks at every registration once, one after the other, until `stop`.
    pub(super) async fn promote_all(&self, stop: &CancellationToken) {
        let mut after: Option<ModelId> = None;
        let mut looked_at = 0_u64;
        while !stop.is_cancelled() {
            let page = match self.context.store.models(after.as_ref(), PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "The registrations cannot be read.");
                    return;
                }
            };
            let Some(last) = page.last() else {
                tracing::debug!(models = looked_at, "Looked for all models in the cache.");
                return;
            };
            after = Some(last.id().clone());
            for model in &page {
                if stop.is_cancelled() {
                    return;
                }
                looked_at += 1;
                if let Err(error) = self.look(model).await {
                    tracing::warn!(model.id = %model.id(), %error, "The model cannot be looked for.");
                }
            }
        }
    }
}
