//! What handlers take from a request: a model id, a job id, a query, a JSON body.
//!
//! Every rejection is a [`Problem`]; a body is at most [`BODY_LIMIT`] long and here within [`BODY_TIME`].
//! Whether a body may be carried at all was decided before, by [`super::guard`].

use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::{JobId, ModelId};

use super::problem::{Code, Problem};

/// The longest body, in bytes.
pub(crate) const BODY_LIMIT: usize = 1 << 20;

/// The longest time in which a whole body must come.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(10);

/// A model id from the path: one segment, where a slash is `%2F`, or two.
#[derive(Debug)]
pub(crate) struct ModelPath(pub(crate) ModelId);

impl<S: Send + Sync> FromRequestParts<S> for ModelPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segments = segments(parts, state).await?;
        segments
            .join("/")
            .parse()
            .map(Self)
            .map_err(|error: crate::domain::InvalidName| {
                Problem::new(Code::InvalidModelId, error.to_string())
            })
    }
}

/// A job id from the path.
#[derive(Debug)]
pub(crate) struct JobPath(pub(crate) JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segments = segments(parts, state).await?;
        segments.concat().parse().map(Self).map_err(|cause| {
            Problem::new(Code::InvalidPath, format!("a job id is a UUID: {cause}"))
        })
    }
}

/// Another name from the path, as it is.
#[derive(Debug)]
pub(crate) struct NamePath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(segments(parts, state).await?.concat()))
    }
}

async fn segments<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Vec<String>, Problem> {
    let params = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|rejection| Problem::new(Code::InvalidPath, rejection.body_text()))?;
    Ok(params.iter().map(|(_, value)| value.to_owned()).collect())
}

/// A query whose parameters are all known.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    #[expect(
        clippy::disallowed_types,
        reason = "this is the wrapper that turns its rejection into a problem"
    )]
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::new(Code::InvalidQuery, cause_of(&rejection))),
        }
    }
}

/// A JSON body that must be there.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = read(request).await?;
        if bytes.is_empty() {
            return Err(Problem::new(
                Code::InvalidJson,
                "this request needs a JSON body, and none came",
            ));
        }
        parse(&bytes).map(Self)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = read(request).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

/// The body of a request that has nothing to say: none, or `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub(crate) struct Nothing {}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let body = request.into_body();
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_LIMIT).collect());
    match collected.await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(cause)) if cause.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_cut)) => Err(hang_up(Problem::new(
            Code::BadRequest,
            "the body broke off or is malformed",
        ))),
        Err(_elapsed) => Err(hang_up(Problem::new(
            Code::RequestTimeout,
            format!("the body was not complete after {} s", BODY_TIME.as_secs()),
        ))),
    }
}

fn too_large() -> Problem {
    hang_up(Problem::new(
        Code::BodyTooLarge,
        format!("a body has at most {BODY_LIMIT} bytes"),
    ))
}

/// The rest of the body is not read, so the connection cannot carry another request.
fn hang_up(problem: Problem) -> Problem {
    problem.with_header(header::CONNECTION, HeaderValue::from_static("close"))
}

#[expect(
    clippy::disallowed_types,
    reason = "this is the wrapper that turns its rejection into a problem"
)]
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // A list would be taken for the fields of an object in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[')
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
    {
        return Err(Problem::field(
            "",
            "a list was sent, expected a JSON object",
        ));
    }
    match axum::Json::from_bytes(bytes) {
        Ok(axum::Json(value)) => Ok(value),
        Err(JsonRejection::JsonDataError(error)) => {
            let cause = cause_of(&error);
            // The place of a field that is named says nothing more.
            let cause = cause
                .rsplit_once(" at line ")
                .map_or(cause.as_str(), |(rule, _)| rule);
            // The cause begins with the path of the field when there is one.
            match cause.split_once(": ") {
                Some((field, rule)) if is_field(field) => Err(Problem::field(field, rule)),
                _ => Err(Problem::field("", cause)),
            }
        }
        Err(error) => Err(Problem::new(Code::InvalidJson, cause_of(&error))),
    }
}

fn is_field(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.[]".contains(&b))
}

/// What lies under the library's own sentence, cut so that no answer grows with the request.
fn cause_of(error: &dyn std::error::Error) -> String {
    let text = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    text.chars().take(500).collect()
}
