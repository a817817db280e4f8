//! `GET …/wait`: answers when the model's job has ended, or when the caller's patience has.
//!
//! A stopping service answers at once with the status as it is, so that no waiter holds it up.

use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;

use crate::domain::ModelStatus;

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::extract::{ModelPath, Query};
use super::super::problem::{Code, Problem};

/// The longest wait, in seconds.
pub(in super::super) const LONGEST: u64 = 300;

/// The wait when the caller does not say, in seconds.
const DEFAULT: u64 = 30;

/// How long to wait.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// Seconds.
    #[param(minimum = 0, maximum = 300)]
    timeout: Option<u64>,
}

/// The status object, whether the job has ended or not: its `state` says so.
#[utoipa::path(get, path = "", params(WaitQuery), responses((status = 200, description = "Where the model stands now", body = ModelStatus)))]
pub(in super::super) async fn handle(
    State(app): State<App>,
    ModelPath(id): ModelPath,
    Query(query): Query<WaitQuery>,
) -> Answered<ModelStatus> {
    let seconds = query.timeout.unwrap_or(DEFAULT);
    if seconds > LONGEST {
        return Err(Problem::new(
            Code::InvalidQuery,
            format!("timeout: {seconds} is more than {LONGEST} seconds"),
        )
        .with_remedy("wait again when the answer says that the job has not ended"));
    }
    tokio::select! {
        status = app.manager.wait(&id, Duration::from_secs(seconds)) => Ok(Answer::ok(status?)),
        () = app.guard.draining().cancelled() => {
            Ok(Answer::ok(app.manager.get_download_status(&id).await?))
        }
    }
}
