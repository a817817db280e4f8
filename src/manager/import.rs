//! Import: files that are on this machine already need not be fetched.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::plan::wanted;
use super::{Result, UnifiedModelDownloadManager};
use crate::domain::{AdoptedHow, Adoption, ModelId};
use crate::queue::{adopt, blocking};

impl UnifiedModelDownloadManager {
    /// Takes what lies at `place` (a folder, or one file) into the cache, as far as it belongs to the model.
    ///
    /// The hub is asked which files the model has; each is compared with its digest before it gets its final name, so a
    /// wrong file changes nothing. The files at `place` are only read. What is missing then is for a download, which
    /// also makes the snapshot. When this is dropped it ends after the file under way.
    ///
    /// # Errors
    /// [`super::ManagerError::UnknownModel`]; [`super::ManagerError::Invalid`] for a model that does not come from the
    /// hub; a failure of the hub or of the disk.
    pub async fn import(
        &self,
        model_id: &ModelId,
        place: PathBuf,
        how: AdoptedHow,
    ) -> Result<Adoption> {
        let model = self.model(model_id).await?;
        let wants = wanted(&model.spec)?;
        let hub = &self.context.hub;
        let info = hub.resolve_revision(&wants.repo_id, &wants.revision).await;
        let commit = info.map_err(|error| error.failure())?.commit;
        let files = self.context.outline(&wants, &commit).await?.files();
        let (cache, repo) = (Arc::clone(&self.context.cache), wants.repo_id.clone());
        let dropped = CancellationToken::new();
        let _on_drop = dropped.clone().drop_guard();
        let adoption = blocking(move || {
            adopt(&cache, &repo, &files, &place, how, &|| {
                !dropped.is_cancelled()
            })
        })
        .await??;
        Ok(adoption.unwrap_or_default())
    }
}
