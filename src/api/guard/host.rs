//! For which hosts the service answers: exactly one Host header, and it names this service.
//!
//! A web page can make its own name point at a loopback address, but it cannot make the browser send another
//! Host; so names are answered only when they are known. The port is not compared: a forwarded port is legal.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use axum::http::header;

use super::super::problem::{Code, Problem};

/// The address of this machine that the client has connected to; the server puts it beside each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectedTo(pub(crate) IpAddr);

/// A host that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no host name or address")]
pub(crate) struct InvalidHost {
    /// The text, escaped and cut to 100 characters.
    pub(crate) given: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

/// A Host header that was allowed: host and port as the client wrote them, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority(String);

impl Authority {
    /// Whether an `Origin` names this authority.
    pub(super) fn is_origin(&self, origin: &str) -> bool {
        origin.split_once("://").is_some_and(|(scheme, authority)| {
            let default_port = match scheme {
                "http" => ":80",
                "https" => ":443",
                _ => return false,
            };
            let bare = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_owned();
            bare(&authority.to_ascii_lowercase()) == bare(&self.0)
        })
    }
}

/// The hosts for which the service answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowedHosts(Vec<Host>);

impl AllowedHosts {
    /// Loopback always; the address that is listened on; whatever the user has configured (a port in it is ignored).
    pub(crate) fn new(listen: IpAddr, configured: &[String]) -> Result<Self, InvalidHost> {
        let mut hosts = vec![Host::Name("localhost".to_owned())];
        if !listen.is_unspecified() {
            hosts.push(Host::Address(listen.to_canonical()));
        }
        for text in configured {
            // An address of version 6 may stand without brackets in a configuration.
            let bare = text.trim().parse::<Ipv6Addr>().ok();
            let host = bare
                .map(|address| Host::Address(IpAddr::V6(address).to_canonical()))
                .or_else(|| Host::parse(text.trim()))
                .ok_or_else(|| InvalidHost {
                    given: text
                        .chars()
                        .take(100)
                        .flat_map(char::escape_debug)
                        .collect(),
                })?;
            hosts.push(host);
        }
        Ok(Self(hosts))
    }

    fn allow(&self, host: &Host, connected_to: Option<ConnectedTo>) -> bool {
        let reached = match host {
            // A literal address cannot be rebound: the client really meant the one it has reached.
            Host::Address(address) => {
                address.is_loopback()
                    || connected_to.is_some_and(|to| to.0.to_canonical() == *address)
            }
            Host::Name(_) => false,
        };
        reached || self.0.contains(host)
    }
}

impl Host {
    /// Reads `host` or `host:port`, where the host is a name, an IPv4 address or an IPv6 address in brackets.
    fn parse(authority: &str) -> Option<Self> {
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (inner, after) = rest.split_once(']')?;
            let address = inner.parse::<Ipv6Addr>().ok()?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':')?),
            };
            (Self::Address(IpAddr::V6(address).to_canonical()), port)
        } else {
            let (name, port) = match authority.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (authority, None),
            };
            (Self::parse_name(name)?, port)
        };
        let legal =
            |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
        port.is_none_or(legal).then_some(host)
    }

    fn parse_name(name: &str) -> Option<Self> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Some(Self::Address(address));
        }
        let legal = (1..=253).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        legal.then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(address) => write!(formatter, "{address}"),
        }
    }
}

/// Checks the Host header, and the authority of a request line in absolute form.
pub(super) fn check(
    allowed: &AllowedHosts,
    request: &Request,
    connected_to: Option<ConnectedTo>,
) -> Result<Authority, Problem> {
    let bad = |detail: &str| Problem::new(Code::BadHost, detail);
    let mut headers = request.headers().get_all(header::HOST).iter();
    let (Some(value), None) = (headers.next(), headers.next()) else {
        return Err(bad("the request has no Host header, or more than one"));
    };
    let text = value
        .to_str()
        .map_err(|_not_ascii| bad("the Host header is not ASCII"))?;
    let refuse_unknown = |text: &str| {
        let host = Host::parse(text).ok_or_else(|| bad("the Host header cannot be read"))?;
        if allowed.allow(&host, connected_to) {
            return Ok(());
        }
        Err(Problem::new(
            Code::HostNotAllowed,
            format!("this service does not answer for the host `{host}`"),
        )
        .with_remedy("use the address it listens on, or add the host to its allowed hosts"))
    };
    refuse_unknown(text)?;
    let absolute = request.uri().authority();
    if absolute.is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(text)) {
        return Err(bad(
            "the request line and the Host header name different hosts",
        ));
    }
    Ok(Authority(text.to_ascii_lowercase()))
}
