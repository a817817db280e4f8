//! A file by its address, as a registration gives it and as answers show it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{Digest, FileUrl, RepoPath, UrlFile};

/// The longest number of bytes that `SQLite` keeps.
const LARGEST: u64 = i64::MAX.unsigned_abs();
const LONGEST_NAME: usize = 64;

/// A file as it came.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = UrlFile)]
pub(crate) struct UrlFileBody {
    /// `http` or `https`, without user and password.
    #[schema(value_type = String, examples("https://example.org/model.onnx"))]
    url: Option<String>,
    /// Where it goes below the model's folder, with `/` between the parts.
    #[schema(value_type = String, examples("model.onnx"))]
    path: Option<String>,
    /// 64 lower-case hex digits. Without it the file is never verified.
    sha256: Option<String>,
    /// Bytes; needed only when the server does not say it.
    size: Option<u64>,
    /// The name of a `[[credential]]` of the configuration.
    credential: Option<String>,
    #[serde(flatten)]
    #[schema(ignore)]
    unknown: Map<String, Value>,
}

type Broken = Vec<(String, String)>;

impl UrlFileBody {
    /// The file, or every rule that it breaks, each with its field. No rule quotes an address.
    pub(super) fn read(self) -> Result<UrlFile, Broken> {
        let mut broken: Broken = Vec::new();
        let mut told = |field: &str, rule: String| broken.push((field.to_owned(), rule));
        for name in self.unknown.keys() {
            let name: String = name.chars().take(100).collect();
            told(&name, "there is no such field".to_owned());
        }
        let missing = || "it is missing".to_owned();
        let url = self.url.as_deref().ok_or_else(missing);
        let url = url.and_then(|text| text.parse::<FileUrl>().map_err(|e| e.to_string()));
        let url = url.map_err(|rule| told("url", rule)).ok();
        let path = self.path.as_deref().ok_or_else(missing);
        let path = path.and_then(|text| RepoPath::parse(text).map_err(|e| e.to_string()));
        let path = path.map_err(|rule| told("path", rule)).ok();
        let sha256 = self.sha256.as_deref().map(Digest::parse);
        let sha256 = match sha256 {
            Some(Ok(digest)) if digest.is_sha256() => Some(digest),
            None => None,
            _ => {
                told("sha256", "64 lower-case hex digits are expected".to_owned());
                None
            }
        };
        if self.size.is_some_and(|size| size > LARGEST) {
            told("size", format!("it must be at most {LARGEST}"));
        }
        let name = self.credential.as_deref();
        if name.is_some_and(|name| name.is_empty() || name.len() > LONGEST_NAME) {
            let rule = "the name of a credential of the configuration is expected";
            told("credential", rule.to_owned());
        }
        match (url, path) {
            (Some(url), Some(path)) if broken.is_empty() => Ok(UrlFile {
                url,
                path,
                sha256,
                size: self.size,
                credential: self.credential,
            }),
            _ => Err(broken),
        }
    }
}

/// A file as answers show it: the query of its address may be a credential and is masked.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RegisteredFile)]
pub(crate) struct UrlFileShown {
    #[schema(value_type = String)]
    url: String,
    path: RepoPath,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
}

impl From<UrlFile> for UrlFileShown {
    fn from(file: UrlFile) -> Self {
        Self {
            url: file.url.to_string(),
            path: file.path,
            sha256: file.sha256,
            size: file.size,
            credential: file.credential,
        }
    }
}
