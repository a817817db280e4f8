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

/// Text of others without what may be a credential in it: the query and the user of each address, and hub tokens.
pub(crate) fn masked(text: &str) -> String {
    let edge = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ',' | ';');
    let mut safe = String::with_capacity(text.len());
    for piece in text.split_inclusive(edge) {
        let end = piece.chars().next_back().filter(|c| edge(*c));
        let word = end.map_or(piece, |end| &piece[..piece.len() - end.len_utf8()]);
        let (word, query) = match word.split_once('?') {
            Some((before, query)) if query.contains('=') => (before, "?***"),
            _ => (word, ""),
        };
        match word.split_once("//") {
            Some((scheme, rest)) if rest.split('/').next().unwrap_or_default().contains('@') => {
                let host = rest.split_once('@').map_or(rest, |(_, host)| host);
                safe.extend([scheme, "//***@", without_token(host), query]);
            }
            _ => safe.extend([without_token(word), query]),
        }
        safe.extend(end);
    }
    safe
}

/// The word up to the first hub token in it.
fn without_token(word: &str) -> &str {
    const SHORTEST: usize = 16;
    let is_token = |at: &usize| {
        let secret = word[at + "hf_".len()..].bytes();
        secret.take_while(u8::is_ascii_alphanumeric).count() >= SHORTEST
    };
    let found = word.match_indices("hf_").map(|(at, _)| at).find(is_token);
    found.map_or(word, |at| &word[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_loses_its_credentials_and_nothing_else() {
        for (given, shown) in [
            (
                "bytes http://h:9/x?X-Amz-Signature=s&K=hf_0123456789abcdef0123",
                "bytes http://h:9/x?***",
            ),
            (
                "<http://h/?a=b>; rel=\"next\"",
                "<http://h/?***>; rel=\"next\"",
            ),
            (
                "see ftp://me:pw@h/x, or //me@h",
                "see ftp://***@h/x, or //***@h",
            ),
            ("token hf_0123456789abcdef0123 is bad", "token  is bad"),
            (
                "what? a hf_transfer a@b \"etag\" bytes 0-1/2",
                "what? a hf_transfer a@b \"etag\" bytes 0-1/2",
            ),
            ("é?=ü", "é?***"),
        ] {
            assert_eq!(masked(given), shown);
        }
    }

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
