//! How a connection is made: look-up, happy eyeballs, TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tower::Service;

use super::super::HubError;
use super::super::guard::{Guard, look_up};
use super::super::http::KEEPALIVE;
use super::super::text::root_cause;

/// A connection, with or without TLS.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

pub(super) type Connector = HttpsConnector<HttpConnector<Lookup>>;

/// Looks names up. What it answers is what the connection gets, so a guard here decides on the connected address.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    guard: Option<Guard>,
}

impl Service<Name> for Lookup {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.guard.clone();
        Box::pin(async move { Ok(look_up(name.as_str(), guard.as_ref()).await?.into_iter()) })
    }
}

/// How connections are secured; clones share the certificates.
#[derive(Debug, Clone)]
pub(crate) struct Tls(pub(in crate::hub) ClientConfig);

impl Tls {
    /// With the certificates of the system, which are read here: that takes some milliseconds.
    ///
    /// Fails when the system has none.
    pub(crate) fn of_the_system() -> Result<Self, HubError> {
        tls().map(Self)
    }
}

/// TLS with the certificates of the system.
pub(in crate::hub) fn tls() -> Result<ClientConfig, HubError> {
    // The provider is named, so that no process-wide default has to be installed.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let verified = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(|error| HubError::Client {
            cause: root_cause(&error),
        })?;
    Ok(verified.with_no_client_auth())
}

pub(super) fn connector(
    connect_timeout: Duration,
    tls: ClientConfig,
    guard: Option<Guard>,
) -> Connector {
    let mut plain = HttpConnector::new_with_resolver(Lookup { guard });
    plain.enforce_http(false);
    plain.set_nodelay(true);
    plain.set_keepalive(Some(KEEPALIVE));
    plain.set_connect_timeout(Some(connect_timeout));
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(plain)
}
