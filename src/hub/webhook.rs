//! Telling a webhook: one signed POST, without redirects, within seconds.
//!
//! `X-Modelhaul-Signature: t=<seconds>,v1=<hex>` is the HMAC-SHA256 of `<seconds>.<body>` under the webhook's secret. What the
//! receiver answers is not read: neither its body nor its address ever comes back to a person who set a URL.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use sha2::Sha256;
use tokio::time::timeout;

use super::HubError;
use super::guard::{Forbidden, Guard, is_forbidden};
use crate::domain::{Network, Webhook, hex};

/// The longest time for one message, all in all.
const PATIENCE: Duration = Duration::from_secs(5);

/// One message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The same for each try, so that a receiver can tell a repetition.
    pub(crate) id: i64,
    /// For example `job.completed`.
    pub(crate) event: &'a str,
    /// JSON.
    pub(crate) body: &'a str,
    /// Seconds since the Unix epoch at this try.
    pub(crate) seconds: i64,
}

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTold {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("the receiver answered {0}")]
    Refused(u16),
    #[error("the receiver cannot be reached")]
    Unreachable,
    #[error("the receiver did not answer within 5 s")]
    Late,
}

/// Tells webhooks.
#[derive(Debug, Clone)]
pub(crate) struct Postman {
    client: Client,
    guard: Guard,
}

impl Postman {
    /// Goes to public addresses and to these networks.
    pub(crate) fn new(allowed: &[Network]) -> Result<Self, HubError> {
        let guard = Guard::new(allowed);
        Ok(Self {
            client: guard.client(PATIENCE)?,
            guard,
        })
    }

    /// Tells once.
    pub(crate) async fn tell(&self, hook: &Webhook, message: Message<'_>) -> Result<(), NotTold> {
        let url = hook.url();
        self.guard.check(url)?;
        let signature = sign(hook.secret(), message.seconds, message.body);
        let sending = self
            .client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("x-modelhaul-event", message.event)
            .header("x-modelhaul-delivery", message.id)
            .header("x-modelhaul-signature", signature)
            .body(message.body.to_owned())
            .send();
        let answer = match timeout(PATIENCE, sending).await {
            Err(_elapsed) => return Err(NotTold::Late),
            Ok(Err(error)) if is_forbidden(&error) => return Err(Forbidden.into()),
            Ok(Err(_broken)) => return Err(NotTold::Unreachable),
            Ok(Ok(answer)) => answer,
        };
        let status = answer.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(NotTold::Refused(status.as_u16()))
        }
    }
}

/// The value of the signature's header.
fn sign(secret: &str, seconds: i64, body: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
    mac.update(format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_computes() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(sign("0123456789abcdef", 1_700_000_000, "{\"a\":1}"), SIGNED);
    }

    const SIGNED: &str =
        "t=1700000000,v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23";

    #[tokio::test]
    async fn a_private_address_is_not_told() {
        let postman = Postman::new(&[]).unwrap();
        let message = Message {
            id: 1,
            event: "job.completed",
            body: "{}",
            seconds: 0,
        };
        for url in ["http://127.0.0.1:9/", "http://localhost:9/"] {
            let hook = Webhook::new(url, "0123456789abcdef", &[]).unwrap();
            assert_eq!(
                postman.tell(&hook, message).await,
                Err(Forbidden.into()),
                "{url}"
            );
        }
    }
}
