//! Objects of S3 and compatible stores: an address `s3://bucket/key` becomes a signed address of the store.
//!
//! A signed address is one of the web like any other, so ranges, versions, resume and the guard are those of all files.
//! It is made anew for each request, and so never expires in the middle.

use std::pin::Pin;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::path::Path;
use object_store::signer::Signer as _;
use reqwest::Method;
use url::Url;

use crate::domain::S3Keys;

/// How long a signed address is good.
const GOOD_FOR: Duration = Duration::from_mins(15);

/// Whether the address names an object.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn check(url: &Url) -> Result<(), String> {
    Path::from_url_path(url.path())
        .map(drop)
        .map_err(|error| error.to_string())
}

/// The address to ask, path-style, signed.
///
/// # Errors
/// What is wrong with the address or the keys; holds no secret.
pub(super) async fn signed(keys: S3Keys<'_>, url: &Url) -> Result<Url, String> {
    let bucket = url.host_str().ok_or("there is no bucket in it")?;
    let key = Path::from_url_path(url.path()).map_err(|error| error.to_string())?;
    let endpoint = keys.endpoint.as_str().trim_end_matches('/');
    let store = AmazonS3Builder::new()
        .with_http_connector(NoRequests)
        .with_endpoint(endpoint)
        .with_allow_http(keys.endpoint.scheme() == "http")
        .with_region(keys.region)
        .with_bucket_name(bucket)
        .with_access_key_id(keys.key_id)
        .with_secret_access_key(keys.secret)
        .build()
        .map_err(|error| error.to_string())?;
    let signed = store.signed_url(Method::GET, &key, GOOD_FOR).await;
    signed.map_err(|error| error.to_string())
}

/// In the place of a client: signing asks nobody, and no request goes past the guard.
#[derive(Debug)]
struct NoRequests;

impl HttpConnector for NoRequests {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Self))
    }
}

impl HttpService for NoRequests {
    // What `async_trait` makes of an `async fn`.
    fn call<'life, 'future>(
        &'life self,
        _request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        let refused = std::io::Error::other("only addresses are signed here");
        Box::pin(async { Err(HttpError::new(HttpErrorKind::Connect, refused)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_becomes_an_address_of_its_own_store() {
        let endpoint = Url::parse("http://127.0.0.1:9000").unwrap();
        let keys = S3Keys {
            endpoint: &endpoint,
            region: "eu-central-1",
            key_id: "AKID",
            secret: "canary",
        };
        let url = Url::parse("s3://models/a%20b/x.bin").unwrap();
        let signed = signed(keys, &url).await.unwrap();
        let text = signed.as_str();
        assert!(
            text.starts_with("http://127.0.0.1:9000/models/a%20b/x.bin?X-Amz-"),
            "{text}"
        );
        assert!(
            text.contains("AKID%2F") && text.contains("eu-central-1"),
            "{text}"
        );
        assert!(!text.contains("canary"));
    }
}
