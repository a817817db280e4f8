//! `GET /readyz`: whether a row can be committed and a byte be written. A standby is ready.

use axum::Extension;
use axum::extract::State;
use serde_json::{Map, Value, json};

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::guard::Caller;
use super::super::problem::{Code, Problem};

/// Whether the service can do its work; strangers on a public address see `ready` alone.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Ready)]
struct ReadyBody {
    ready: bool,
    database: Option<bool>,
    cache: Option<bool>,
    role: Option<String>,
    /// Free bytes where the cache is.
    free_bytes: Option<u64>,
    reasons: Option<Vec<String>>,
}

/// 200, or 503 with the reasons. Strangers learn only yes or no.
#[utoipa::path(get, path = "", responses((status = 200, description = "It can work", body = ReadyBody)))]
pub(in super::super) async fn handle(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Answered<Map<String, Value>> {
    let report = app.manager.ready().await;
    let draining = app.guard.draining().is_cancelled();
    let ready = report.ready && !draining;
    let mut members = Map::new();
    if caller != Caller::Stranger {
        let mut reasons = report.reasons;
        if draining {
            reasons.push("the service is stopping".to_owned());
        }
        members.insert("database".to_owned(), json!(report.database));
        members.insert("cache".to_owned(), json!(report.cache));
        members.insert("role".to_owned(), json!(report.role));
        members.insert("free_bytes".to_owned(), json!(report.free_bytes));
        members.insert("reasons".to_owned(), json!(reasons));
    }
    members.insert("ready".to_owned(), json!(ready));
    if ready {
        return Ok(Answer::ok(members));
    }
    let problem = Problem::new(Code::NotReady, "the service cannot do its work now");
    Err(members
        .iter()
        .fold(problem.with_retry_after(5), |problem, (name, value)| {
            problem.with_member(name, value.clone())
        }))
}
