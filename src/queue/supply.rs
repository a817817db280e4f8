//! Where the files of a model come from, and where they go.
//!
//! The steps of a job know neither the hub nor any other server: a [`Supply`] makes the plan and gives the bytes, and all
//! else (locks, parts, checkpoints, hashes, final names, comparison) is the same for every source. Another source is one
//! file that implements it, a variant of `Origin`, and a line in [`of`] and in [`Context::place`].

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::context::Context;
use super::hub_supply::HubSupply;
use super::plan::Plan;
use super::run::{Run, Stop};
use super::url_supply::UrlSupply;
use crate::cache::Cache;
use crate::domain::{NewModel, Origin, PlannedFile, RepoId, Revision, artifact_folder};
use crate::transfer::Source;

/// Where the files of a model go.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The folder that holds all of its kind.
    pub(crate) cache: Arc<Cache>,
    /// The folder of this one in it.
    pub(crate) repo_id: RepoId,
    /// The name under which the version is shown when it is complete.
    pub(crate) revision: Revision,
}

/// One source of a model's files, for one attempt.
pub(crate) trait Supply: Debug + Send + Sync {
    /// Where the files go.
    fn place(&self) -> &Place;

    /// The exact files of the job, stored as its plan.
    fn plan<'a>(&'a self, run: &'a Arc<Run>) -> BoxFuture<'a, Result<Plan, Stop>>;

    /// The files that a comparison reads: those that are here, never newer ones.
    fn plan_to_compare<'a>(&'a self, run: &'a Arc<Run>) -> BoxFuture<'a, Result<Plan, Stop>>;

    /// The plan that was compared, made fit for fetching what is missing of it.
    fn plan_to_repair<'a>(
        &'a self,
        _run: &'a Arc<Run>,
        plan: Plan,
    ) -> BoxFuture<'a, Result<Plan, Stop>> {
        async move { Ok(plan) }.boxed()
    }

    /// The bytes of a file of that plan.
    fn source(&self, plan: &Plan, file: &PlannedFile) -> Arc<dyn Source>;
}

/// The source of the job's model; none when the app's own function brings it.
pub(crate) fn of(run: &Run) -> Option<Box<dyn Supply>> {
    let context = &run.context;
    let place = context.place(&run.model.spec)?;
    match &run.model.spec.origin {
        Origin::Hub { .. } => Some(Box::new(HubSupply::new(context, place, &run.model.spec)?)),
        Origin::Urls { files } => Some(Box::new(UrlSupply::new(context, place, files))),
        Origin::Handler { .. } => None,
    }
}

impl Context {
    /// Where the files of a model go; none when the app's own function decides it.
    pub(crate) fn place(&self, model: &NewModel) -> Option<Place> {
        match &model.origin {
            Origin::Hub {
                repo_id, revision, ..
            } => Some(Place {
                cache: Arc::clone(&self.cache),
                repo_id: repo_id.clone(),
                revision: revision.clone(),
            }),
            Origin::Urls { .. } => Some(Place {
                cache: Arc::clone(&self.artifacts),
                repo_id: artifact_folder(&model.model_id),
                revision: Revision::main(),
            }),
            Origin::Handler { .. } => None,
        }
    }
}
