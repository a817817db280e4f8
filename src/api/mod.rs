//! The HTTP doors: one table of routes, one file per endpoint, one shape for every refusal.
//!
//! The doors hold no state of their own: they check a request, ask the manager and write the answer. They know
//! nothing of sockets; connections, their limits and their end belong to [`crate::server`].

mod answer;
mod body;
mod extract;
mod guard;
mod openapi;
mod problem;
mod refusal;
mod routes;
mod stream;
mod table;
mod trace;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;

use crate::manager::UnifiedModelDownloadManager;
use crate::metrics::Metrics;

pub use guard::{AdminKey, TokenTooShort};
pub(crate) use guard::{AllowedHosts, ConnectedTo, Guard, SHORTEST_PUBLIC_TOKEN};
use problem::{Code, Problem};
pub(crate) use stream::Endless;
use stream::Streams;

/// What handlers are given.
#[derive(Clone)]
struct App {
    manager: UnifiedModelDownloadManager,
    guard: Arc<Guard>,
    streams: Arc<Streams>,
    settings: Arc<[EffectiveSetting]>,
}

/// A setting of the service as it may be shown: secrets are masked.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct EffectiveSetting {
    /// Its name in the configuration file.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where it was set.
    pub origin: String,
}

/// The doors as a service that never fails; cheap to clone.
pub(crate) type Doors = Router;

/// All routes behind all checks.
pub(crate) fn doors(
    manager: UnifiedModelDownloadManager,
    guard: Guard,
    settings: Vec<EffectiveSetting>,
) -> Doors {
    let metrics = Arc::clone(manager.metrics());
    let guard = Arc::new(guard.asking(manager.clone()));
    let router = table::router(&guard).with_state(App {
        streams: Streams::new(manager.clone(), guard.draining().clone()),
        manager,
        guard: Arc::clone(&guard),
        settings: settings.into(),
    });
    wrap(router, guard, metrics)
}

/// Puts the checks around a router, and gives every address that it lacks a proper refusal.
fn wrap(router: Router, guard: Arc<Guard>, metrics: Arc<Metrics>) -> Router {
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(guard, guard::admit))
        .layer(CatchPanicLayer::custom(trace::panicked))
        .layer(from_fn_with_state(
            (Arc::new(trace::RequestIds::new()), metrics),
            trace::record,
        ))
}

async fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this address")
        .with_remedy("docs/API.md lists the addresses; a slash in a model id may be written as %2F")
}

async fn wrong_method(request: Request) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!(
            "{} is not possible here; see the Allow header",
            request.method()
        ),
    )
}

#[cfg(test)]
pub(crate) mod practice;
#[cfg(test)]
mod role_tests;
#[cfg(test)]
mod tests;
