//! What stands before every handler: host, origin, media type, token and drain checks.
//!
//! The checks run outermost first: host, then site, then token; a handler sees only what passed all of them.
//! Serving limits (time for a header, connections) are the server's, body limits are the extractors'.

mod headers;
mod host;
mod site;
mod throttle;
mod token;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::redact::Token;

use super::problem::{Code, Problem};
use super::refusal::RETRY_AFTER_SHUTDOWN;

pub(crate) use headers::secure;
pub(crate) use host::{AllowedHosts, ConnectedTo};
pub(crate) use token::{Caller, Policy, SHORTEST_PUBLIC_TOKEN};

/// What the checks know.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: AllowedHosts,
    admin: Option<token::AdminToken>,
    /// Whether other machines can connect: then every route but the open ones needs the token.
    public: bool,
    wrong_tokens: throttle::Throttle,
    draining: CancellationToken,
}

impl Guard {
    /// A guard for a listener; `draining` ends when the service stops taking work.
    pub(crate) fn new(
        hosts: AllowedHosts,
        admin: Option<&Token>,
        public: bool,
        draining: CancellationToken,
    ) -> Self {
        Self {
            hosts,
            admin: admin.map(token::AdminToken::new),
            public,
            wrong_tokens: throttle::Throttle::default(),
            draining,
        }
    }

    /// Ends when the service stops taking work.
    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.draining
    }
}

/// Refuses a request for another host, from another site, or one that a draining service cannot keep.
pub(crate) async fn admit(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let connected_to = request.extensions().get::<ConnectedTo>().copied();
    let checked = host::check(&guard.hosts, &request, connected_to)
        .and_then(|host| site::check(&request, &host))
        .and_then(|()| token::refuse_query(request.uri()))
        .and_then(|()| refuse_while_draining(&guard, &request));
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Refuses a caller who may not use the route, and tells the handler who calls.
pub(crate) async fn authorize(
    State((guard, policy)): State<(Arc<Guard>, Policy)>,
    mut request: Request,
    next: Next,
) -> Response {
    match token::check(&guard, policy, request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Gives up on a handler that takes longer than `patience`.
pub(crate) async fn hurry(
    State(patience): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::new(
            Code::AnswerTimeout,
            format!("there was no answer after {} s", patience.as_secs()),
        )
        .into_response(),
    }
}

fn refuse_while_draining(guard: &Guard, request: &Request) -> Result<(), Problem> {
    if guard.draining.is_cancelled() && site::is_write(request.method()) {
        return Err(Problem::new(
            Code::ShuttingDown,
            "the service is stopping and accepts no more work",
        )
        .with_remedy("ask again when it has restarted")
        .with_retry_after(RETRY_AFTER_SHUTDOWN));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
