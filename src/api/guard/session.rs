//! Sessions of browsers: a cookie stands for a token, so that the page keeps none and an event stream can be opened.
//!
//! A session holds only the hash of the token that opened it and is looked up like that token on every request, so it dies
//! with it. Sessions live in memory: a restart ends them all.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use tokio::time::Instant;

use crate::domain::{SecretHash, random_hex};

/// The name of the cookie.
pub(super) const COOKIE: &str = "modelhaul_session";

/// How long a session lasts, however much it is used.
pub(super) const LIFETIME: Duration = Duration::from_hours(12);

/// The most sessions: one more ends the oldest.
const MOST: usize = 1000;

/// One signed-in browser.
#[derive(Debug, Clone, Copy)]
struct Session {
    token: SecretHash,
    until: Instant,
}

/// All sessions, by the hash of their cookie.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

impl Sessions {
    /// Opens a session for the holder of a token; the value of its cookie, 256 random bits.
    pub(super) fn open(&self, token: SecretHash) -> std::io::Result<String> {
        let cookie = random_hex::<4>()?;
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, session| session.until > now);
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, session)| session.until);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                all.remove(&oldest);
            }
        }
        let until = now + LIFETIME;
        all.insert(key(&cookie), Session { token, until });
        Ok(cookie)
    }

    /// The token that opened the session of a request's cookie.
    pub(super) fn token(&self, headers: &HeaderMap) -> Option<SecretHash> {
        let key = key(cookie(headers)?);
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = all.get(&key)?;
        (session.until > Instant::now()).then_some(session.token)
    }

    /// Ends the session of a request's cookie, if it has one.
    pub(super) fn close(&self, headers: &HeaderMap) {
        if let Some(cookie) = cookie(headers) {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.remove(&key(cookie));
        }
    }
}

/// Looking up a hash tells nothing about the cookie, however long it takes.
fn key(cookie: &str) -> String {
    SecretHash::of(cookie.as_bytes()).to_hex()
}

/// The value of our cookie; of several the first, as browsers send the one with the longest path first.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(cookie: &str) -> HeaderMap {
        let text = format!("a=b; {COOKIE}={cookie}; c=d");
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&text).unwrap())])
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_by_itself_when_it_is_closed_and_when_there_are_too_many() {
        let sessions = Sessions::default();
        let token = SecretHash::of(b"token");
        let first = sessions.open(token).unwrap();
        assert_eq!(sessions.token(&with(&first)), Some(token));
        assert_eq!(sessions.token(&with("guess")), None);
        assert_eq!(sessions.token(&HeaderMap::new()), None);
        tokio::time::advance(LIFETIME / 2).await;
        let second = sessions.open(token).unwrap();
        tokio::time::advance(LIFETIME / 2).await;
        assert_eq!(sessions.token(&with(&first)), None);
        assert_eq!(sessions.token(&with(&second)), Some(token));
        sessions.close(&with(&second));
        assert_eq!(sessions.token(&with(&second)), None);
        let oldest = sessions.open(token).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..MOST {
            sessions.open(token).unwrap();
        }
        assert_eq!(sessions.token(&with(&oldest)), None);
        assert_eq!(sessions.0.lock().unwrap().len(), MOST);
        assert!(!format!("{sessions:?}").contains(&second));
    }
}
