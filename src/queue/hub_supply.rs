//! A repository of the hub as the source of a model.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::context::Context;
use super::plan::{self, Plan, Wanted};
use super::run::{Run, Stop};
use super::source::ReaderSource;
use super::supply::{Place, Supply};
use super::verify_plan;
use crate::domain::{NewModel, PlannedFile};
use crate::hub::Hub;
use crate::transfer::Source;

/// A repository at a revision.
#[derive(Debug)]
pub(super) struct HubSupply {
    hub: Hub,
    place: Place,
    wanted: Wanted,
}

impl HubSupply {
    /// None when the model comes from elsewhere.
    pub(super) fn new(context: &Context, place: Place, model: &NewModel) -> Option<Self> {
        Some(Self {
            hub: context.hub.clone(),
            place,
            wanted: Wanted::of(model)?,
        })
    }
}

impl Supply for HubSupply {
    fn place(&self) -> &Place {
        &self.place
    }

    fn plan<'a>(&'a self, run: &'a Arc<Run>) -> BoxFuture<'a, Result<Plan, Stop>> {
        plan::make(run, &self.wanted).boxed()
    }

    fn plan_to_compare<'a>(&'a self, run: &'a Arc<Run>) -> BoxFuture<'a, Result<Plan, Stop>> {
        verify_plan::make(run, &self.wanted).boxed()
    }

    fn source(&self, plan: &Plan, file: &PlannedFile) -> Arc<dyn Source> {
        let reader = self.hub.file(&self.place.repo_id, &plan.commit, file);
        Arc::new(ReaderSource::new(reader))
    }
}
