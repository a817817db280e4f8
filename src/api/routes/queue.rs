//! The queue: where it stands, and (admin) whether it is paused and how fast it may be.

use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Deserializer};

use crate::domain::{JobId, QueueStatus};
use crate::manager::LONGEST_QUEUE;

use super::super::App;
use super::super::answer::{Answer, Answered, PageSize};
use super::super::extract::{Json, Query};
use super::super::problem::Problem;

const SIZE: PageSize = PageSize {
    default: 100,
    most: LONGEST_QUEUE,
};

/// `SQLite` keeps signed integers.
const LARGEST_LIMIT: u64 = i64::MAX.unsigned_abs();

/// Which page of the queue's jobs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueueQuery {
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    #[param(value_type = Option<String>, format = Uuid)]
    after: Option<JobId>,
}

/// What may be changed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub(crate) struct QueuePatch {
    paused: Option<bool>,
    /// Bytes per second; `null` goes back to the configured limit.
    #[serde(default, deserialize_with = "limit")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    bandwidth_limit: Limit,
}

/// What is said of the bandwidth limit.
#[derive(Debug, Default)]
enum Limit {
    /// Nothing: the field is not there.
    #[default]
    Unsaid,
    /// A number, or `null`.
    Said(Option<u64>),
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limit, D::Error> {
    Option::deserialize(deserializer).map(Limit::Said)
}

/// Where the queue stands.
#[utoipa::path(get, path = "", params(QueueQuery), responses((status = 200, description = "Where the queue stands", body = QueueStatus)))]
pub(in super::super) async fn show(
    State(app): State<App>,
    Query(query): Query<QueueQuery>,
    uri: Uri,
) -> Answered<QueueStatus> {
    let limit = SIZE.pick(query.limit)?;
    let status = app.manager.queue_page(query.after, limit).await?;
    let next = status.next.map(|id| id.to_string());
    Ok(Answer::ok(status).linked(&uri, next.as_deref()))
}

/// Pauses or resumes the whole queue, then answers where it stands.
#[utoipa::path(patch, path = "", request_body = QueuePatch, responses((status = 200, description = "Where the queue stands", body = QueueStatus)))]
pub(in super::super) async fn patch(
    State(app): State<App>,
    Json(patch): Json<QueuePatch>,
) -> Answered<QueueStatus> {
    if patch.paused.is_none() && matches!(patch.bandwidth_limit, Limit::Unsaid) {
        return Err(Problem::field(
            "paused",
            "it is missing, and so is `bandwidth_limit`; one of them is needed",
        ));
    }
    if let Limit::Said(limit) = patch.bandwidth_limit {
        if limit.is_some_and(|limit| !(1..=LARGEST_LIMIT).contains(&limit)) {
            return Err(Problem::field(
                "bandwidth_limit",
                format!("it must be null or between 1 and {LARGEST_LIMIT}"),
            ));
        }
        app.manager.set_bandwidth_limit(limit).await?;
        tracing::info!(limit, "Changed the bandwidth limit.");
    }
    if let Some(paused) = patch.paused {
        app.manager.set_queue_paused(paused).await?;
        tracing::info!(paused, "Changed whether the queue is paused.");
    }
    Ok(Answer::ok(app.manager.get_queue_status().await?))
}
