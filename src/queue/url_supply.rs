//! Files by their addresses as the source of a model.
//!
//! Each attempt asks each server for the first byte of what is not here: its length, and what tells this version from
//! another. A file with a known hash goes on whatever the server calls it, as the hash decides in the end. Without one
//! the version is a part of the digest's place, so another version is another file of which nothing is here yet; and
//! where a server names no version, each attempt is one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use super::context::Context;
use super::fetch::blocking;
use super::plan::{self, Plan};
use super::run::{Run, Stop};
use super::source::ReaderSource;
use super::supply::{Place, Supply};
use super::verify_plan;
use crate::cache::CacheError;
use crate::domain::{
    CommitHash, Digest, Failure, FailureCode, FileRow, FileState, PlannedFile, RepoPath, UrlFile,
    random_hex, unhashed, version_of,
};
use crate::hub::{Seen, Validator, Web};
use crate::store::NewPlan;
use crate::transfer::Source;

/// How many servers are asked at a time.
pub(super) const AT_A_TIME: usize = 8;

/// The files of a registration.
#[derive(Debug)]
pub(super) struct UrlSupply {
    web: Web,
    place: Place,
    files: HashMap<RepoPath, UrlFile>,
    version: CommitHash,
    /// What the servers said in this attempt.
    seen: Mutex<HashMap<RepoPath, Seen>>,
}

/// The fingerprint under which a plan of this version is stored.
pub(super) fn plan_key(version: &CommitHash) -> String {
    format!("urls-{version}")
}

impl UrlSupply {
    pub(super) fn new(context: &Context, place: Place, files: &[UrlFile]) -> Self {
        Self {
            web: context.web.clone(),
            place,
            version: version_of(files),
            files: files
                .iter()
                .map(|file| (file.path.clone(), file.clone()))
                .collect(),
            seen: Mutex::default(),
        }
    }

    async fn make(&self, run: &Arc<Run>) -> Result<Plan, Stop> {
        let context = &run.context;
        let before = context.store.files_of(run.model.key, &self.version).await;
        let before = before.map_err(|error| run.stopped_by(&error))?;
        let before: HashMap<RepoPath, FileRow> = before
            .into_iter()
            .map(|row| (row.file.path.clone(), row))
            .collect();
        let offline = context.options.offline.then(|| plan::offline(&run.model));
        let asked: Vec<_> = self
            .files
            .values()
            .map(|file| self.look(file, before.get(&file.path), offline.as_ref()))
            .collect();
        let asked = futures_util::stream::iter(asked)
            .buffer_unordered(AT_A_TIME)
            .try_collect::<Vec<_>>();
        let files = run.unless_halted(asked.boxed()).await?;
        for file in &files {
            let row = before.get(&file.path);
            if row.is_some_and(|row| row.file.digest != file.digest && !row.ranges.is_empty()) {
                tracing::warn!(job.id = %run.job.id, file = %file.path, "The server has another version of the file, or names none: it begins anew.");
            }
        }
        let chosen = NewPlan {
            commit: &self.version,
            selection: &plan_key(&self.version),
            files: &files,
        };
        let started = context.clock.monotonic();
        let rows = context
            .store
            .set_plan(run.claim, chosen, context.clock.now());
        let plan = Plan {
            rows: run.renewed(started, rows.await)?,
            commit: self.version.clone(),
            whole_tree: None,
        };
        run.live.set_total(plan.bytes());
        self.drop_other_parts(run, &plan).await?;
        Ok(plan)
    }

    /// What is to be fetched of one file; a finished one with a known hash needs no question.
    async fn look(
        &self,
        file: &UrlFile,
        before: Option<&FileRow>,
        offline: Option<&Failure>,
    ) -> Result<PlannedFile, Failure> {
        let (cache, repo) = (Arc::clone(&self.place.cache), self.place.repo_id.clone());
        let known = before.filter(|row| file.sha256.as_ref() == Some(&row.file.digest));
        let size = file.size.or_else(|| known.map(|row| row.file.size));
        if let (Some(digest), Some(size)) = (&file.sha256, size) {
            let wanted = digest.clone();
            if blocking(move || cache.find_blob(&repo, &wanted, size)).await? {
                return Ok(planned(file, size, digest.clone()));
            }
        }
        if let Some(failure) = offline {
            return Err(failure.clone());
        }
        let seen = self.web.look(file).await;
        let seen = seen.map_err(|error| error.failure(&file.path))?;
        let size = length(file, &seen)?;
        tracing::debug!(file = %file.path, size, ranges = seen.ranges, bound = seen.validator.is_some(), "A server was asked.");
        let digest = self.digest(file, size, &seen.validator, before).await?;
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(file.path.clone(), seen);
        Ok(planned(file, size, digest))
    }

    /// The hash of the file, or what tells this version of it from others.
    async fn digest(
        &self,
        file: &UrlFile,
        size: u64,
        validator: &Validator,
        before: Option<&FileRow>,
    ) -> Result<Digest, Failure> {
        if let Some(digest) = digest_of(file, size, validator) {
            return Ok(digest);
        }
        // A whole file was read by one request, so it is of one version, and is not fetched again.
        let whole = before.filter(|row| row.state == FileState::Done && row.file.size == size);
        if let Some(row) = whole {
            let (cache, repo) = (Arc::clone(&self.place.cache), self.place.repo_id.clone());
            let digest = row.file.digest.clone();
            if blocking(move || cache.find_blob(&repo, &digest, size)).await? {
                return Ok(row.file.digest.clone());
            }
        }
        let attempt = random_hex::<2>()
            .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))?;
        let (address, length) = (file.url.expose().as_str(), size.to_string());
        let parts = [address, file.path.as_str(), &length, "", &attempt];
        Ok(unhashed(&parts))
    }

    /// Deletes parts of versions that nobody wants any more: the folder is this model's alone.
    async fn drop_other_parts(&self, run: &Run, plan: &Plan) -> Result<(), Stop> {
        let wanted: HashSet<Digest> = plan
            .rows
            .iter()
            .map(|row| row.file.digest.clone())
            .collect();
        let (cache, repo) = (Arc::clone(&self.place.cache), self.place.repo_id.clone());
        let trust = Arc::clone(&run.trust);
        let dropped = blocking(move || {
            for (part, _) in cache.list_parts(&repo)? {
                if !wanted.contains(part.digest())
                    && trust.holds()
                    && let Some(_lock) = cache.try_lock(&repo, part.digest())?
                {
                    cache.delete_part(&repo, &part)?;
                }
            }
            Ok(())
        });
        let dropped = dropped.await?;
        dropped.map_err(|error: CacheError| error.failure().into())
    }

    async fn compare(&self, run: &Arc<Run>) -> Result<Plan, Stop> {
        let store = &run.context.store;
        let key = plan_key(&self.version);
        let rows = store
            .files_of_plan(run.model.key, &self.version, Some(&key))
            .await
            .map_err(|error| run.stopped_by(&error))?;
        if rows.is_empty() {
            if run.job.repair {
                return self.make(run).await;
            }
            return Err(verify_plan::nothing_here(&run.model).into());
        }
        let files = rows.into_iter().map(|row| row.file).collect();
        verify_plan::pin(run, self.version.clone(), files, None).await
    }
}

fn planned(file: &UrlFile, size: u64, digest: Digest) -> PlannedFile {
    PlannedFile {
        path: file.path.clone(),
        size,
        digest,
    }
}

/// The hash of a file, or what stands for the version of it that the server names; none without either.
pub(super) fn digest_of(file: &UrlFile, size: u64, validator: &Validator) -> Option<Digest> {
    let version = || {
        let (address, length) = (file.url.expose().as_str(), size.to_string());
        unhashed(&[address, file.path.as_str(), &length, validator.as_str()])
    };
    let hash = file.sha256.clone();
    hash.or_else(|| validator.is_some().then(version))
}

/// The length that registration and server agree on.
pub(super) fn length(file: &UrlFile, seen: &Seen) -> Result<u64, Failure> {
    match (file.size, seen.size) {
        (Some(registered), Some(said)) if registered != said => {
            let message = format!(
                "file `{}`: {} has {said} bytes, and its registration says {registered}",
                file.path, file.url
            );
            Err(Failure::new(FailureCode::SizeMismatch, message)
                .with_remedy("check the address and the size, and register it anew"))
        }
        (Some(size), _) | (None, Some(size)) => Ok(size),
        (None, None) => {
            let message = format!(
                "file `{}`: {} does not say how long it is",
                file.path, file.url
            );
            Err(Failure::new(FailureCode::NotSupported, message)
                .with_remedy("register it with its `size` in bytes"))
        }
    }
}

impl Supply for UrlSupply {
    fn place(&self) -> &Place {
        &self.place
    }

    fn plan<'a>(&'a self, run: &'a Arc<Run>) -> BoxFuture<'a, Result<Plan, Stop>> {
        self.make(run).boxed()
    }

    fn plan_to_compare<'a>(&'a self, run: &'a Arc<Run>) -> BoxFuture<'a, Result<Plan, Stop>> {
        self.compare(run).boxed()
    }

    fn plan_to_repair<'a>(
        &'a self,
        run: &'a Arc<Run>,
        plan: Plan,
    ) -> BoxFuture<'a, Result<Plan, Stop>> {
        async move {
            // A file without a hash comes back as whatever version the server has now.
            let lacks = |row: &FileRow| row.state != FileState::Done && !row.file.digest.is_hash();
            if plan.rows.iter().any(lacks) {
                return self.make(run).await;
            }
            Ok(plan)
        }
        .boxed()
    }

    fn source(&self, _plan: &Plan, file: &PlannedFile) -> Arc<dyn Source> {
        let seen = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&file.path)
            .cloned();
        let proven = file.digest.is_hash();
        let from = self
            .files
            .get(&file.path)
            .expect("a plan holds the files of its registration");
        if let Some(reader) = self.web.disk_reader(from, file.size, seen.clone()) {
            return Arc::new(ReaderSource::new(reader));
        }
        let reader = self.web.reader(from, file.size, seen, proven);
        Arc::new(ReaderSource::new(reader))
    }
}
