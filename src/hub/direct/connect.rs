//! How a connection is made: look-up, happy eyeballs, TLS.

use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;

use super::super::HubError;
use super::super::http::KEEPALIVE;
use super::super::text::root_cause;

/// A connection, with or without TLS.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

pub(super) type Connector = HttpsConnector<HttpConnector>;

/// TLS with the certificates of the system, which are read here.
///
/// Fails when the system has none.
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

pub(super) fn connector(connect_timeout: Duration, tls: ClientConfig) -> Connector {
    let mut plain = HttpConnector::new();
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
