//! Who is told when a job ends.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::access::SecretHash;
use super::state::JobState;

/// One receiver. Its address may hold a credential, so it is known elsewhere by [`Self::id`] alone.
#[derive(Clone)]
pub struct Webhook {
    url: Url,
    secret: SecretString,
    events: Vec<JobState>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Webhook")
            .field("host", &self.host())
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// The shortest secret, in characters.
const SHORTEST_SECRET: usize = 16;

impl Webhook {
    /// Checks address and secret; no events mean all ends.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn new(url: &str, secret: &str, events: &[String]) -> Result<Self, String> {
        let address = Url::parse(url.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .ok_or("url: an http or https address without user and password is expected")?;
        let secret = secret.trim();
        if secret.len() < SHORTEST_SECRET {
            return Err(format!(
                "secret: at least {SHORTEST_SECRET} characters are expected"
            ));
        }
        let ends = JobState::ALL
            .iter()
            .copied()
            .filter(|state| state.is_final());
        let events = if events.is_empty() {
            ends.collect()
        } else {
            events
                .iter()
                .map(|word| {
                    let end = word.strip_prefix("job.").unwrap_or(word);
                    ends.clone()
                        .find(|state| state.as_str() == end)
                        .ok_or_else(|| {
                            "events: completed, failed or cancelled are expected".to_owned()
                        })
                })
                .collect::<Result<_, _>>()?
        };
        Ok(Self {
            url: address,
            secret: SecretString::from(secret),
            events,
        })
    }

    /// Where it is told; for the request alone.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What its messages are signed with.
    pub fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    /// The ends that it wants to hear of.
    pub fn events(&self) -> &[JobState] {
        &self.events
    }

    /// The hash of the address.
    pub fn id(&self) -> String {
        SecretHash::of(self.url.as_str().as_bytes()).to_hex()
    }

    /// Where it is told, as logs may say it: without path and query, which are often the credential.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_needs_an_address_and_a_secret_and_shows_neither() {
        let secret = "0123456789abcdef";
        let hook = Webhook::new("https://hooks.test/a?key=canary", secret, &[]).unwrap();
        assert_eq!(hook.events.len(), 3);
        assert!(!format!("{hook:?}").contains("canary") && !format!("{hook:?}").contains(secret));
        assert_eq!((hook.host(), hook.id().len()), ("hooks.test", 64));
        let some = Webhook::new(
            "http://h",
            secret,
            &["job.failed".into(), "completed".into()],
        );
        assert_eq!(
            some.unwrap().events(),
            [JobState::Failed, JobState::Completed]
        );
        for (url, secret, events) in [
            ("ftp://h/", secret, vec![]),
            ("file:///etc/passwd", secret, vec![]),
            ("https://me:pw@h/", secret, vec![]),
            ("h", secret, vec![]),
            ("https://h/", "short", vec![]),
            ("https://h/", secret, vec!["queued".to_owned()]),
        ] {
            assert!(Webhook::new(url, secret, &events).is_err(), "{url}");
        }
    }
}
