//! The path that every request to the hub takes: token, time limits, redirects by hand, causes.
//!
//! Invariant: the token goes to the exact origin of the endpoint and nowhere else; a metadata answer
//! is read only from that origin and only up to a limit; nothing is sent in offline mode.
//!
//! The revision call could have gone through `hf-hub`'s `info()`. It does not, because `info()` takes a
//! token from the environment when it is given none, reads bodies of any length, follows redirects by
//! the client's rule or not at all, calls every 404 a missing revision whatever `X-Error-Code` says, and
//! drops `RateLimit` and the date form of `Retry-After`. The tests keep it as a second opinion.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderValue, RANGE,
};
use tokio::time::{Instant, timeout};
use url::Url;

use super::HubError;
use super::address::{Endpoint, host_of};
use super::direct::{Direct, Unanswered};
use super::redirect::{self, MAX_HOPS};
use super::refusal::{Asked, Refusal, Subject, cause, text};
use super::reply::Reply;
use super::text::printable;
use super::token::TokenSource;
use crate::clock::Clock;
use crate::domain::RepoId;
use crate::metrics::Metrics;
use crate::redact::{SafeUrl, Token};

/// How much of a refusal's body is read for the hub's words.
const REFUSAL_LIMIT: usize = 16 << 10;
/// A metadata answer may take this many times the time limit of its first byte.
const BODY_PATIENCE: u32 = 30;

/// What all requests share.
pub(crate) struct Wire {
    pub(crate) endpoint: Endpoint,
    pub(crate) client: Client,
    /// Takes the place of the client; none behind a proxy.
    pub(super) direct: Option<Direct>,
    pub(crate) tokens: TokenSource,
    pub(crate) metadata_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) proxy: Option<String>,
    pub(crate) offline: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wire")
            .field("endpoint", &self.endpoint)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// A metadata answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Where it came from, after redirects.
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    /// `GET`s JSON at the hub's origin; renamed repositories are followed there, other hosts never.
    pub(crate) async fn get(
        &self,
        repo: &RepoId,
        asked: Asked<'_>,
        url: Url,
        limit: usize,
    ) -> Result<Answer, HubError> {
        if self.offline {
            return Err(HubError::Offline);
        }
        let token = self.tokens.current().await;
        let mut url = url;
        for _hop in 0..=MAX_HOPS {
            let reply = self.send_patiently(&url, token.as_ref()).await?;
            if !redirect::is_redirect(reply.status) {
                let subject = Subject {
                    endpoint: &self.endpoint,
                    repo,
                    asked,
                    token: token.as_ref(),
                };
                return self.read(&subject, url, reply, limit).await;
            }
            let next = redirect::target(&url, &reply.headers)
                .map_err(|rule| redirect_error(&url, rule))?;
            if !self.endpoint.is_hub(&next) {
                return Err(HubError::NotAHub {
                    url: SafeUrl::new(url).to_string(),
                    got: format!("it sends metadata requests to {}", host_of(&next)),
                });
            }
            reply.content.drain().await;
            url = next;
        }
        Err(redirect_error(&url, "there are too many in a row"))
    }

    /// One request without following anything; the token is added at the hub's origin only.
    pub(super) async fn send(
        &self,
        url: &Url,
        token: Option<&Token>,
        range: Option<&str>,
    ) -> Result<Reply, Unanswered> {
        let headers = self.headers(url, token, range);
        let asked = Instant::now();
        let direct = self.direct.as_ref().filter(|_| Direct::speaks(url));
        let answer = if let Some(direct) = direct {
            direct.get(url, headers).await
        } else {
            let answer = self.client.get(url.clone()).headers(headers).send().await;
            answer.map(Reply::from).map_err(Unanswered::from)
        };
        let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
        self.metrics
            .asked_upstream(self.endpoint.is_hub(url), status, asked.elapsed());
        answer
    }

    fn headers(&self, url: &Url, token: Option<&Token>, range: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = range.and_then(|range| HeaderValue::from_str(range).ok()) {
            headers.insert(RANGE, range);
        }
        if let Some(token) = token.filter(|_| self.endpoint.is_hub(url)) {
            headers.insert(AUTHORIZATION, bearer(token));
        }
        headers
    }

    /// What a request that got no answer in time means.
    pub(crate) fn no_answer(&self, url: &Url) -> HubError {
        self.unreachable(
            url,
            format!("no answer within {} s", self.metadata_timeout.as_secs_f32()),
        )
    }

    /// What a broken request to the hub means.
    pub(super) fn broken(&self, url: &Url, error: Unanswered) -> HubError {
        let Unanswered {
            at_connect, cause, ..
        } = error;
        if at_connect {
            return self.unreachable(url, cause);
        }
        HubError::Broken {
            host: host_of(url),
            cause,
        }
    }

    /// What a refusal means; reads the beginning of its body for the hub's words.
    pub(super) async fn refused(&self, subject: &Subject<'_>, url: &Url, reply: Reply) -> HubError {
        let Reply {
            status,
            headers,
            mut content,
        } = reply;
        let mut body = Vec::new();
        let words = async {
            while body.len() < REFUSAL_LIMIT
                && let Ok(1..) = content.read_more(&mut body, REFUSAL_LIMIT).await
            {}
        };
        // The words are a courtesy: without them the status still says enough.
        if timeout(self.metadata_timeout, words).await.is_err() {
            tracing::debug!(
                status = status.as_u16(),
                "The hub did not finish its refusal."
            );
        }
        let refusal = Refusal {
            url,
            status,
            headers: &headers,
            body: &body,
        };
        cause(subject, &refusal, self.clock.now())
    }

    fn unreachable(&self, url: &Url, cause: String) -> HubError {
        HubError::Unreachable {
            host: host_of(url),
            cause,
            proxy: self.proxy.clone(),
        }
    }

    /// A connection from the pool may be dead without our knowing, so a reset gets a second try at once.
    async fn send_patiently(&self, url: &Url, token: Option<&Token>) -> Result<Reply, HubError> {
        if token.is_some_and(|token| !is_header(token)) {
            return Err(HubError::TokenInvalid {
                host: self.endpoint.host(),
                detail: "it holds characters that no token has".to_owned(),
            });
        }
        let mut second = false;
        loop {
            let sent = self.send(url, token, None);
            match timeout(self.metadata_timeout, sent).await {
                Err(_elapsed) => return Err(self.no_answer(url)),
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) => match self.broken(url, error) {
                    HubError::Broken { .. } if !second => second = true,
                    error => return Err(error),
                },
            }
        }
    }

    async fn read(
        &self,
        subject: &Subject<'_>,
        url: Url,
        reply: Reply,
        limit: usize,
    ) -> Result<Answer, HubError> {
        if !reply.status.is_success() {
            return Err(self.refused(subject, &url, reply).await);
        }
        let Reply {
            headers,
            mut content,
            ..
        } = reply;
        if let Some(encoding) = foreign_encoding(&headers) {
            return Err(HubError::Encoded {
                url: SafeUrl::new(url).to_string(),
                encoding,
            });
        }
        let too_long = || HubError::BadMetadata {
            url: SafeUrl::new(url.clone()).to_string(),
            detail: format!("it is longer than {limit} bytes"),
        };
        if content.left().is_some_and(|length| length > limit as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        let whole = async {
            loop {
                // One byte more than allowed shows that it is too long.
                let more = content.read_more(&mut body, limit + 1);
                match timeout(self.metadata_timeout, more).await {
                    Err(_elapsed) => return Err(self.no_answer(&url)),
                    Ok(Err(error)) => return Err(self.broken(&url, error)),
                    Ok(Ok(0)) => return Ok(()),
                    Ok(Ok(_)) if body.len() > limit => return Err(too_long()),
                    Ok(Ok(_)) => {}
                }
            }
        };
        match timeout(self.metadata_timeout * BODY_PATIENCE, whole).await {
            Err(_elapsed) => Err(self.no_answer(&url)),
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) => Ok(Answer { url, headers, body }),
        }
    }
}

/// The name of a content encoding that changes bytes, if there is one.
pub(crate) fn foreign_encoding(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_ENCODING)?;
    let encoding = text(headers, CONTENT_ENCODING.as_str()).unwrap_or("unreadable");
    (!encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"))
        .then(|| printable(encoding))
}

/// The error for a redirect that is not followed.
pub(crate) fn redirect_error(url: &Url, rule: &str) -> HubError {
    HubError::Redirect {
        url: SafeUrl::new(url.clone()).to_string(),
        rule: rule.to_owned(),
    }
}

/// Whether a token can stand in a header.
pub(crate) fn is_header(token: &Token) -> bool {
    HeaderValue::from_str(token.expose()).is_ok()
}

fn bearer(token: &Token) -> HeaderValue {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .unwrap_or_else(|_checked_before| HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}
