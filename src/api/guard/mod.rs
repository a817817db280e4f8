//! What stands before every handler: host, origin, media type, token and drain checks.
//!
//! The checks run outermost first: host, then site, then token; a handler sees only what passed all of them.
//! Serving limits (time for a header, connections) are the server's, body limits are the extractors'.

mod admin;
mod headers;
mod host;
mod session;
mod site;
mod throttle;
mod token;
mod watch;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::manager::UnifiedModelDownloadManager;
use crate::redact::Token;

use super::problem::{Code, Problem};
use super::refusal::RETRY_AFTER_SHUTDOWN;
use super::stream::Endless;

pub use admin::{AdminKey, TokenTooShort};
pub(crate) use headers::secure;
pub(crate) use host::{AllowedHosts, ConnectedTo};
pub(crate) use token::{Caller, Policy, SHORTEST_PUBLIC_TOKEN};

/// What the checks know.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: AllowedHosts,
    admin: AdminKey,
    /// Who knows the other tokens.
    people: Option<UnifiedModelDownloadManager>,
    sessions: session::Sessions,
    /// Whether other machines can connect: then every route but the open ones needs a token.
    public: bool,
    /// Whether a proxy in front says how its client came.
    proxied: bool,
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
            admin: AdminKey::new(admin, public),
            people: None,
            sessions: session::Sessions::default(),
            public,
            proxied: false,
            wrong_tokens: throttle::Throttle::default(),
            draining,
        }
    }

    /// The same guard, which knows the tokens of this manager's database too.
    #[must_use]
    pub(crate) fn asking(mut self, manager: UnifiedModelDownloadManager) -> Self {
        self.people = Some(manager);
        self
    }

    /// The same guard behind a proxy whose `X-Forwarded-Proto` is believed.
    #[must_use]
    pub(crate) fn behind_proxy(mut self, proxied: bool) -> Self {
        self.proxied = proxied;
        self
    }

    /// The admin token, which may be exchanged while the guard stands.
    pub(crate) fn admin_key(&self) -> AdminKey {
        self.admin.clone()
    }

    /// Opens a session for the holder of a token: who it is, and the `Set-Cookie` header.
    pub(crate) async fn sign_in(
        &self,
        given: &str,
        headers: &HeaderMap,
    ) -> Result<(Caller, HeaderValue), Problem> {
        let (hash, caller) = token::sign_in(self, given).await?;
        let cookie = self.sessions.open(hash).map_err(|cause| {
            tracing::error!(%cause, "The system gives no random bytes.");
            Problem::new(Code::Internal, "no session can be made")
        })?;
        Ok((caller, self.cookie(&cookie, session::LIFETIME, headers)?))
    }

    /// Ends the session of a request; the `Set-Cookie` header that makes the browser forget it.
    pub(crate) fn sign_out(&self, headers: &HeaderMap) -> Result<HeaderValue, Problem> {
        self.sessions.close(headers);
        self.cookie("", Duration::ZERO, headers)
    }

    /// Whether reading needs a token; when nobody can tell, it does.
    pub(crate) async fn is_guarded(&self) -> bool {
        self.public || token::tokens_exist(self).await
    }

    /// Scripts never see the cookie, and no other site's page can make the browser send it.
    fn cookie(
        &self,
        value: &str,
        lasts: Duration,
        headers: &HeaderMap,
    ) -> Result<HeaderValue, Problem> {
        let forwarded = headers.get("x-forwarded-proto");
        let secure = if self.proxied && forwarded.is_some_and(|proto| proto == "https") {
            "; Secure"
        } else {
            ""
        };
        let text = format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
            session::COOKIE,
            lasts.as_secs()
        );
        HeaderValue::from_str(&text)
            .map_err(|_unfit| Problem::new(Code::Internal, "no session can be made"))
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
    match token::check(&guard, policy, request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let headers = request.headers().clone();
            let answer = next.run(request).await;
            if answer.extensions().get::<Endless>().is_none() {
                return answer;
            }
            answer.map(|body| watch::watched(body, guard, policy, headers))
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
