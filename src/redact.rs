//! Secrets that mask themselves: a token and a URL that are safe to print.
//!
//! Signed CDN links carry their credential in the query, so a printed URL shows no query at all.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// An access token. `Debug` and `Display` show only that there is one.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// Takes a token as users paste it: white space and line breaks around it are dropped; blank means none.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text
            .trim()
            .chars()
            .filter(|c| !matches!(c, '\r' | '\n'))
            .collect();
        (!text.is_empty()).then(|| Self(SecretString::from(text)))
    }

    /// The secret itself, for the one header that carries it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(***)")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A URL whose `Display` and `Debug` leave out user, password, query and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct SafeUrl(Url);

impl SafeUrl {
    /// Wraps a URL.
    pub fn new(url: Url) -> Self {
        Self(url)
    }

    /// The whole URL, for the request that needs it.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl From<Url> for SafeUrl {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}://{}",
            self.0.scheme(),
            self.0.host_str().unwrap_or("")
        )?;
        if let Some(port) = self.0.port() {
            write!(formatter, ":{port}")?;
        }
        formatter.write_str(self.0.path())?;
        if self.0.query().is_some() {
            formatter.write_str("?***")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_prints_itself() {
        let token = Token::parse(" hf_secret\r\n").unwrap();
        assert_eq!(token.expose(), "hf_secret");
        assert_eq!(format!("{token} {token:?}"), "*** Token(***)");
        assert!(Token::parse(" \n").is_none());
    }

    #[test]
    fn a_printed_url_has_no_credential() {
        let url =
            SafeUrl::new(Url::parse("http://me:pw@cdn.test:81/a/b?X-Amz-Signature=s#f").unwrap());
        assert_eq!(
            format!("{url} {url:?}"),
            "http://cdn.test:81/a/b?*** http://cdn.test:81/a/b?***"
        );
    }
}
