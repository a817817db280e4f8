//! Connections whose answers are read straight into the caller's buffers.
//!
//! hyper writes the request and reads the head of the answer. The bytes behind it come from the socket into the
//! buffer that goes to the disk: no copy between, no second task, and no memory of their own for each connection.
//! Invariant: a connection is used again only when the answer before was read to its last byte.

mod body;
mod connect;
mod exchange;
mod idle;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::header::{ACCEPT, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use rustls::ClientConfig;
use tokio::time::timeout;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower::ServiceExt as _;
use url::{Position, Url};

pub(super) use body::DirectBody;
pub(crate) use connect::Tls;
pub(super) use connect::tls;

use super::guard::{Guard, is_forbidden};
use super::http::{AGENT, CONNECT_TIMEOUT_MAX};
use super::reply::{Content, Reply};
use super::text::root_cause;
use connect::{Connector, connector};
use idle::Idle;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// Whether the connection could not be made.
    pub(super) at_connect: bool,
    /// The fact, without any URL.
    pub(super) cause: String,
    /// Whether the address is not allowed.
    pub(super) forbidden: bool,
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        Self {
            at_connect: error.is_connect() || error.is_timeout() || error.is_builder(),
            forbidden: false,
            cause: root_cause(&error),
        }
    }
}

/// Makes and keeps connections; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    connector: Connector,
    idle: Arc<Idle>,
    /// Connections that are made ahead.
    making: TaskTracker,
}

impl Direct {
    /// Connections over `tls` for https and plain ones for http, each made within `connect_timeout`.
    pub(super) fn new(connect_timeout: Duration, tls: ClientConfig) -> Self {
        Self {
            connector: connector(connect_timeout, tls, None),
            idle: Arc::default(),
            making: TaskTracker::new(),
        }
    }

    /// The same, but names lead only where `guard` lets them. Addresses in the URL itself are the caller's to check.
    pub(super) fn guarded(connect_timeout: Duration, tls: ClientConfig, guard: Guard) -> Self {
        Self {
            connector: connector(connect_timeout, tls, Some(guard)),
            idle: Arc::default(),
            making: TaskTracker::new(),
        }
    }

    /// Whether such an address can be asked here.
    pub(super) fn speaks(url: &Url) -> bool {
        // A user name would have to become a header.
        url.username().is_empty() && url.password().is_none()
    }

    /// Asks for `url`, without following anything; dropping the future closes the connection.
    pub(super) async fn get(&self, url: &Url, headers: HeaderMap) -> Result<Reply, Unanswered> {
        let place = &url[Position::BeforeScheme..Position::AfterPort];
        if let Some(stream) = self.idle.take(place).await {
            let request = request(url, &headers)?;
            match Box::pin(exchange::exchange(stream, request)).await {
                Ok(answered) => return Ok(self.reply(place, answered)),
                // The server may have closed it just now: that says nothing about the next one.
                Err(error) => tracing::debug!(%error, "A connection that was kept is dead."),
            }
        }
        let address: Uri = place.parse().map_err(|error| unanswered(true, &error))?;
        let connector = self.connector.clone();
        // On the heap: these would be most of every future that asks for something.
        let stream = Box::pin(connector.oneshot(address))
            .await
            .map_err(|error| unanswered(true, &*error))?;
        let answered = Box::pin(exchange::exchange(stream, request(url, &headers)?))
            .await
            .map_err(|error| unanswered(false, &error))?;
        Ok(self.reply(place, answered))
    }

    /// Makes connections in the background until `count` are kept for the place of `url`, so that the requests that
    /// are about to come need not wait for them. What fails is left to those requests.
    pub(super) fn connect_ahead(&self, url: &Url, count: usize) {
        let place = &url[Position::BeforeScheme..Position::AfterPort];
        let Ok(address) = place.parse::<Uri>() else {
            return;
        };
        for _ in self.idle.count(place)..count {
            let making = self.connector.clone().oneshot(address.clone());
            let making = async { timeout(CONNECT_TIMEOUT_MAX, making).await.ok()?.ok() };
            let making = AbortOnDropHandle::new(self.making.spawn(making));
            self.idle.keep_coming(place.to_owned(), making);
        }
    }

    fn reply(&self, place: &str, answered: exchange::Answered) -> Reply {
        let exchange::Answered {
            head,
            mut body,
            reusable,
        } = answered;
        if reusable {
            body.goes_back_to(Arc::clone(&self.idle), place);
        }
        Reply {
            status: head.status,
            headers: head.headers,
            content: Content::Direct(Box::new(body)),
        }
    }
}

fn request(url: &Url, headers: &HeaderMap) -> Result<Request<Empty<bytes::Bytes>>, Unanswered> {
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let host = HeaderValue::from_str(host).map_err(|error| unanswered(true, &error))?;
    let mut request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .body(Empty::new())
        .map_err(|error| unanswered(true, &error))?;
    request.headers_mut().extend(headers.clone());
    Ok(request)
}

fn unanswered(at_connect: bool, error: &(dyn Error + 'static)) -> Unanswered {
    Unanswered {
        at_connect,
        forbidden: is_forbidden(error),
        cause: root_cause(error),
    }
}
