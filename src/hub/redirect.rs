//! Which redirect may be followed; the walk itself is the callers'.
//!
//! Invariant: from https never to http, only to http or https, never with a user name.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};
use url::Url;

/// Most redirects in a row.
pub(crate) const MAX_HOPS: usize = 10;

/// Whether an answer sends the request elsewhere.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The address that an answer from `from` points to, or what is wrong with it.
pub(crate) fn target(from: &Url, headers: &HeaderMap) -> Result<Url, &'static str> {
    let location = headers
        .get(LOCATION)
        .ok_or("it names no address")?
        .to_str()
        .map_err(|_not_ascii| "its address is not plain text")?;
    let mut next = from
        .join(location.trim())
        .map_err(|_no_url| "its address is no URL")?;
    next.set_fragment(None);
    if !matches!(next.scheme(), "http" | "https") || next.host_str().is_none_or(str::is_empty) {
        return Err("its address is neither http nor https");
    }
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err("it leads from https to http");
    }
    if !next.username().is_empty() || next.password().is_some() {
        return Err("its address holds a user name");
    }
    if &next == from {
        return Err("it leads to itself");
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(from: &str, location: &str) -> Result<String, &'static str> {
        let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
        target(&Url::parse(from).unwrap(), &headers).map(|url| url.to_string())
    }

    #[test]
    fn relative_and_absolute_addresses_are_joined() {
        let from = "https://hub.test/a/b?x=1";
        assert_eq!(follow(from, "/c#f").unwrap(), "https://hub.test/c");
        assert_eq!(follow(from, "c?d").unwrap(), "https://hub.test/a/c?d");
        assert_eq!(follow(from, "//cdn.test/x").unwrap(), "https://cdn.test/x");
        assert_eq!(follow("http://a/", "https://a/").unwrap(), "https://a/");
    }

    #[test]
    fn dangerous_addresses_are_refused() {
        let from = "https://hub.test/a";
        for bad in [
            "http://hub.test/a",
            "file:///etc/passwd",
            "https://me:pw@cdn.test/",
            "",
            "https://",
            "https://[x/",
        ] {
            assert!(follow(from, bad).is_err(), "{bad}");
        }
        assert!(target(&Url::parse(from).unwrap(), &HeaderMap::new()).is_err());
    }
}
