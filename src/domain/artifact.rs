//! Files outside of the hub, each named by its address.
//!
//! Where such a file lands is decided here alone: its path passes the same parser as those of the hub, and no two of
//! a model may meet on any file system.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{CommitHash, Digest, ModelId, RepoId, RepoPath, hex};

/// The most files that one registration may have.
pub const MOST_URL_FILES: usize = 1000;
/// The longest address, in bytes.
const LONGEST_URL: usize = 8192;

/// An address that is no source of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUrl(&'static str);

/// An `http`, `https`, `s3` or `file` address without user and password. Its query may be a credential, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct FileUrl(Url);

impl FileUrl {
    /// The whole address, for the request and for the row.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl FromStr for FileUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > LONGEST_URL {
            return Err(InvalidUrl("an address has at most 8192 bytes"));
        }
        let mut url = Url::parse(text.trim()).map_err(|_error| {
            InvalidUrl("it is no address; one like https://host/file is expected")
        })?;
        let known = matches!(url.scheme(), "http" | "https" | "s3" | "file");
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        // A file of this machine has no host, and no other address lacks one.
        if !known || has_host == (url.scheme() == "file") {
            return Err(InvalidUrl(
                "only http, https, s3 and file addresses are fetched",
            ));
        }
        let s3 = url.scheme() == "s3";
        if s3 && (url.path().len() < 2 || url.port().is_some() || url.query().is_some()) {
            return Err(InvalidUrl("an object is written s3://bucket/key"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl(
                "an address holds no user and password: name a `credential` of the configuration instead",
            ));
        }
        url.set_fragment(None);
        Ok(Self(url))
    }
}

impl fmt::Display for FileUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        let place = &url[url::Position::BeforeScheme..url::Position::AfterPath];
        let query = url.query().map_or("", |_secret| "?***");
        write!(formatter, "{place}{query}")
    }
}

impl fmt::Debug for FileUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// One file of a model that comes from addresses, as its row keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlFile {
    /// Where it comes from.
    #[serde(serialize_with = "whole", deserialize_with = "parsed")]
    pub url: FileUrl,
    /// Where it goes, below the model's folder.
    pub path: RepoPath,
    /// The sha256 of its content, when the caller knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Its length in bytes, when the caller knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The name of a credential of the configuration, sent to that credential's own origin only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

fn whole<S: Serializer>(url: &FileUrl, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.0.as_str())
}

fn parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FileUrl, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

/// What is wrong with a list of files: which one, which of its fields, and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("files[{index}].{field}: {rule}")]
pub struct InvalidFiles {
    /// The place of the file in the list, from 0.
    pub index: usize,
    /// The field.
    pub field: &'static str,
    /// The rule that it breaks.
    pub rule: String,
}

/// Checks that the files of a model can lie side by side.
///
/// # Errors
/// The first one that meets another, on a file system that tells upper from lower case or on one that does not.
pub fn check_url_files(files: &[UrlFile]) -> Result<(), InvalidFiles> {
    let broken = |index, field, rule: String| Err(InvalidFiles { index, field, rule });
    if files.is_empty() || files.len() > MOST_URL_FILES {
        return broken(0, "url", format!("a model has 1 to {MOST_URL_FILES} files"));
    }
    let folded: Vec<String> = files
        .iter()
        .map(|file| file.path.as_str().to_lowercase())
        .collect();
    let mut seen = HashSet::new();
    for (index, path) in folded.iter().enumerate() {
        if !seen.insert(path.as_str()) {
            let rule =
                "another file has this path, perhaps in other letters of upper and lower case";
            return broken(index, "path", rule.to_owned());
        }
    }
    for (index, path) in folded.iter().enumerate() {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        if above.into_iter().any(|folder| seen.contains(folder)) {
            let rule = "a folder of this path is another file".to_owned();
            return broken(index, "path", rule);
        }
        if let Some(rule) = unfit(files[index].path.as_str()) {
            return broken(index, "path", rule.to_owned());
        }
        if files[index]
            .sha256
            .as_ref()
            .is_some_and(|digest| !digest.is_sha256())
        {
            let rule = "64 lower-case hex digits are expected".to_owned();
            return broken(index, "sha256", rule);
        }
        if files[index]
            .size
            .is_some_and(|size| i64::try_from(size).is_err())
        {
            return broken(index, "size", "it is too large".to_owned());
        }
    }
    Ok(())
}

/// Names that Windows takes for something else; a caller chooses these paths, so all are refused everywhere.
fn unfit(path: &str) -> Option<&'static str> {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    path.split('/').find_map(|part| {
        if part.ends_with(['.', ' ']) || part.starts_with(' ') {
            return Some("a part begins with a space, or ends with a space or a dot");
        }
        if part.contains([':', '*', '?', '"', '<', '>', '|']) {
            return Some("a part holds one of `:*?\"<>|`");
        }
        let stem = part.split('.').next().unwrap_or(part).to_ascii_lowercase();
        let numbered = ["com", "lpt"].iter().any(|device| {
            stem.strip_prefix(device)
                .is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
        });
        (DEVICES.contains(&stem.as_str()) || numbered).then_some("a part is the name of a device")
    })
}

/// The version of such a list, in the place of a commit.
///
/// It changes with what the files are, and for a file with a known hash not with where they come from, so that a renewed
/// address goes on with what is here.
pub fn version_of(files: &[UrlFile]) -> CommitHash {
    let mut hash = Sha256::new();
    for file in files {
        let what = match &file.sha256 {
            Some(digest) => format!("sha256 {digest}"),
            None => format!("url {}", file.url.0),
        };
        hash.update(format!("{}\0{what}\0", file.path));
    }
    hex(&hash.finalize())[..40]
        .parse()
        .expect("40 hex digits are a commit")
}

/// The folder of a model in the managed folder: readable, legal everywhere, and of no other model.
pub fn artifact_folder(model: &ModelId) -> RepoId {
    const LONGEST: usize = 60;
    let mut name = String::new();
    for c in model.as_str().chars().take(LONGEST) {
        let c = if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        };
        if c != '-' || !(name.is_empty() || name.ends_with('-')) {
            name.push(c);
        }
    }
    let name = name.trim_end_matches('-');
    let name = if name.is_empty() { "model" } else { name };
    let hash = hex(&Sha256::digest(model.as_str()));
    format!("{name}-{}", &hash[..12])
        .parse()
        .expect("letters, digits and single dashes are a name")
}

/// What stands for the hash of a file that has none: it tells one version from another and proves nothing.
///
/// The parts must name the version: address, path, validator, length.
pub fn unhashed(parts: &[&str]) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_string());
        hash.update([0]);
        hash.update(part);
    }
    Digest::unhashed(&hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(url: &str, path: &str) -> UrlFile {
        UrlFile {
            url: url.parse().unwrap(),
            path: RepoPath::parse(path).unwrap(),
            sha256: None,
            size: None,
            credential: None,
        }
    }

    #[test]
    fn an_address_is_of_the_web_without_user_and_never_shows_its_query() {
        for bad in [
            "file://host/etc/passwd",
            "s3://bucket",
            "s3://bucket/",
            "s3:///key",
            "ftp://h/x",
            "gopher://h/x",
            "data:text/plain,x",
            "unix:/run/x",
            "https://me:pw@h/x",
            "https://me@h/x",
            "/x",
            "",
            "https://",
        ] {
            let error = bad.parse::<FileUrl>().unwrap_err().to_string();
            assert!(!error.contains("pw"), "{error}");
        }
        let url: FileUrl = "https://h:9/a?X-Sig=canary#f".parse().unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "https://h:9/a?*** https://h:9/a?***"
        );
        assert_eq!(url.expose().as_str(), "https://h:9/a?X-Sig=canary");
        let file = file("https://h/a?s=canary", "a");
        assert!(!format!("{file:?}").contains("canary"));
        let kept: UrlFile = serde_json::from_str(&serde_json::to_string(&file).unwrap()).unwrap();
        assert_eq!(kept, file);
    }

    #[test]
    fn files_of_a_model_never_meet() {
        let check = |paths: &[&str]| {
            let files: Vec<_> = paths.iter().map(|path| file("https://h/", path)).collect();
            check_url_files(&files)
        };
        assert!(check(&["a", "b/c", "b/d", ".hidden", "é"]).is_ok());
        for bad in [
            &[][..],
            &["a", "a"],
            &["a/Model", "A/model"],
            &["É", "é"],
            &["a", "a/b"],
            &["b/c", "B"],
            &["nul.txt"],
            &["a/COM1"],
            &["a."],
            &["a "],
            &["xx:y"],
            &["a/b?"],
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_folder_is_readable_and_of_one_model_only() {
        let folder = |id: &str| artifact_folder(&id.parse().unwrap()).as_str().to_owned();
        assert!(folder("Org/My_Model@v1").starts_with("org-my-model-v1-"));
        let ids = ["a/b", "a-b", "A/b", "a_b", "..a", "-", "@@", "x.git"];
        let folders: HashSet<String> = ids.iter().map(|id| folder(id)).collect();
        assert_eq!(folders.len(), ids.len());
        folder(&"x".repeat(160));
    }

    #[test]
    fn a_version_is_of_the_content_where_it_is_known_and_of_the_address_elsewhere() {
        let plain = |url| version_of(&[file(url, "a")]);
        assert_ne!(plain("https://h/a"), plain("https://h/b"));
        let hashed = |url| {
            let mut file = file(url, "a");
            file.sha256 = Some(Digest::parse(&"ab".repeat(32)).unwrap());
            version_of(&[file])
        };
        assert_eq!(hashed("https://h/a?sig=1"), hashed("https://h/a?sig=2"));
        let digest = unhashed(&["a", "b"]);
        assert_ne!(digest, unhashed(&["ab", ""]));
        assert!(!digest.is_sha256());
    }
}
