//! A door: one port on loopback that can be closed and opened again without losing its number.
//!
//! A second socket stays bound to the port and never listens, so that nobody else gets the port
//! while the door is closed; a connection to it is refused, as to a server that is gone.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::request::Place;
use super::state::State;
use super::{control, routes};

/// Open or close, and tell when it is done.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) open: bool,
    pub(super) done: mpsc::Sender<io::Result<()>>,
}

/// A port that is ours, whether somebody listens on it or not.
pub(super) fn reserve(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    reserve(address.port())?.listen(1024)
}

/// Follows orders until the hub stops.
pub(super) async fn run(
    state: Arc<State>,
    place: Place,
    reservation: TcpSocket,
    mut orders: UnboundedReceiver<Order>,
    tracker: TaskTracker,
) {
    let address = state.addresses[&place];
    let mut open: Option<(TcpListener, CancellationToken)> = None;
    loop {
        let accepted = async {
            match &open {
                Some((listener, session)) => (listener.accept().await, session.clone()),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = state.stop.cancelled() => break,
            order = orders.recv() => {
                let Some(order) = order else { break };
                let result = if order.open && open.is_none() {
                    listen(address).map(|listener| open = Some((listener, state.stop.child_token())))
                } else {
                    if !order.open && let Some((_, session)) = open.take() {
                        session.cancel();
                    }
                    Ok(())
                };
                // Whoever gave the order may be gone; the door has changed all the same.
                drop(order.done.send(result));
            }
            (stream, session) = accepted => {
                if let Ok((stream, _)) = stream {
                    tracker.spawn(connection(Arc::clone(&state), place, stream, session));
                }
            }
        }
    }
    drop(reservation);
}

async fn connection(
    state: Arc<State>,
    place: Place,
    stream: TcpStream,
    session: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a practice connection was gone before its first request");
        return;
    }
    let served = async {
        if place == Place::Control {
            control::serve(&state, stream).await
        } else {
            routes::serve(&state, place, stream).await
        }
    };
    tokio::select! {
        () = session.cancelled() => {}
        result = served => if let Err(error) = result {
            tracing::debug!(%error, ?place, "a practice connection broke");
        }
    }
}
