//! An answer that goes on for as long as the client listens ends when the client may not listen any more.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::Guard;
use super::token::{self, Policy};

/// How often it is asked again whether the caller may still use the route: a token that is revoked, a session that is
/// over and a first token that closes the door count within this time and the quarter of a second of the database.
const EVERY: Duration = Duration::from_millis(500);

struct Watched {
    body: BodyDataStream,
    guard: Arc<Guard>,
    policy: Policy,
    headers: HeaderMap,
    due: Interval,
}

/// The same body, for as long as what the request showed opens the route.
pub(super) fn watched(body: Body, guard: Arc<Guard>, policy: Policy, headers: HeaderMap) -> Body {
    let mut due = interval_at(Instant::now() + EVERY, EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watched = Watched {
        body: body.into_data_stream(),
        guard,
        policy,
        headers,
        due,
    };
    Body::from_stream(stream::unfold(watched, async |mut watched| {
        loop {
            tokio::select! {
                biased;
                _ = watched.due.tick() => {
                    let checked = token::check(&watched.guard, watched.policy, &watched.headers).await;
                    // The client comes again and is then told why. A database that does not answer ends no stream.
                    if checked.is_err_and(|problem| problem.into_response().status().is_client_error()) {
                        return None;
                    }
                }
                data = watched.body.next() => return Some((data?, watched)),
            }
        }
    }))
}
