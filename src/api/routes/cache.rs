//! The whole cache: what lies in it, (admin) compare all of it, (admin) take a revision out of it.

use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::domain::{CacheReport, CacheTarget, JobId, ModelId, Removal};

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::extract::{Nothing, OptionalJson, Query};
use super::super::problem::{Code, Problem};
use super::verify::VerifyBody;

/// The jobs that a comparison of everything made or found.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = VerifyAll)]
pub(crate) struct VerifyAllBody {
    jobs: Vec<VerifyJob>,
    /// Models that are being downloaded, which compares what it brings.
    busy: Vec<ModelId>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct VerifyJob {
    model_id: ModelId,
    job_id: Option<JobId>,
    created: bool,
}

/// Whether to look only.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RemoveQuery {
    #[serde(default)]
    dry_run: bool,
}

/// What lies in the cache.
#[utoipa::path(get, path = "", responses((status = 200, description = "What lies in the cache", body = CacheReport)))]
pub(in super::super) async fn show(
    State(app): State<App>,
    Query(Nothing {}): Query<Nothing>,
) -> Answered<CacheReport> {
    Ok(Answer::ok(app.manager.cache_report().await?))
}

/// 202 with a job for each registered model of which something is here.
#[utoipa::path(post, path = "", request_body = Option<VerifyBody>, responses((status = 202, description = "A job for each model", body = VerifyAllBody)))]
pub(in super::super) async fn verify(
    State(app): State<App>,
    OptionalJson(body): OptionalJson<VerifyBody>,
) -> Answered<VerifyAllBody> {
    let (asked, busy) = app.manager.verify_all(body.repair).await?;
    let jobs = asked.into_iter().map(|started| VerifyJob {
        model_id: started.status.model_id,
        job_id: started.job.map(|job| job.id),
        created: started.created,
    });
    let body = VerifyAllBody {
        jobs: jobs.collect(),
        busy,
    };
    Ok(Answer::with_status(StatusCode::ACCEPTED, body))
}

/// 200 with what was removed, or would be.
#[utoipa::path(delete, path = "", params(RemoveQuery), responses((status = 200, description = "What was removed, or would be", body = Removal)))]
pub(in super::super) async fn remove(
    State(app): State<App>,
    params: RawPathParams,
    Query(query): Query<RemoveQuery>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Answered<Removal> {
    let segments: Vec<&str> = params.iter().map(|(_, value)| value).collect();
    let target = match segments.split_last() {
        Some((revision, repo)) => format!("{}@{revision}", repo.join("/")),
        None => String::new(),
    };
    let target: CacheTarget = target
        .parse()
        .map_err(|error: crate::domain::InvalidName| {
            Problem::new(Code::InvalidPath, error.to_string())
        })?;
    let removal = app.manager.remove_cached(&[target], query.dry_run).await?;
    if let Some(missing) = removal.missing.first() {
        let detail = format!("`{missing}` is not in the cache");
        return Err(Problem::new(Code::NotFound, detail));
    }
    Ok(Answer::ok(removal))
}
