//! Registrations and what is known to be complete.
//!
//! A registration is never overwritten by accident: adding one that exists answers the one that is there.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::convert::{count_opt, json, keys, ms, signed, signed_opt};
use super::rows::{all, select_models};
use super::writer::Tx;
use super::{Result, Store, StoreError};
use crate::domain::{CommitHash, Model, ModelId, NewModel, Origin, Readiness, RepoId};

/// What came of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// The registration, its jobs and its file rows are gone; the audit trail stays.
    Removed,
    /// There was none.
    Absent,
    /// A job for it is active.
    Busy,
}

/// What came of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// The new registration.
    Replaced(Box<Model>),
    /// There was none.
    Absent,
    /// A job for it is active and the files would differ.
    Busy,
}

/// What a registration guesses before there is a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Estimates {
    /// Bytes.
    pub(crate) bytes: Option<u64>,
    /// Files.
    pub(crate) files: Option<u64>,
}

impl Estimates {
    /// Those of a model.
    pub(crate) fn of(model: &Model) -> Self {
        Self {
            bytes: model.spec.total_size_estimate,
            files: model.spec.file_count_estimate,
        }
    }
}

/// The columns of a registration.
struct Spec<'a> {
    kind: &'static str,
    origin: &'static str,
    repo_id: Option<&'a str>,
    revision: Option<&'a str>,
    template: Option<&'a str>,
    variant: Option<&'a str>,
    allow_patterns: String,
    ignore_patterns: String,
    model_path: Option<String>,
    url_files: Option<String>,
    total_size_estimate: Option<i64>,
    file_count_estimate: Option<i64>,
}

impl<'a> Spec<'a> {
    fn of(model: &'a NewModel) -> Result<Self> {
        let none = "[]".to_owned();
        let mut spec = Self {
            kind: model.kind.as_str(),
            origin: "handler",
            repo_id: None,
            revision: None,
            template: None,
            variant: None,
            allow_patterns: none.clone(),
            ignore_patterns: none,
            model_path: None,
            url_files: None,
            total_size_estimate: signed_opt(model.total_size_estimate, "the size estimate")?,
            file_count_estimate: signed_opt(model.file_count_estimate, "the file count estimate")?,
        };
        match &model.origin {
            Origin::Hub {
                repo_id,
                revision,
                selection,
            } => {
                spec.origin = "hub";
                spec.repo_id = Some(repo_id.as_str());
                spec.revision = Some(revision.as_str());
                spec.template = selection.template.as_deref();
                spec.variant = selection.variant.as_deref();
                spec.allow_patterns = json(&selection.allow_patterns);
                spec.ignore_patterns = json(&selection.ignore_patterns);
            }
            Origin::Handler {
                model_path: Some(path),
            } => {
                let path = path.to_str().ok_or_else(|| {
                    StoreError::Conflict(format!("the path `{}` is no UTF-8 text", path.display()))
                })?;
                spec.model_path = Some(path.to_owned());
            }
            Origin::Urls { files } => spec.url_files = Some(json(files)),
            Origin::Handler { model_path: None } => {}
        }
        Ok(spec)
    }
}

impl Store {
    /// What the registrations of these models guess, by key.
    pub(crate) async fn estimates(&self, model_keys: &[i64]) -> Result<HashMap<i64, Estimates>> {
        const T: &str = "models";
        let list = keys(model_keys);
        let rows = self
            .reader()
            .rows(sqlx::query!(
                r#"SELECT model_key AS "key!", total_size_estimate AS "bytes?", file_count_estimate AS "files?"
                     FROM models WHERE model_key IN (SELECT value FROM json_each(?1))"#,
                list
            ))
            .await?;
        rows.into_iter()
            .map(|row| {
                let bytes = count_opt(row.bytes, T, "total_size_estimate")?;
                let files = count_opt(row.files, T, "file_count_estimate")?;
                Ok((row.key, Estimates { bytes, files }))
            })
            .collect()
    }

    /// Registers a model. When the id is taken, the registration that is there comes back with `false`.
    pub(crate) async fn add_model(
        &self,
        model: &NewModel,
        now: DateTime<Utc>,
    ) -> Result<(Model, bool)> {
        let model = model.clone();
        self.grouped(move |tx| Box::pin(async move { insert_model(tx, &model, now).await }))
            .await
    }

    /// Puts a registration in place of the one with the same id. What was complete stays so only when the same files are meant.
    pub(crate) async fn replace_model(
        &self,
        model: &NewModel,
        now: DateTime<Utc>,
    ) -> Result<Replacement> {
        let spec = Spec::of(model)?;
        let now = ms(now);
        let mut tx = self.writer().begin().await?;
        let Some(before) = by_id(&mut tx, &model.model_id).await? else {
            return Ok(Replacement::Absent);
        };
        let same_files = before.spec.origin == model.origin && before.spec.kind == model.kind;
        if !same_files && is_active(&mut tx, before.key).await? {
            return Ok(Replacement::Busy);
        }
        tx.exec(sqlx::query!(
            "UPDATE models SET kind = ?2, origin = ?3, repo_id = ?4, revision = ?5, template = ?6, variant = ?7,
                    allow_patterns = ?8, ignore_patterns = ?9, model_path = ?10, description = ?11,
                    total_size_estimate = ?12, file_count_estimate = ?13, updated_at_ms = ?14,
                    ready_commit = CASE WHEN ?15 THEN ready_commit END, ready_bytes = CASE WHEN ?15 THEN ready_bytes END,
                    ready_files = CASE WHEN ?15 THEN ready_files END,
                    ready_verified = CASE WHEN ?15 THEN ready_verified ELSE 0 END,
                    ready_at_ms = CASE WHEN ?15 THEN ready_at_ms END, url_files = ?16
              WHERE model_key = ?1",
            before.key,
            spec.kind,
            spec.origin,
            spec.repo_id,
            spec.revision,
            spec.template,
            spec.variant,
            spec.allow_patterns,
            spec.ignore_patterns,
            spec.model_path,
            model.description,
            spec.total_size_estimate,
            spec.file_count_estimate,
            now,
            same_files,
            spec.url_files,
        ))
        .await?;
        if repository(&before.spec.origin) != repository(&model.origin) {
            tx.exec(sqlx::query!(
                "DELETE FROM files WHERE model_key = ?1",
                before.key
            ))
            .await?;
        } else if !same_files {
            // The plans of the old selection prove nothing about the new one; a file that was found wrong stays wrong.
            tx.exec(sqlx::query!(
                "UPDATE files SET plan = NULL, updated_at_ms = ?2 WHERE model_key = ?1",
                before.key,
                now
            ))
            .await?;
        }
        let stored = by_id(&mut tx, &model.model_id)
            .await?
            .ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
        tx.commit().await?;
        Ok(Replacement::Replaced(Box::new(stored)))
    }

    /// Removes a registration with its jobs and file rows, unless a job for it is active.
    #[cfg(test)]
    pub(crate) async fn remove_model(&self, id: &ModelId) -> Result<Removal> {
        self.remove_model_and(id, || Ok(())).await
    }

    /// The same, and runs `act` (takes its files away) in that transaction; an error of `act` leaves all as it was.
    pub(crate) async fn remove_model_and<A>(&self, id: &ModelId, act: A) -> Result<Removal>
    where
        A: FnOnce() -> std::io::Result<()> + Send + 'static,
    {
        let (store, id) = (self.clone(), id.clone());
        self.to_its_end(async move {
            let mut tx = store.writer().begin().await?;
            let Some(model) = by_id(&mut tx, &id).await? else {
                return Ok(Removal::Absent);
            };
            if is_active(&mut tx, model.key).await? {
                return Ok(Removal::Busy);
            }
            tx.exec(sqlx::query!(
                "DELETE FROM models WHERE model_key = ?1",
                model.key
            ))
            .await?;
            super::publish::run(act).await?;
            tx.commit().await?;
            Ok(Removal::Removed)
        })
        .await
    }

    /// One registration by its id.
    pub(crate) async fn model(&self, id: &ModelId) -> Result<Option<Model>> {
        let id = id.as_str();
        let row = self
            .reader()
            .row(select_models!("WHERE m.model_id = ?1", id))
            .await?;
        row.map(Model::try_from).transpose()
    }

    /// One registration by its key.
    #[cfg(test)]
    pub(crate) async fn model_by_key(&self, key: i64) -> Result<Option<Model>> {
        let row = self
            .reader()
            .row(select_models!("WHERE m.model_key = ?1", key))
            .await?;
        row.map(Model::try_from).transpose()
    }

    /// Registrations in the order of their ids, after `after`.
    pub(crate) async fn models(&self, after: Option<&ModelId>, limit: u32) -> Result<Vec<Model>> {
        let (after, limit) = (after.map_or("", ModelId::as_str), i64::from(limit));
        all(self
            .reader()
            .rows(select_models!(
                "WHERE m.model_id > ?1 ORDER BY m.model_id LIMIT ?2",
                after,
                limit
            ))
            .await?)
    }

    /// Records what is complete, or that nothing is, unless the model has changed since it was read.
    ///
    /// Answers whether it did: a job that completed meanwhile knows better than whoever looked before.
    pub(crate) async fn change_readiness(
        &self,
        model: &Model,
        readiness: Option<&Readiness>,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let (before, ready) = (
            ReadyColumns::of(model.readiness.as_ref())?,
            ReadyColumns::of(readiness)?,
        );
        let (now, read_at) = (ms(now), ms(model.updated_at));
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE models SET ready_commit = ?2, ready_bytes = ?3, ready_files = ?4, ready_verified = ?5,
                        ready_at_ms = ?6, updated_at_ms = ?7
                  WHERE model_key = ?1 AND updated_at_ms = ?8 AND ready_at_ms IS ?9 AND ready_commit IS ?10",
                model.key,
                ready.commit,
                ready.bytes,
                ready.files,
                ready.verified,
                ready.since,
                now,
                read_at,
                before.since,
                before.commit,
            ))
            .await?;
        Ok(changed == 1)
    }

    /// Records what is complete, or that nothing is; answers whether the model exists.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "a part of the module's contract that its tests hold"
        )
    )]
    pub(crate) async fn set_readiness(
        &self,
        model_key: i64,
        readiness: Option<&Readiness>,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let ready = ReadyColumns::of(readiness)?;
        let now = ms(now);
        let changed = self
            .writer()
            .exec(sqlx::query!(
                "UPDATE models SET ready_commit = ?2, ready_bytes = ?3, ready_files = ?4, ready_verified = ?5,
                        ready_at_ms = ?6, updated_at_ms = ?7
                  WHERE model_key = ?1",
                model_key,
                ready.commit,
                ready.bytes,
                ready.files,
                ready.verified,
                ready.since,
                now,
            ))
            .await?;
        Ok(changed == 1)
    }
}

/// The columns of a readiness.
pub(super) struct ReadyColumns<'a> {
    pub(super) commit: Option<&'a str>,
    pub(super) bytes: Option<i64>,
    pub(super) files: Option<i64>,
    pub(super) verified: bool,
    pub(super) since: Option<i64>,
}

impl<'a> ReadyColumns<'a> {
    pub(super) fn of(readiness: Option<&'a Readiness>) -> Result<Self> {
        Ok(Self {
            commit: readiness
                .and_then(|ready| ready.commit.as_ref())
                .map(CommitHash::as_str),
            bytes: readiness
                .map(|ready| signed(ready.bytes, "the size of the model"))
                .transpose()?,
            files: readiness
                .map(|ready| signed(ready.files, "the number of files"))
                .transpose()?,
            verified: readiness.is_some_and(|ready| ready.verified),
            since: readiness.map(|ready| ms(ready.since)),
        })
    }
}

/// Adds a registration, or finds the one with its id.
async fn insert_model(tx: &mut Tx, model: &NewModel, now: DateTime<Utc>) -> Result<(Model, bool)> {
    let spec = Spec::of(model)?;
    let (id, now) = (model.model_id.as_str(), ms(now));
    let added = tx
        .exec(sqlx::query!(
            "INSERT INTO models (model_id, kind, origin, repo_id, revision, template, variant, allow_patterns,
                                 ignore_patterns, model_path, description, total_size_estimate,
                                 file_count_estimate, created_at_ms, updated_at_ms, url_files)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15)
             ON CONFLICT (model_id) DO NOTHING",
            id,
            spec.kind,
            spec.origin,
            spec.repo_id,
            spec.revision,
            spec.template,
            spec.variant,
            spec.allow_patterns,
            spec.ignore_patterns,
            spec.model_path,
            model.description,
            spec.total_size_estimate,
            spec.file_count_estimate,
            now,
            spec.url_files,
        ))
        .await?;
    let stored = by_id(tx, &model.model_id)
        .await?
        .ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
    Ok((stored, added == 1))
}

/// Whose files the rows of a model speak of: none for a model that the app brings itself.
fn repository(origin: &Origin) -> Option<&RepoId> {
    match origin {
        Origin::Hub { repo_id, .. } => Some(repo_id),
        Origin::Urls { .. } | Origin::Handler { .. } => None,
    }
}

async fn by_id(tx: &mut Tx, id: &ModelId) -> Result<Option<Model>> {
    let id = id.as_str();
    let row = tx.row(select_models!("WHERE m.model_id = ?1", id)).await?;
    row.map(Model::try_from).transpose()
}

async fn is_active(tx: &mut Tx, model_key: i64) -> Result<bool> {
    let found = tx
        .row(sqlx::query_scalar!(
            r#"SELECT job_key AS "key!" FROM jobs WHERE model_key = ?1 AND state IN ('queued', 'running')"#,
            model_key,
        ))
        .await?;
    Ok(found.is_some())
}
