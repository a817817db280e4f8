//! Listens, serves the HTTP doors, and stops in order.
//!
//! Whoever connects can hold up at most one of a bounded number of connections, and each for a bounded time: every
//! wait has a limit (header, body, writing, the end). What a request means is the business of `api`.

mod connection;
mod mounted;
mod patient;
mod seats;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::SHORTEST_PUBLIC_TOKEN;
pub use crate::api::{AdminKey, EffectiveSetting, TokenTooShort};
use crate::manager::UnifiedModelDownloadManager;
use crate::redact::Token;

pub use mounted::Mounted;
use seats::Seats;

/// Where to listen, and who may come in.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The token for admin routes, and for all routes when other machines can connect.
    pub admin_token: Option<Token>,
    /// Host names and addresses for which the service answers, besides loopback and the address itself.
    pub allowed_hosts: Vec<String>,
    /// Whether `X-Forwarded-Proto` of a proxy in front is believed: cookies are `Secure` behind https.
    pub trust_proxy: bool,
    /// The configuration as it may be shown.
    pub settings: Vec<EffectiveSetting>,
}

/// Why the service does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Other machines could connect, and there is no token that keeps them out.
    #[error(
        "{listen} can be reached by other machines, and {problem}; \
         listen on 127.0.0.1, or set MODELHAUL_ADMIN_TOKEN to at least {SHORTEST_PUBLIC_TOKEN} characters, \
         or put a proxy that asks for credentials in front of a loopback address"
    )]
    PublicWithoutToken {
        /// The address.
        listen: SocketAddr,
        /// What is wrong with the token.
        problem: &'static str,
    },
    /// An allowed host cannot be read.
    #[error("allowed host `{given}` is no host name or address")]
    BadHost {
        /// The text.
        given: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {cause}")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// The system's answer.
        #[source]
        cause: io::Error,
    },
}

/// Limits of serving; fixed in production, short in tests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at a time; for more, those are closed that have waited longest.
    pub(crate) connections: usize,
    /// Time in which a request's header must be whole; also how long an idle connection is kept.
    pub(crate) header_time: Duration,
    /// Longest time without progress while an answer is written.
    pub(crate) write_time: Duration,
    /// Bytes of a request's line and headers.
    pub(crate) header_bytes: usize,
    /// Headers of a request.
    pub(crate) headers: usize,
    /// Time that requests in flight get to finish when the service stops.
    pub(crate) drain_time: Duration,
    /// Time that those who listen to events get to read the goodbye.
    pub(crate) goodbye_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            header_time: Duration::from_secs(10),
            write_time: Duration::from_secs(30),
            header_bytes: 16 << 10,
            headers: 64,
            drain_time: Duration::from_secs(2),
            goodbye_time: Duration::from_millis(300),
        }
    }
}

/// A listening service.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    mounted: Mounted,
    limits: Limits,
}

impl Server {
    /// Checks the options and listens. Serves nobody yet: see [`Self::run_until`].
    ///
    /// Must be called within a tokio runtime.
    pub fn bind(
        options: ServerOptions,
        manager: UnifiedModelDownloadManager,
    ) -> Result<Self, ServerError> {
        let address = options.listen;
        let mounted = Mounted::new(options, manager)?;
        let (listener, local_addr) = listen(address).map_err(|cause| ServerError::Bind {
            listen: address,
            cause,
        })?;
        Ok(Self {
            listener,
            local_addr,
            mounted,
            limits: Limits::default(),
        })
    }

    /// The address that is listened on, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The admin token, which may be exchanged while the service runs.
    pub fn admin_key(&self) -> AdminKey {
        self.mounted.admin_key()
    }

    /// Serves until `stop`; then accepts nobody, lets requests in flight finish for 2 seconds, and drops the rest.
    pub async fn run_until(self, stop: CancellationToken) -> Result<(), ServerError> {
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        // When this future is dropped, its connections must not go on by themselves.
        let _cut_on_drop = cut.clone().drop_guard();
        let seats = Seats::new(self.limits.connections);
        tracing::info!(address = %self.local_addr, "Listening.");
        loop {
            let next = async {
                let stream = accept(&self.listener).await;
                (seats.take().await, stream)
            };
            let (seat, stream) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                next = next => next,
            };
            let serving = connection::serve(
                stream,
                self.mounted.router(),
                self.limits,
                self.mounted.draining.clone(),
                seat.handle(),
            );
            let (cut, closed) = (cut.clone(), seat.closed());
            connections.spawn(async move {
                tokio::select! {
                    () = cut.cancelled() => {}
                    () = closed.cancelled() => {}
                    () = serving => {}
                }
                drop(seat);
            });
        }
        self.mounted.drain();
        drop(self.listener);
        connections.close();
        let in_flight = connections.len();
        if tokio::time::timeout(self.limits.drain_time, connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                in_flight,
                left = connections.len(),
                "Dropped connections that did not finish."
            );
            cut.cancel();
            connections.wait().await;
        }
        tracing::info!(address = %self.local_addr, "Stopped listening.");
        Ok(())
    }
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let local_addr = listener.local_addr()?;
    Ok((listener, local_addr))
}

/// The next connection; errors are waited out, because a service that stops listening helps nobody.
async fn accept(listener: &TcpListener) -> TcpStream {
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    let mut pause = Duration::from_millis(10);
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => return stream,
            Err(cause) if is_about_the_client(&cause) => {}
            Err(cause) => {
                // Most likely there is no free file descriptor: asking again at once would only burn time.
                tracing::warn!(%cause, "Cannot accept a connection.");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn is_about_the_client(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// The address of this machine that a client has reached.
fn reached(stream: &TcpStream) -> Option<IpAddr> {
    stream.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests;
