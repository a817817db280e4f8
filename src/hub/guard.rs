//! Clients for addresses that are not the hub's: they connect to public addresses only, and to networks that were allowed.
//!
//! The decision is made on the address that is connected to: names are looked up here, and what the look-up gave is
//! what the connection gets, so a name that changes between check and use changes nothing. One forbidden address among
//! several forbids them all. Redirects are not followed, and no proxy stands between, which would look up by itself.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::HubError;
use super::http;
use crate::domain::{Network, is_public};

/// What is said of every address that is not allowed: which one it was tells a stranger about the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address is not public, and the configuration does not allow it")]
pub(crate) struct Forbidden;

/// The addresses that are good.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    allowed: Arc<[Network]>,
}

impl Guard {
    /// Public addresses, and these networks.
    pub(crate) fn new(allowed: &[Network]) -> Self {
        Self {
            allowed: allowed.into(),
        }
    }

    /// A client behind this guard, which gives up on a connection after `connect_timeout`.
    pub(crate) fn client(&self, connect_timeout: Duration) -> Result<Client, HubError> {
        http::guarded_client(connect_timeout, self.clone())
    }

    /// Checks an address that stands in the URL itself: the client asks no resolver for those.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Forbidden> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check_address(address.into()),
            Some(Host::Ipv6(address)) => self.check_address(address.into()),
            Some(Host::Domain(_)) => Ok(()),
            None => Err(Forbidden),
        }
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Forbidden> {
        let allowed = || self.allowed.iter().any(|network| network.contains(address));
        if is_public(address) || allowed() {
            Ok(())
        } else {
            Err(Forbidden)
        }
    }

    fn check_all(&self, addresses: &[SocketAddr]) -> Result<(), Forbidden> {
        addresses
            .iter()
            .try_for_each(|address| self.check_address(address.ip()))
    }
}

/// Looks a name up; with a guard only when all of its addresses are good.
pub(super) async fn look_up(name: &str, guard: Option<&Guard>) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    let found: Vec<SocketAddr> = found.collect();
    if let Some(guard) = guard {
        guard.check_all(&found).map_err(io::Error::other)?;
    }
    Ok(found)
}

/// Whether an error comes from an address that is not allowed.
pub(super) fn is_forbidden(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if error.is::<Forbidden>() || inner.is_some_and(<dyn Error + Send + Sync>::is::<Forbidden>)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = look_up(name.as_str(), Some(&guard)).await?;
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, url: &str) -> bool {
        guard.check(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn every_spelling_of_a_private_address_is_refused() {
        let guard = Guard::new(&[]);
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://[::1]/",
            "http://127.0.0.1./",
            "http://[::ffff:127.0.0.1]/",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://169.254.169.254/latest/meta-data",
            "http://%31%32%37.0.0.1/",
        ] {
            assert!(!check(&guard, url), "{url}");
        }
        assert!(check(&guard, "https://1.1.1.1/") && check(&guard, "https://example.org/"));
        let office = Guard::new(&["10.0.0.0/8".parse().unwrap()]);
        assert!(check(&office, "http://10.1.2.3/") && !check(&office, "http://127.0.0.1/"));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_refused_before_a_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = Guard::new(&[]).client(Duration::from_secs(1)).unwrap();
        let url = format!("http://localhost:{port}/");
        let error = client.get(&url).send().await.unwrap_err();
        assert!(is_forbidden(&error), "{error:?}");
        let came = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(came.is_err(), "somebody has connected");
        let mixed: Vec<SocketAddr> =
            vec!["1.1.1.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()];
        assert_eq!(Guard::new(&[]).check_all(&mixed), Err(Forbidden));

        let allowed = Guard::new(&["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
        let client = allowed.client(Duration::from_secs(1)).unwrap();
        let sending = client.get(&url).timeout(Duration::from_secs(2)).send();
        let (came, _gone) = tokio::join!(
            tokio::time::timeout(Duration::from_secs(2), listener.accept()),
            tokio::time::timeout(Duration::from_millis(500), sending)
        );
        assert!(came.unwrap().is_ok());
    }
}
