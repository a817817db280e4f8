//! Files of servers that are not the hub, each by an address that somebody else has written.
//!
//! Invariant: every hop of every request goes only where the guard lets it, decided on the address that is connected
//! to; a credential goes to its own origin and nowhere else; there is no proxy, no cookie and no referer. What is said
//! of a refusal never quotes what the server said.

mod disk;
mod plain;
mod reader;
mod s3;
#[cfg(test)]
mod tests;
mod validator;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, RANGE};
use tokio::time::Instant;
use url::Url;

pub(crate) use disk::{DiskBody, DiskReader};
pub(crate) use plain::WebAnswer;
pub(crate) use reader::WebReader;
pub(crate) use validator::Validator;

use disk::Roots;

use super::HubError;
use super::direct::{Direct, Tls};
use super::fetch_error::{BrokenAt, FetchError, answered};
use super::guard::Guard;
use super::http::CONNECT_TIMEOUT_MAX;
use super::pace::asked_pause;
use super::range::{refused_total, total};
use super::redirect::{self, MAX_HOPS};
use super::refusal::{is_html, text};
use super::reply::Reply;
use super::request::foreign_encoding;
use crate::clock::Clock;
use crate::domain::{Credential, FailureCode, FileUrl, Network, UrlFile};
use crate::metrics::Metrics;
use crate::redact::SafeUrl;

/// Everything that it must be told.
#[derive(Debug)]
pub(crate) struct WebOptions {
    /// Networks beside the public ones from which files may come.
    pub(crate) networks: Vec<Network>,
    /// Folders of this machine from which files may come.
    pub(crate) roots: Vec<PathBuf>,
    /// What servers may be shown.
    pub(crate) credentials: Vec<Credential>,
    /// How https addresses are spoken to.
    pub(crate) tls: Tls,
    /// Longest time for a connection, and for the head of an answer that carries no file.
    pub(crate) metadata_timeout: Duration,
    /// Longest time without a byte.
    pub(crate) read_timeout: Duration,
    /// Make no request at all.
    pub(crate) offline: bool,
    /// For dates in `Retry-After`.
    pub(crate) clock: Arc<dyn Clock>,
    /// Where requests are counted.
    pub(crate) metrics: Arc<Metrics>,
}

/// A client for such files; cheap to clone.
#[derive(Clone)]
pub(crate) struct Web {
    wire: Arc<Wire>,
}

struct Wire {
    direct: Direct,
    guard: Guard,
    roots: Roots,
    credentials: Vec<Credential>,
    metadata_timeout: Duration,
    read_timeout: Duration,
    offline: bool,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Web {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Web").finish_non_exhaustive()
    }
}

/// What a server says of a file before its bytes are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its length in bytes, when the server says it.
    pub(crate) size: Option<u64>,
    /// Whether a part of it can be had.
    pub(crate) ranges: bool,
    /// What tells this version from another.
    pub(crate) validator: Validator,
}

impl Web {
    /// Makes the client; no request is made.
    pub(crate) fn new(options: WebOptions) -> Self {
        let guard = Guard::new(&options.networks);
        let connect = options.metadata_timeout.min(CONNECT_TIMEOUT_MAX);
        Self {
            wire: Arc::new(Wire {
                direct: Direct::guarded(connect, options.tls.0, guard.clone()),
                guard,
                roots: Roots::new(&options.roots),
                credentials: options.credentials,
                metadata_timeout: options.metadata_timeout,
                read_timeout: options.read_timeout,
                offline: options.offline,
                clock: options.clock,
                metrics: options.metrics,
            }),
        }
    }

    /// Whether a registration may name this file now: its address, if it is one in digits, and its credential.
    ///
    /// # Errors
    /// The rule that is broken. A name is looked up only when it is connected to.
    pub(crate) fn check(&self, file: &UrlFile) -> Result<(), (&'static str, String)> {
        let url = file.url.expose();
        let wire = &self.wire;
        let check = |url: &Url| {
            let checked = wire.guard.check(url);
            checked.map_err(|error| ("url", format!("{error}: see `artifact_networks`")))
        };
        if url.scheme() == "file" {
            return match (wire.roots.allow(url), &file.credential) {
                (false, _) => Err((
                    "url",
                    "it lies in none of the folders of `file_roots`".to_owned(),
                )),
                (true, Some(_)) => {
                    Err(("credential", "a file of this machine needs none".to_owned()))
                }
                (true, None) => Ok(()),
            };
        }
        let s3 = url.scheme() == "s3";
        if s3 {
            s3::check(url).map_err(|rule| ("url", rule))?;
        } else {
            check(url)?;
        }
        let Some(name) = &file.credential else {
            if s3 {
                let rule = "an object of a store needs one: it names the store and signs for it";
                return Err(("credential", rule.to_owned()));
            }
            return Ok(());
        };
        let Some(credential) = wire.credential(name) else {
            let rule = format!("the configuration has no credential `{name}`");
            return Err(("credential", rule));
        };
        if !credential.is_for(url) {
            let rule = format!(
                "`{name}` is for {}, and this address is elsewhere",
                credential.origin()
            );
            return Err(("credential", rule));
        }
        if s3 {
            check(credential.place())
        } else {
            Ok(())
        }
    }

    /// Asks for the first byte of a file, and so for its length and version.
    pub(crate) async fn look(&self, file: &UrlFile) -> Result<Seen, FetchError> {
        let wire = &self.wire;
        if file.url.expose().scheme() == "file" {
            let (roots, url) = (wire.roots.clone(), file.url.expose().clone());
            let looked = tokio::task::spawn_blocking(move || roots.look(&url)).await;
            return looked.unwrap_or_else(|error| {
                Err(FetchError::Transport {
                    url: file.url.to_string(),
                    at: BrokenAt::Connect,
                    cause: error.to_string(),
                })
            });
        }
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        let credential = file.credential.as_deref();
        let patience = wire.metadata_timeout;
        let (url, reply) = wire.ask(&file.url, credential, &headers, patience).await?;
        let status = reply.status;
        let validator = Validator::of(&reply.headers);
        let (size, ranges) = match status {
            StatusCode::PARTIAL_CONTENT => (total(&reply.headers), true),
            StatusCode::OK => {
                let length = text(&reply.headers, CONTENT_LENGTH.as_str());
                (length.and_then(|text| text.parse().ok()), false)
            }
            StatusCode::RANGE_NOT_SATISFIABLE if refused_total(&reply.headers) == Some(0) => {
                (Some(0), true)
            }
            _ => return Err(wire.refused(credential, &url, status, &reply.headers)),
        };
        check_kind(file, &url, status, &reply.headers)?;
        if status == StatusCode::PARTIAL_CONTENT {
            reply.content.drain().await;
        }
        Ok(Seen {
            size,
            ranges,
            validator,
        })
    }

    /// The same of a file of this machine; none when it is elsewhere.
    pub(crate) fn disk_reader(
        &self,
        file: &UrlFile,
        size: u64,
        seen: Option<Seen>,
    ) -> Option<DiskReader> {
        let here = file.url.expose().scheme() == "file";
        here.then(|| DiskReader::new(self.wire.roots.clone(), file.clone(), size, seen))
    }

    /// A reader of one file's ranges, for one attempt; no request is made yet.
    ///
    /// Without a look the first answer gives the version. `proven`: a hash decides in the end whether the bytes are right.
    pub(crate) fn reader(
        &self,
        file: &UrlFile,
        size: u64,
        seen: Option<Seen>,
        proven: bool,
    ) -> WebReader {
        WebReader::new(self.clone(), file.clone(), size, seen, proven)
    }
}

impl Wire {
    fn credential(&self, name: &str) -> Option<&Credential> {
        self.credentials.iter().find(|known| known.name() == name)
    }

    fn ready_credential(&self, name: &str) -> Option<&Credential> {
        self.credential(name).filter(|known| known.is_ready())
    }

    /// Asks for the bytes of an address, walking redirects; answers the address that answered.
    async fn ask(
        &self,
        start: &FileUrl,
        credential: Option<&str>,
        conditions: &HeaderMap,
        patience: Duration,
    ) -> Result<(Url, Reply), FetchError> {
        if self.offline {
            return Err(HubError::Offline.into());
        }
        let shown = start.to_string();
        let lacking = |name: &str| FetchError::NoCredential {
            url: shown.clone(),
            name: name.to_owned(),
        };
        let credential = match credential {
            Some(name) => Some(self.ready_credential(name).ok_or_else(|| lacking(name))?),
            None => None,
        };
        let mut url = start.expose().clone();
        if url.scheme() == "s3" {
            let keys = credential.and_then(Credential::expose_s3);
            let keys = keys.ok_or_else(|| lacking(credential.map_or("", Credential::name)))?;
            url = s3::signed(keys, &url)
                .await
                .map_err(|rule| FetchError::Unsigned {
                    url: shown.clone(),
                    rule,
                })?;
        }
        for _hop in 0..=MAX_HOPS {
            // The resolver is not asked for an address that stands in the URL itself.
            let blocked = |_forbidden| FetchError::Blocked { url: shown.clone() };
            self.guard.check(&url).map_err(blocked)?;
            let mut headers = conditions.clone();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(credential) = credential.filter(|credential| credential.is_for(&url)) {
                show(credential, &mut headers);
            }
            let masked = SafeUrl::new(url.clone()).to_string();
            let asked = Instant::now();
            let answer = answered(self.direct.get(&url, headers), patience, &masked).await;
            let status = answer.as_ref().ok().map(|reply| reply.status.as_u16());
            self.metrics.asked_upstream(false, status, asked.elapsed());
            let reply = match answer {
                // Which hop it was would tell about the network.
                Err(FetchError::Blocked { .. }) => return Err(FetchError::Blocked { url: shown }),
                answer => answer?,
            };
            if !redirect::is_redirect(reply.status) {
                return Ok((url, reply));
            }
            url = redirect::target(&url, &reply.headers).map_err(|rule| FetchError::Redirect {
                url: masked,
                rule: rule.to_owned(),
            })?;
            reply.content.drain().await;
        }
        Err(FetchError::Redirect {
            url: SafeUrl::new(url).to_string(),
            rule: "there are too many in a row".to_owned(),
        })
    }

    /// What an answer without bytes means. Nothing of its body is read: it is nobody's who set the address.
    fn refused(
        &self,
        credential: Option<&str>,
        url: &Url,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> FetchError {
        let url = SafeUrl::new(url.clone()).to_string();
        let retry_after = asked_pause(headers, self.clock.now());
        let status = status.as_u16();
        let code = match status {
            429 | 503 if status == 429 || retry_after.is_some() => {
                return FetchError::RateLimited {
                    url,
                    status,
                    retry_after,
                };
            }
            401 | 407 if credential.is_some() => FailureCode::TokenInvalid,
            401 | 407 => FailureCode::TokenMissing,
            403 => FailureCode::Forbidden,
            404 | 410 => FailureCode::FileNotFound,
            400..=499 if !matches!(status, 408 | 416 | 425) => FailureCode::NotSupported,
            _ => return FetchError::Status { url, status },
        };
        FetchError::Refused { url, status, code }
    }
}

/// A sign-in page answers every request, and an encoding changes bytes: neither is the file.
fn check_kind(
    file: &UrlFile,
    url: &Url,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<(), FetchError> {
    let url = || SafeUrl::new(url.clone()).to_string();
    if let Some(encoding) = foreign_encoding(headers) {
        return Err(FetchError::Encoded {
            url: url(),
            encoding,
        });
    }
    let name = file.path.file_name().to_ascii_lowercase();
    let is_page = [".html", ".htm"].iter().any(|end| name.ends_with(end));
    if status == StatusCode::OK && is_html(headers) && !is_page {
        return Err(FetchError::Page { url: url() });
    }
    Ok(())
}

fn show(credential: &Credential, headers: &mut HeaderMap) {
    if let Some((name, value)) = credential.expose()
        && let Ok(name) = HeaderName::from_bytes(name.as_bytes())
        && let Ok(mut value) = HeaderValue::from_str(value)
    {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}
