//! What a server outside of the hub is shown, by the name under which registrations ask for it.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use url::{Origin, Url};

/// What one origin is shown: a header, or signatures of a key. Only its name is ever stored or shown.
#[derive(Clone)]
pub struct Credential {
    name: String,
    origin: Url,
    shows: Shows,
    value: Option<SecretString>,
}

#[derive(Clone)]
enum Shows {
    /// The secret, in a header of this name.
    Header(String),
    /// Signatures made with the secret, for objects of a store.
    S3 { key_id: String, region: String },
}

/// The keys of an S3 store.
#[derive(Clone, Copy)]
pub struct S3Keys<'a> {
    /// The store: scheme, host and port.
    pub endpoint: &'a Url,
    /// Its region.
    pub region: &'a str,
    /// The id of the access key.
    pub key_id: &'a str,
    /// The secret access key.
    pub secret: &'a str,
}

impl fmt::Debug for S3Keys<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("S3Keys").finish_non_exhaustive()
    }
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
            shows: Shows::Header(header),
            value: value.map(SecretString::from),
        })
    }

    /// The same for objects of an S3 store, `s3://bucket/key`: `host` is the store, the secret its secret access key.
    ///
    /// # Errors
    /// The rule that is broken; it quotes no secret.
    pub fn s3(
        name: &str,
        host: &str,
        key_id: &str,
        region: Option<&str>,
        secret: Option<&str>,
    ) -> Result<Self, String> {
        let mut credential = Self::new(name, host, Some("authorization"), secret)?;
        let region = region.unwrap_or("us-east-1");
        let word = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if !word(key_id) {
            return Err("s3_key_id: the id of an access key is expected".to_owned());
        }
        if !word(region) {
            return Err("s3_region: a region like `us-east-1` is expected".to_owned());
        }
        credential.shows = Shows::S3 {
            key_id: key_id.to_owned(),
            region: region.to_owned(),
        };
        Ok(credential)
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
    ///
    /// Keys of a store are for every object, since the address of an object does not name its store.
    pub fn is_for(&self, url: &Url) -> bool {
        if matches!(self.shows, Shows::S3 { .. }) {
            return url.scheme() == "s3";
        }
        match url.origin() {
            Origin::Opaque(_) => false,
            origin @ Origin::Tuple(..) => origin == self.origin.origin(),
        }
    }

    /// The header's name, in lower case, and its secret value; for the request alone. None without a secret.
    pub fn expose(&self) -> Option<(&str, &str)> {
        let value = self.value.as_ref()?;
        match &self.shows {
            Shows::Header(header) => Some((header, value.expose_secret())),
            Shows::S3 { .. } => None,
        }
    }

    /// Whether there is a secret.
    pub fn is_ready(&self) -> bool {
        self.value.is_some()
    }

    /// Where it is shown.
    pub fn place(&self) -> &Url {
        &self.origin
    }

    /// The keys of a store, for the signature alone. None without a secret.
    pub fn expose_s3(&self) -> Option<S3Keys<'_>> {
        let secret = self.value.as_ref()?.expose_secret();
        match &self.shows {
            Shows::Header(_) => None,
            Shows::S3 { key_id, region } => Some(S3Keys {
                endpoint: &self.origin,
                region,
                key_id,
                secret,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_store_are_for_its_objects_and_show_no_secret() {
        let keys =
            |region, key| Credential::s3("m", "http://127.0.0.1:9000", key, region, Some("canary"));
        let own = keys(None, "AKID").unwrap();
        assert!(own.is_for(&Url::parse("s3://bucket/key").unwrap()));
        assert!(!own.is_for(&Url::parse("http://127.0.0.1:9000/bucket/key").unwrap()));
        assert_eq!(own.expose(), None);
        let exposed = own.expose_s3().unwrap();
        assert_eq!((exposed.region, exposed.secret), ("us-east-1", "canary"));
        assert!(!format!("{own:?} {exposed:?}").contains("canary"));
        assert!(keys(Some("a b"), "AKID").is_err());
        assert!(keys(None, "").is_err());
    }

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
