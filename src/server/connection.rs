//! One connection: HTTP/1.1 with limits on header, headers and writing, and an orderly end.

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::api::{ConnectedTo, Doors, Endless};

use super::Limits;
use super::patient::Patient;
use super::seats::Handle;

/// Serves the requests of a connection until it ends, or `draining` and the request in flight do.
pub(super) async fn serve(
    stream: TcpStream,
    doors: Doors,
    limits: Limits,
    draining: CancellationToken,
    seat: Handle,
) {
    let connected_to = super::reached(&stream).map(ConnectedTo);
    // Answers are small and whole; waiting to fill a packet only delays them. Without it they merely come later.
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "Cannot switch off delayed sending.");
    }
    let listener = seat.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(connected_to) = connected_to {
            request.extensions_mut().insert(connected_to);
        }
        let request = request.map(|body| seat.watch(body));
        let (answer, seat) = (doors.clone().oneshot(request), seat.clone());
        async move {
            // A client that sends hundreds of requests in one heap must not be answered to its last one while others wait.
            tokio::task::yield_now().await;
            let answer = answer.await;
            if let Ok(answer) = &answer
                && answer.extensions().get::<Endless>().is_some()
            {
                seat.listens();
            }
            seat.waits();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_header_size(limits.header_bytes)
        .max_headers(limits.headers)
        .serve_connection(
            TokioIo::new(Patient::new(stream, limits.write_time)),
            service,
        );
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            if listener.is_listening() {
                // It is told goodbye; one that does not read must not hold up the end.
                let told = tokio::time::timeout(limits.goodbye_time, connection).await;
                told.unwrap_or(Ok(()))
            } else {
                // Cut from outside when this takes too long.
                connection.await
            }
        }
    };
    if let Err(cause) = ended {
        tracing::debug!(%cause, "A connection ended early.");
    }
}
