//! `GET /healthz`: the process answers; nothing else is looked at.

use serde::Serialize;

use super::super::answer::Answer;

/// That it lives, and which version.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthBody {
    status: &'static str,
    version: &'static str,
}

/// Always 200.
#[utoipa::path(get, path = "", responses((status = 200, description = "It answers", body = HealthBody)))]
pub(in super::super) async fn handle() -> Answer<HealthBody> {
    Answer::ok(HealthBody {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
    })
}
