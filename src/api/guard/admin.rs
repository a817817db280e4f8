//! The admin token of this moment: it may be exchanged while the service runs.

use std::sync::{Arc, PoisonError, RwLock};

use super::token::SHORTEST_PUBLIC_TOKEN;
use crate::domain::SecretHash;
use crate::redact::Token;

/// Which admin token opens the doors; cheap to clone, and all clones change together.
#[derive(Debug, Clone)]
pub struct AdminKey {
    hash: Arc<RwLock<Option<SecretHash>>>,
    /// Whether other machines can connect.
    public: bool,
}

/// The new token does not keep other machines out; the old one goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the new admin token is too short: other machines can connect, so it needs {SHORTEST_PUBLIC_TOKEN} characters"
)]
pub struct TokenTooShort;

impl AdminKey {
    pub(super) fn new(token: Option<&Token>, public: bool) -> Self {
        let hash = token.map(|token| SecretHash::of(token.expose().as_bytes()));
        Self {
            hash: Arc::new(RwLock::new(hash)),
            public,
        }
    }

    /// Lets this token count from now on, and what was opened with another one no more. Answers whether it is another one.
    ///
    /// # Errors
    /// Other machines can connect, and it is shorter than 16 characters.
    pub fn replace(&self, token: &Token) -> Result<bool, TokenTooShort> {
        let text = token.expose();
        if self.public && text.len() < SHORTEST_PUBLIC_TOKEN {
            return Err(TokenTooShort);
        }
        let new = SecretHash::of(text.as_bytes());
        let mut hash = self.hash.write().unwrap_or_else(PoisonError::into_inner);
        Ok(hash.replace(new) != Some(new))
    }

    pub(super) fn is(&self, shown: &SecretHash) -> bool {
        self.current().is_some_and(|hash| hash == *shown)
    }

    pub(super) fn is_set(&self) -> bool {
        self.current().is_some()
    }

    fn current(&self) -> Option<SecretHash> {
        *self.hash.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_takes_the_place_of_the_old_one() {
        let token = |text: &str| Token::parse(text).unwrap();
        let hash = |text: &str| SecretHash::of(text.as_bytes());
        let key = AdminKey::new(Some(&token("one")), false);
        let clone = key.clone();
        assert!(key.is(&hash("one")) && !key.is(&hash("two")));
        assert_eq!(clone.replace(&token("one")), Ok(false));
        assert_eq!(clone.replace(&token("two")), Ok(true));
        assert!(key.is(&hash("two")) && !key.is(&hash("one")));

        let public = AdminKey::new(None, true);
        assert!(!public.is_set() && !public.is(&hash("")));
        assert_eq!(public.replace(&token("short")), Err(TokenTooShort));
        assert!(!public.is_set());
        assert_eq!(public.replace(&token("long enough for all")), Ok(true));
        assert!(public.is_set());
    }
}
