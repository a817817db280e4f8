//! The one place that makes HTTP clients.
//!
//! Invariant: no client follows a redirect, names a referer, keeps a cookie, unpacks a body or asks
//! the environment for a proxy. TLS is rustls with the system's certificates.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, NoProxy, Proxy, redirect};
use rustls::ClientConfig;
use url::Url;

use super::HubError;
use super::direct::tls;
use super::guard::Guard;
use super::text::root_cause;

/// How this program calls itself.
pub(super) const AGENT: &str = concat!("modelhaul/", env!("CARGO_PKG_VERSION"));
/// After so long without a byte the system asks whether the other side is still there.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(30);
/// The longest time for a connection.
pub(super) const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);
const IDLE_CONNECTION: Duration = Duration::from_mins(1);

/// Makes a client; `proxy` is the only proxy that it uses, and hosts of `no_proxy` go around it.
///
/// It speaks HTTP/1.1 only, so that each range has a connection of its own. Used where a proxy is to be asked; without
/// one, connections are made by [`super::direct`].
///
/// Fails when the proxy's address is no URL that a proxy can have.
pub(crate) fn client(
    connect_timeout: Duration,
    tls: ClientConfig,
    proxy: Option<&Url>,
    no_proxy: Option<&str>,
) -> Result<Client, HubError> {
    let mut builder = builder(connect_timeout, tls);
    if let Some(url) = proxy {
        let proxy = Proxy::all(url.clone()).map_err(failed)?;
        builder = builder.proxy(proxy.no_proxy(no_proxy.and_then(NoProxy::from_string)));
    }
    builder.build().map_err(failed)
}

/// Makes a client that connects only where `guard` lets it, for addresses that others have written.
pub(crate) fn guarded_client(connect_timeout: Duration, guard: Guard) -> Result<Client, HubError> {
    builder(connect_timeout, tls()?)
        .dns_resolver(guard)
        .pool_max_idle_per_host(0)
        .build()
        .map_err(failed)
}

fn failed(error: reqwest::Error) -> HubError {
    HubError::Client {
        cause: root_cause(&error.without_url()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one factory of clients"
)]
fn builder(connect_timeout: Duration, tls: ClientConfig) -> ClientBuilder {
    Client::builder()
        .user_agent(AGENT)
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .retry(reqwest::retry::never())
        .connect_timeout(connect_timeout.min(CONNECT_TIMEOUT_MAX))
        .pool_idle_timeout(IDLE_CONNECTION)
        .tcp_keepalive(KEEPALIVE)
        .http1_only()
        .no_proxy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_no_crypto_provider_from_the_process() {
        assert!(client(CONNECT_TIMEOUT_MAX, tls().unwrap(), None, None).is_ok());
    }
}
