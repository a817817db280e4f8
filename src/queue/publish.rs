//! The last step of a job: links and ref appear together, in the transaction that ends the job.

use std::io;
use std::sync::Arc;

use super::plan::Plan;
use super::run::{Run, Stop};
use super::supply::Place;
use crate::domain::Readiness;

/// Publishes the snapshot and ends the job as completed.
pub(crate) async fn publish(run: &Run, place: &Place, plan: &Plan) -> Result<(), Stop> {
    let now = run.context.clock.now();
    // The rows are read again: the transfer marked those that it verified.
    let rows = run
        .context
        .store
        .files_of_job(run.job.key)
        .await
        .map_err(|e| run.stopped_by(&e))?;
    let readiness = Readiness {
        commit: Some(plan.commit.clone()),
        bytes: plan.bytes(),
        files: rows.len() as u64,
        verified: rows.iter().all(|row| row.verified),
        since: now,
    };
    let files: Vec<_> = rows.into_iter().map(|row| row.file).collect();
    let (cache, trust) = (Arc::clone(&place.cache), Arc::clone(&run.trust));
    let (repo, revision, commit) = (
        place.repo_id.clone(),
        place.revision.clone(),
        plan.commit.clone(),
    );
    // Python takes a listing as proof of completeness, so it is written only when all of the commit is here.
    let listing = plan.whole_tree.clone();
    let links = move || {
        if !trust.holds() {
            return Err(io::Error::other(Run::fenced()));
        }
        let published = || {
            cache.publish_snapshot(&repo, &commit, &files)?;
            if let Some(tree) = &listing {
                cache.write_tree(&repo, &commit, tree)?;
            }
            cache.write_ref(&repo, &revision, &commit)
        };
        published().map_err(|error| io::Error::other(error.failure()))
    };
    let store = &run.context.store;
    run.write(|| store.complete(run.claim, readiness.clone(), now, links.clone()))
        .await
}
