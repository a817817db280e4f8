//! Tells webhooks what has ended: each in order of what is due, again and again until it arrives or is given up.
//!
//! A message is forgotten after its receiver said that it came, so a crash in between tells it twice; its id tells the
//! receiver. One slow receiver holds up nobody but itself, and no job waits for any of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::domain::Webhook;
use crate::hub::{Message, Postman};
use crate::store::{Delivery, StoreError};

/// How often it is looked for messages that are due.
const POLL: Duration = Duration::from_millis(500);
/// Tries after which a message is given up.
pub(crate) const MOST_TRIES: u32 = 20;

/// Tells until `stop`, while `works` says that this process is the one that does.
pub(crate) async fn run(
    context: &Arc<Context>,
    postman: &Postman,
    hooks: &[Webhook],
    works: impl Fn() -> bool,
    stop: &CancellationToken,
) {
    let works = &works;
    join_all(
        hooks
            .iter()
            .map(|hook| serve(context, postman, hook, works, stop)),
    )
    .await;
}

async fn serve(
    context: &Arc<Context>,
    postman: &Postman,
    hook: &Webhook,
    works: &impl Fn() -> bool,
    stop: &CancellationToken,
) {
    let id = hook.id();
    while !stop.is_cancelled() {
        let changed = context.changed.notified();
        let told = if works() {
            tokio::select! {
                () = stop.cancelled() => return,
                told = step(context, postman, hook, &id) => told,
            }
        } else {
            Ok(false)
        };
        match told {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "The outbox of webhooks cannot be used."),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Tells the next message that is due; whether there was one.
async fn step(
    context: &Context,
    postman: &Postman,
    hook: &Webhook,
    id: &str,
) -> Result<bool, StoreError> {
    let store = &context.store;
    let Some(delivery) = store.next_delivery(id, context.clock.now()).await? else {
        return Ok(false);
    };
    let message = Message {
        id: delivery.key,
        event: &delivery.event,
        body: &delivery.body,
        seconds: context.clock.now().timestamp(),
    };
    let told = postman.tell(hook, message).await;
    failpoint!("webhook-told");
    match told {
        Ok(()) => {
            tracing::debug!(hook = hook.host(), event = %delivery.event, "A webhook was told.");
            store.delivered(delivery.key).await?;
        }
        Err(error) => {
            let due = pause(context, &delivery).map(|pause| context.clock.now() + pause);
            if due.is_none() {
                tracing::warn!(hook = hook.host(), event = %delivery.event, %error, "A webhook could not be told; it is given up.");
            } else {
                tracing::info!(hook = hook.host(), event = %delivery.event, %error, tries = delivery.tries + 1, "A webhook could not be told yet.");
            }
            let error = error.to_string();
            store.not_delivered(delivery.key, due, &error).await?;
        }
    }
    Ok(true)
}

/// The time until the next try; none when the message is given up.
fn pause(context: &Context, delivery: &Delivery) -> Option<Duration> {
    if delivery.tries + 1 >= MOST_TRIES {
        return None;
    }
    let policy = context.options.retry;
    let factor = 1_u32.checked_shl(delivery.tries).unwrap_or(u32::MAX);
    Some(
        policy
            .backoff
            .saturating_mul(factor)
            .min(policy.backoff_max),
    )
}
