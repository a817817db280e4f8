//! What a server outside of the hub is shown, by the name under which registrations ask for it.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use url::{Origin, Url};

/// One header for one origin. Only its name is ever stored or shown.
#[derive(Clone)]
pub struct Credential {
    name: String,
    origin: Url,
    header: String,
    value: Option<SecretString>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credential")
            .field("name", &self.name)
            .field("origin", &self.origin.origin().ascii_serialization())
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// Checks a credential. `host` is `example.org`, `example.org:8443` (both https) or a whole origin like
    /// `http://127.0.0.1:9000`; without a header's name the secret is a bearer token. Without a secret it can be named,
    /// but not be sent.
    ///
    /// # Errors
    /// The rule that is broken; it quotes no secret.
    pub fn new(
        name: &str,
        host: &str,
        header: Option<&str>,
        secret: Option<&str>,
    ) -> Result<Self, String> {
        let legal = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(&b));
        if !legal {
            return Err("name: 1 to 64 letters, digits or `._@+-` are expected".to_owned());
        }
        let text = if host.contains("://") {
            host.to_owned()
        } else {
            format!("https://{host}")
        };
        let origin = Url::parse(&text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none())
            .ok_or("host: a host like `example.org` or `example.org:8443`, or an origin like `http://host:9000`, is expected")?;
        let secret = secret.map(str::trim);
        let printable =
            |secret: &str| !secret.is_empty() && secret.chars().all(|c| (' '..='~').contains(&c));
        if !secret.is_none_or(printable) {
            return Err("the secret must be printable ASCII and not empty".to_owned());
        }
        let (header, value) = match header {
            None => (
                "authorization".to_owned(),
                secret.map(|secret| format!("Bearer {secret}")),
            ),
            Some(header) => (header.to_ascii_lowercase(), secret.map(str::to_owned)),
        };
        let word = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        // A header that steers the connection or the answer is none that carries a secret.
        let taken = [
            "host",
            "range",
            "if-range",
            "connection",
            "accept-encoding",
            "content-length",
            "transfer-encoding",
            "cookie",
            "referer",
        ];
        if header.is_empty() || !header.bytes().all(word) || taken.contains(&header.as_str()) {
            return Err("header: the name of a header for secrets is expected, for example `Authorization` or `X-Api-Key`".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            origin,
            header,
            value: value.map(SecretString::from),
        })
    }

    /// The name under which registrations ask for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Scheme, host and port, as text.
    pub fn origin(&self) -> String {
        self.origin.origin().ascii_serialization()
    }

    /// Whether it may be sent to this address: the very same scheme, host and port.
    pub fn is_for(&self, url: &Url) -> bool {
        match url.origin() {
            Origin::Opaque(_) => false,
            origin => origin == self.origin.origin(),
        }
    }

    /// The header's name, in lower case, and its secret value; for the request alone. None without a secret.
    pub fn expose(&self) -> Option<(&str, &str)> {
        let value = self.value.as_ref()?;
        Some((&self.header, value.expose_secret()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_goes_to_its_own_origin_and_shows_no_secret() {
        let credential = Credential::new("a", "Example.org", None, Some(" canary ")).unwrap();
        assert_eq!(
            credential.expose(),
            Some(("authorization", "Bearer canary"))
        );
        assert!(!format!("{credential:?}").contains("canary"));
        for (url, sent) in [
            ("https://example.org/x", true),
            ("https://EXAMPLE.org:443/x", true),
            ("http://example.org/x", false),
            ("https://example.org:8443/x", false),
            ("https://example.org.evil/x", false),
            ("https://cdn.example.org/x", false),
        ] {
            assert_eq!(credential.is_for(&Url::parse(url).unwrap()), sent, "{url}");
        }
        let own =
            Credential::new("b", "http://127.0.0.1:9000", Some("X-Api-Key"), Some("k")).unwrap();
        assert_eq!(own.expose(), Some(("x-api-key", "k")));
        assert!(own.is_for(&Url::parse("http://127.0.0.1:9000/x").unwrap()));
        for (name, host, header, secret) in [
            ("", "h", None, "s"),
            ("a b", "h", None, "s"),
            ("a", "h/path", None, "s"),
            ("a", "ftp://h", None, "s"),
            ("a", "me:pw@h", None, "s"),
            ("a", "h", Some("Host"), "s"),
            ("a", "h", Some("a b"), "s"),
            ("a", "h", None, ""),
            ("a", "h", None, "a\nb"),
        ] {
            let made = Credential::new(name, host, header, Some(secret));
            assert!(made.is_err(), "{name} {host}");
        }
    }
}
