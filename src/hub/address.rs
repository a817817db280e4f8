//! Where the hub is, and how its URLs are spelled.
//!
//! Invariant: whatever the name of a revision or file holds, it stays inside its own part of the path.
//! Who may see the token is decided here too: the exact origin of the endpoint, nothing else.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::HubError;
use crate::domain::{CommitHash, RepoId, RepoPath, Revision};
use crate::redact::SafeUrl;

/// Everything but the unreserved characters of RFC 3986, as Python's `quote(text, safe="")` does.
const PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The hub's address: a base URL without a slash at its end.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    base: SafeUrl,
}

impl Endpoint {
    /// Checks a configured address: http or https, a host, no user, query or fragment.
    pub(crate) fn new(url: Url) -> Result<Self, HubError> {
        let refuse = |rule: &str| {
            Err(HubError::Endpoint {
                url: SafeUrl::new(url.clone()).to_string(),
                rule: rule.to_owned(),
            })
        };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return refuse("it must begin with https:// or http:// and a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("it must not hold a user name or password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("it must not hold a query or fragment");
        }
        Ok(Self {
            base: SafeUrl::new(url),
        })
    }

    /// The address itself; it holds no secret.
    pub(crate) fn base(&self) -> &Url {
        self.base.expose()
    }

    /// The host and, when it is not the usual one, the port: for messages.
    pub(crate) fn host(&self) -> String {
        host_of(self.base.expose())
    }

    /// The page of a repository, for people.
    pub(crate) fn page(&self, repo: &RepoId) -> String {
        format!("{}/{repo}", self.base_text())
    }

    /// `GET` of it answers what a revision is.
    pub(crate) fn revision_url(&self, repo: &RepoId, revision: &Revision) -> Url {
        self.build(&format!(
            "/api/{}/revision/{}",
            repo.api_path(),
            encode(revision.as_str())
        ))
    }

    /// The first page of a commit's file list.
    pub(crate) fn tree_url(&self, repo: &RepoId, commit: &CommitHash) -> Url {
        self.build(&format!(
            "/api/{}/tree/{commit}?recursive=true&expand=false",
            repo.api_path()
        ))
    }

    /// `GET` of it answers a file or redirects to where it is kept.
    pub(crate) fn file_url(&self, repo: &RepoId, commit: &CommitHash, path: &RepoPath) -> Url {
        let path: Vec<String> = path.as_str().split('/').map(encode).collect();
        self.build(&format!("/{repo}/resolve/{commit}/{}", path.join("/")))
    }

    /// Whether a URL lies at the hub's own origin (scheme, host and port): only there the token may go.
    pub(crate) fn is_hub(&self, url: &Url) -> bool {
        let base = self.base.expose();
        base.scheme() == url.scheme()
            && base.host_str() == url.host_str()
            && base.port_or_known_default() == url.port_or_known_default()
    }

    fn base_text(&self) -> &str {
        self.base.expose().as_str().trim_end_matches('/')
    }

    fn build(&self, rest: &str) -> Url {
        Url::parse(&format!("{}{rest}", self.base_text()))
            .expect("a checked base and encoded parts make a URL")
    }
}

/// The host and an unusual port of a URL.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn encode(part: &str) -> String {
    utf8_percent_encode(part, PART).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::new(Url::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn names_stay_inside_their_part_of_the_path() {
        let hub = endpoint("https://hub.test/mirror/");
        let repo: RepoId = "org/name".parse().unwrap();
        let commit: CommitHash = "a".repeat(40).parse().unwrap();
        let file = RepoPath::parse("ä b/100%#x?y=1&z/..c+d%2e%2e").unwrap();
        assert_eq!(
            hub.file_url(&repo, &commit, &file).as_str(),
            format!(
                "https://hub.test/mirror/org/name/resolve/{commit}/%C3%A4%20b/100%25%23x%3Fy%3D1%26z/..c%2Bd%252e%252e"
            )
        );
        assert_eq!(
            hub.revision_url(&repo, &"refs/pr/1".parse().unwrap())
                .as_str(),
            "https://hub.test/mirror/api/models/org/name/revision/refs%2Fpr%2F1"
        );
        assert_eq!(hub.page(&repo), "https://hub.test/mirror/org/name");
    }

    #[test]
    fn the_origin_is_scheme_host_and_port() {
        let hub = endpoint("https://hub.test");
        for (url, same) in [
            ("https://hub.test/x", true),
            ("https://HUB.test:443/x", true),
            ("http://hub.test/x", false),
            ("https://hub.test:8443/x", false),
            ("https://hub.test.evil/x", false),
            ("https://x@evil/hub.test", false),
        ] {
            assert_eq!(hub.is_hub(&Url::parse(url).unwrap()), same, "{url}");
        }
    }

    #[test]
    fn an_endpoint_holds_no_credential_and_no_query() {
        for bad in [
            "ftp://hub.test",
            "https://me:pw@hub.test",
            "https://hub.test/?a=b",
            "data:x",
        ] {
            let error = Endpoint::new(Url::parse(bad).unwrap()).unwrap_err();
            assert!(!error.to_string().contains("pw"), "{error}");
        }
    }
}
