//! JSON from strangers: parsed off the runtime, with a cause that tells a web page from a broken shape.
//!
//! The length was limited while it was read; `serde_json` limits the depth.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::HubError;
use super::refusal::is_html;
use super::request::Answer;
use super::text::printable;
use crate::redact::SafeUrl;

/// Reads an answer as `T`.
pub(crate) async fn parse<T: DeserializeOwned + Send + 'static>(
    answer: Answer,
) -> Result<T, HubError> {
    let url = SafeUrl::new(answer.url).to_string();
    let html = is_html(&answer.headers);
    let body = answer.body;
    let page = html || body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'<');
    if page {
        return Err(HubError::NotAHub {
            url,
            got: "a web page where JSON is expected".to_owned(),
        });
    }
    let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice::<T>(&body))
        .await
        .map_err(|error| HubError::BadMetadata {
            url: url.clone(),
            detail: format!("reading it stopped: {error}"),
        })?;
    parsed.map_err(|error| {
        let detail = printable(&error.to_string());
        let too_deep = detail.contains("recursion limit");
        match error.classify() {
            Category::Syntax | Category::Eof if !too_deep => HubError::NotAHub {
                url,
                got: format!("no JSON ({detail})"),
            },
            _ => HubError::BadMetadata { url, detail },
        }
    })
}
