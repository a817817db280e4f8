//! Every address of the service with its method and its policy; the router is built from this table alone.
//!
//! A route without a policy cannot be written down, so it cannot exist. A model id with a slash is one segment
//! with `%2F` or two raw ones; a raw id that ends like an action (`org/start`) must use `%2F`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};

use utoipa_axum::routes;

use super::App;
use super::guard::{self, Guard, Policy};
use super::openapi::Described;
use super::routes::{
    cache, cancel, clear, config, dashboard, docs, events, health, job, job_attempts, job_events,
    job_files, jobs, metrics, model, models, openapi, pause, plan, queue, ready, resume, retry,
    session, start, status, templates, throughput, verify, wait,
};

/// How long a handler may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a handler may take that waits on purpose or asks the hub for a long listing.
const LONG_PATIENCE: Duration = Duration::from_secs(wait::LONGEST + 30);

/// One route.
pub(crate) struct Route {
    /// The method, as in the request line; the endpoint itself matches it.
    pub(crate) method: &'static str,
    /// The path template.
    pub(crate) path: &'static str,
    /// Who may use it.
    pub(crate) policy: Policy,
    patience: Duration,
    endpoint: fn() -> MethodRouter<App>,
    /// The handler's place, from which its operation is named.
    pub(super) handler: &'static str,
    /// What the handler says of itself; nothing for what is no API.
    pub(super) describe: Option<fn() -> Described>,
}

macro_rules! table {
    ($($method:ident $policy:ident $path:literal => $($handler:ident)::+ $(within $patience:ident)? $(, $apart:ident)?;)*) => {
        /// All routes.
        pub(crate) const ROUTES: &[Route] = &[$(Route {
            method: stringify!($method),
            path: $path,
            policy: Policy::$policy,
            patience: table!(@patience $($patience)?),
            endpoint: || on(MethodFilter::$method, $($handler)::+),
            handler: stringify!($($handler)::+),
            describe: table!(@describe $($apart)? [$($handler)::+]),
        },)*];
    };
    (@describe [$($handler:ident)::+]) => { Some(|| routes!($($handler)::+)) };
    (@describe apart [$($handler:ident)::+]) => { None };
    (@patience) => { PATIENCE };
    (@patience $patience:ident) => { $patience };
}

table! {
    POST Write "/api/model-download/{model_id}/start" => start::handle;
    POST Write "/api/model-download/{org}/{name}/start" => start::handle;
    POST Admin "/api/model-download/{model_id}/clear" => clear::handle;
    POST Admin "/api/model-download/{org}/{name}/clear" => clear::handle;
    GET Read "/api/model-download-status/{model_id}" => status::handle;
    GET Read "/api/model-download-status/{org}/{name}" => status::handle;
    GET Read "/api/model-download-queue-status" => queue::show;

    POST Write "/api/v1/models" => models::create;
    GET Read "/api/v1/models" => models::list;
    GET Read "/api/v1/models/{model_id}" => model::show;
    GET Read "/api/v1/models/{org}/{name}" => model::show;
    PUT Admin "/api/v1/models/{model_id}" => model::replace;
    PUT Admin "/api/v1/models/{org}/{name}" => model::replace;
    DELETE Admin "/api/v1/models/{model_id}" => model::remove;
    DELETE Admin "/api/v1/models/{org}/{name}" => model::remove;
    POST Write "/api/v1/models/{model_id}/start" => start::handle;
    POST Write "/api/v1/models/{org}/{name}/start" => start::handle;
    POST Write "/api/v1/models/{model_id}/cancel" => cancel::handle;
    POST Write "/api/v1/models/{org}/{name}/cancel" => cancel::handle;
    POST Write "/api/v1/models/{model_id}/retry" => retry::handle;
    POST Write "/api/v1/models/{org}/{name}/retry" => retry::handle;
    POST Write "/api/v1/models/{model_id}/verify" => verify::handle;
    POST Write "/api/v1/models/{org}/{name}/verify" => verify::handle;
    POST Write "/api/v1/models/{model_id}/pause" => pause::handle;
    POST Write "/api/v1/models/{org}/{name}/pause" => pause::handle;
    POST Write "/api/v1/models/{model_id}/resume" => resume::handle;
    POST Write "/api/v1/models/{org}/{name}/resume" => resume::handle;
    POST Write "/api/v1/models/{model_id}/plan" => plan::handle within LONG_PATIENCE;
    POST Write "/api/v1/models/{org}/{name}/plan" => plan::handle within LONG_PATIENCE;
    GET Read "/api/v1/models/{model_id}/wait" => wait::handle within LONG_PATIENCE;
    GET Read "/api/v1/models/{org}/{name}/wait" => wait::handle within LONG_PATIENCE;

    POST Write "/api/v1/plan" => plan::unregistered within LONG_PATIENCE;

    GET Read "/api/v1/templates" => templates::list;
    GET Read "/api/v1/templates/{template_id}" => templates::show;

    GET Read "/api/v1/jobs" => jobs::list;
    GET Read "/api/v1/jobs/{job_id}" => job::show;
    PATCH Write "/api/v1/jobs/{job_id}" => job::place;
    GET Read "/api/v1/jobs/{job_id}/files" => job_files::list;
    GET Read "/api/v1/jobs/{job_id}/events" => job_events::show;
    GET Read "/api/v1/jobs/{job_id}/attempts" => job_attempts::list;

    GET Read "/api/v1/queue" => queue::show;
    PATCH Admin "/api/v1/queue" => queue::patch;

    GET Read "/api/v1/events" => events::stream;
    GET Read "/api/v1/throughput" => throughput::show;
    GET Read "/api/v1/config" => config::show;

    GET Read "/api/v1/cache" => cache::show;
    POST Admin "/api/v1/cache/verify" => cache::verify;
    DELETE Admin "/api/v1/cache/{repo}/{revision}" => cache::remove;
    DELETE Admin "/api/v1/cache/{org}/{name}/{revision}" => cache::remove;

    POST SignIn "/api/v1/session" => session::open;
    GET Named "/api/v1/session" => session::show;
    DELETE SignIn "/api/v1/session" => session::close;

    GET Open "/" => dashboard::page, apart;
    GET Open "/jobs/{job_id}" => dashboard::page, apart;
    GET Open "/library" => dashboard::page, apart;
    GET Open "/activity" => dashboard::page, apart;
    GET Open "/settings" => dashboard::page, apart;
    GET Open "/ui/{hash}/{*path}" => dashboard::file, apart;

    GET Read "/api/v1/openapi.json" => openapi::show;
    GET Open "/docs" => docs::page, apart;
    GET Open "/docs/{file}" => docs::file, apart;

    GET Open "/healthz" => health::handle;
    GET Named "/readyz" => ready::handle;
    GET Read "/metrics" => metrics::handle, apart;
}

/// The router over the whole table, each route behind its policy and its patience.
pub(super) fn router(guard: &Arc<Guard>) -> Router<App> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        let endpoint = (route.endpoint)()
            .route_layer(from_fn_with_state(route.patience, guard::hurry))
            .route_layer(from_fn_with_state(
                (Arc::clone(guard), route.policy),
                guard::authorize,
            ));
        router.route(route.path, endpoint)
    })
}
