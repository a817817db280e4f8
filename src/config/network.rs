//! Addresses, tokens, proxies and spans: settings with a rule of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::error::{ConfigError, Origin};
use super::key::{self, Key};
use super::resolver::{Found, Resolver};
use super::units;
use crate::redact::{SafeUrl, Token};

const HUB: &str = "https://huggingface.co";
const UNSET: &str = "none";

impl Resolver<'_> {
    /// The hub's address, without a slash at its end.
    pub(crate) fn endpoint(&mut self) -> Result<Url, ConfigError> {
        let hub = Url::parse(HUB).expect("the hub's address parses");
        self.value(
            &key::ENDPOINT,
            hub,
            |text| hub_address(text).map(Some),
            |url| SafeUrl::new(url.clone()).to_string(),
        )
    }

    /// Folders from which files of this machine may come.
    pub(crate) fn roots(&mut self) -> Result<Vec<PathBuf>, ConfigError> {
        self.value(
            &key::FILE_ROOTS,
            Vec::new(),
            |text| {
                let parts = text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty());
                let folder = |part: &str| {
                    let path = PathBuf::from(part);
                    let plain =
                        path.is_absolute() && path.parent().is_some() && !part.contains("..");
                    plain.then_some(path).ok_or_else(|| {
                        "folders with their whole path are expected, for example /srv/models"
                            .to_owned()
                    })
                };
                parts.map(folder).collect::<Result<_, _>>().map(Some)
            },
            |roots: &Vec<PathBuf>| match roots.as_slice() {
                [] => UNSET.to_owned(),
                some => some
                    .iter()
                    .map(|root| root.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        )
    }

    /// The addresses of mirrors, in their order.
    pub(crate) fn mirrors(&mut self) -> Result<Vec<Url>, ConfigError> {
        self.value(
            &key::MIRRORS,
            Vec::new(),
            |text| {
                let parts = text.split(',').filter(|part| !part.trim().is_empty());
                parts.map(hub_address).collect::<Result<_, _>>().map(Some)
            },
            |mirrors: &Vec<Url>| match mirrors.as_slice() {
                [] => UNSET.to_owned(),
                some => some
                    .iter()
                    .map(|url| SafeUrl::new(url.clone()).to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        )
    }

    /// A secret; blank means none.
    pub(crate) fn token(&mut self, key: &Key) -> Result<Option<Token>, ConfigError> {
        let found = self.find(key)?;
        let origin = found
            .as_ref()
            .map_or(Origin::Default, |found| found.origin.clone());
        let token = found.and_then(|found| Token::parse(&found.text));
        let shown = token
            .as_ref()
            .map_or_else(|| UNSET.to_owned(), ToString::to_string);
        self.note(key, shown, origin);
        Ok(token)
    }

    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN` leaves only a token that the file of modelhaul names.
    pub(crate) fn without_implicit_token(
        &self,
        token: Option<Token>,
        path: Option<PathBuf>,
    ) -> Result<(Option<Token>, Option<PathBuf>), ConfigError> {
        let off = self
            .environment
            .filled("HF_HUB_DISABLE_IMPLICIT_TOKEN")?
            .is_some_and(units::is_true);
        if !off {
            return Ok((token, path));
        }
        let explicit = self.in_file(&key::TOKEN);
        Ok((explicit.and_then(|found| Token::parse(&found.text)), None))
    }

    /// A duration; 0 means the default, as in the field.
    pub(crate) fn span(&mut self, key: &Key, default: Duration) -> Result<Duration, ConfigError> {
        self.value(
            key,
            default,
            |text| units::duration(text).map(|span| Some(span).filter(|span| !span.is_zero())),
            |span| format!("{span:?}"),
        )
    }

    /// A text; blank means none.
    pub(crate) fn text(&mut self, key: &Key) -> Result<Option<String>, ConfigError> {
        self.value(
            key,
            None,
            |text| {
                Ok(Some(
                    Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
                ))
            },
            |text| text.clone().unwrap_or_else(|| UNSET.to_owned()),
        )
    }

    /// A path that may be left out.
    pub(crate) fn optional_path(&mut self, key: &Key) -> Result<Option<PathBuf>, ConfigError> {
        let path = self.path(key)?;
        if path.is_none() {
            self.note(key, UNSET, Origin::Default);
        }
        Ok(path)
    }

    /// The address to listen on.
    pub(crate) fn listen(&mut self) -> Result<SocketAddr, ConfigError> {
        self.value(
            &key::LISTEN,
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8642),
            |text| {
                let text = text.trim();
                let text = text
                    .strip_prefix("localhost:")
                    .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
                text.parse::<SocketAddr>().map(Some).map_err(|error| {
                    format!(
                        "an address with a port is expected, for example 127.0.0.1:8642 ({error})"
                    )
                })
            },
            SocketAddr::to_string,
        )
    }

    /// Host names of the service, separated by commas.
    pub(crate) fn hosts(&mut self) -> Result<Vec<String>, ConfigError> {
        self.value(
            &key::ALLOWED_HOSTS,
            Vec::new(),
            |text| {
                text.split(',')
                    .map(str::trim)
                    .filter(|host| !host.is_empty())
                    .map(host_name)
                    .collect::<Result<_, _>>()
                    .map(Some)
            },
            |hosts| {
                if hosts.is_empty() {
                    UNSET.to_owned()
                } else {
                    hosts.join(",")
                }
            },
        )
    }

    /// The proxy for the hub's scheme. A hub on this machine is never behind the proxy of the environment.
    pub(crate) fn proxy(
        &mut self,
        endpoint: &Url,
    ) -> Result<(Option<Url>, Option<String>), ConfigError> {
        let names: [&'static str; 4] = if endpoint.scheme() == "https" {
            ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        } else {
            ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        };
        let mut found = None;
        if !is_loopback(endpoint) {
            for name in names {
                if let Some(text) = self.environment.filled(name)? {
                    found = Some(Found {
                        text: text.to_owned(),
                        origin: Origin::Environment(name),
                    });
                    break;
                }
            }
        }
        let found = found.or_else(|| self.in_file(&key::PROXY));
        let proxy = match found {
            None => {
                self.note(&key::PROXY, UNSET, Origin::Default);
                None
            }
            Some(found) => {
                let url = proxy_address(found.text.trim()).ok_or_else(|| ConfigError::Value {
                    name: key::PROXY.name,
                    origin: found.origin.clone(),
                    // It may hold a password.
                    value: "***".to_owned(),
                    rule: "an address is expected, for example http://proxy.example:3128 or socks5h://host:1080"
                        .to_owned(),
                })?;
                let shown = SafeUrl::new(url.clone()).to_string();
                self.note(&key::PROXY, shown, found.origin);
                Some(url)
            }
        };
        let no_proxy = self.text(&key::NO_PROXY)?;
        Ok((proxy, no_proxy))
    }
}

/// The address of a hub or of a mirror, without a slash at its end.
fn hub_address(text: &str) -> Result<Url, String> {
    web_address(text.trim().trim_end_matches('/'))
        .filter(|url| url.query().is_none() && url.fragment().is_none())
        .ok_or_else(|| {
            "an address is expected, for example https://huggingface.co, without user, query or fragment".to_owned()
        })
}

/// An `http` or `https` address with a host and without credentials.
fn web_address(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

/// A proxy's address; one without a scheme means `http`, as curl reads it.
fn proxy_address(text: &str) -> Option<Url> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    Url::parse(&whole).ok().filter(|url| {
        matches!(
            url.scheme(),
            "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h"
        ) && url.has_host()
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

fn host_name(text: &str) -> Result<String, String> {
    let legal = text.len() <= 253
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    if legal {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("`{}` is no host name", text.escape_debug()))
    }
}
