//! Refusals as RFC 9457 `application/problem+json`, one shape for everything that is not a success.
//!
//! A problem answers by itself; the outermost layer ([`super::trace`]) adds the request's id and path.
//! Which code a failed use case gets is decided in [`super::refusal`].

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Map, Value};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $word:literal $title:literal retryable $retryable:literal,)*) => {
        /// Stable codes of the refusals that the doors make themselves.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them, in the order of their status.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            const fn parts(self) -> (u16, &'static str, &'static str, bool) {
                match self { $(Self::$name => ($status, $word, $title, $retryable),)* }
            }

            /// The code as answers hold it.
            #[cfg(test)]
            pub(crate) const fn word(self) -> &'static str {
                self.parts().1
            }
        }
    };
}

codes! {
    /// Neither of the more exact ones.
    BadRequest = 400 "bad_request" "The request cannot be understood" retryable false,
    /// A path that is not UTF-8, or a job id that is none.
    InvalidPath = 400 "invalid_path" "The address cannot be read" retryable false,
    /// A model id that breaks its grammar.
    InvalidModelId = 400 "invalid_model_id" "The model id breaks its grammar" retryable false,
    /// An unknown query parameter, or a bad value.
    InvalidQuery = 400 "invalid_query" "A query parameter cannot be accepted" retryable false,
    /// A body that is no JSON.
    InvalidJson = 400 "invalid_json" "The body is no JSON" retryable false,
    /// No Host header, several, or one that cannot be read.
    BadHost = 400 "bad_host" "The request needs exactly one Host header" retryable false,
    /// A token in the address, where logs and histories would keep it.
    TokenInQuery = 400 "token_in_query" "A token does not belong in an address" retryable false,
    /// The admin token is missing.
    AdminTokenRequired = 401 "admin_token_required" "The admin token is needed" retryable false,
    /// The admin token is another one.
    AdminTokenWrong = 401 "admin_token_wrong" "This is not the admin token" retryable false,
    /// A token is missing.
    TokenRequired = 401 "token_required" "A token is needed" retryable false,
    /// The token is none of this service's, or was revoked.
    TokenWrong = 401 "token_wrong" "This token is not known" retryable false,
    /// The token's time is over.
    TokenExpired = 401 "token_expired" "The token has expired" retryable false,
    /// The token's role may not do this.
    RoleTooLow = 403 "role_too_low" "The token's role may not do this" retryable false,
    /// The service has no admin token, so nobody is an admin.
    AdminDisabled = 403 "admin_disabled" "Admin routes are switched off" retryable false,
    /// A web page of another origin tried to change something.
    CrossSite = 403 "cross_site" "Requests from other web pages are refused" retryable false,
    /// No such address.
    NotFound = 404 "not_found" "There is nothing at this address" retryable false,
    /// No such registration.
    UnknownModel = 404 "unknown_model" "No such model is registered" retryable false,
    /// No such job.
    UnknownJob = 404 "unknown_job" "There is no such job" retryable false,
    /// The address exists, but not for this method.
    MethodNotAllowed = 405 "method_not_allowed" "This method is not allowed here" retryable false,
    /// The body did not come in time.
    RequestTimeout = 408 "request_timeout" "The request did not come in time" retryable true,
    /// The id is taken by another registration.
    ModelConflict = 409 "model_conflict" "The id is taken by another registration" retryable false,
    /// A job for the model is active.
    ModelBusy = 409 "model_busy" "A job for the model is active" retryable true,
    /// The body is longer than 1 MiB.
    BodyTooLarge = 413 "body_too_large" "The body is too large" retryable false,
    /// A body that does not say that it is JSON.
    UnsupportedMediaType = 415 "unsupported_media_type" "A body must be JSON" retryable false,
    /// A Host header that names another host.
    HostNotAllowed = 421 "host_not_allowed" "This service does not answer for that host" retryable false,
    /// The JSON holds something that cannot be accepted; `errors` names field and rule.
    InvalidBody = 422 "invalid_body" "A part of the body cannot be accepted" retryable false,
    /// Too many wrong tokens.
    TooManyAttempts = 429 "too_many_attempts" "Too many wrong tokens" retryable true,
    /// A defect of modelhaul.
    Internal = 500 "internal" "A defect of modelhaul" retryable false,
    /// The database cannot be used.
    StoreUnavailable = 503 "store_unavailable" "The database cannot be used" retryable true,
    /// The service is stopping.
    ShuttingDown = 503 "shutting_down" "The service is stopping" retryable true,
    /// Some part that the work needs is missing; `reasons` says which.
    NotReady = 503 "not_ready" "The service cannot do its work" retryable true,
    /// The answer took too long.
    AnswerTimeout = 504 "answer_timeout" "The answer took too long" retryable true,
}

/// A part of a request that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    /// The field, for example `repo_id`; empty for the whole.
    pub(crate) field: String,
    /// The rule that it breaks.
    pub(crate) rule: String,
}

#[derive(Debug, Clone, Serialize)]
struct Members {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    code: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(flatten)]
    more: Map<String, Value>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A refusal, ready to be an answer.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Members>);

impl Problem {
    /// A refusal with one sentence.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (status, word, title, retryable) = code.parts();
        Self::from_parts(status, word, title, retryable, detail.into())
    }

    /// A refusal whose code comes from a lower floor.
    pub(crate) fn from_parts(
        status: u16,
        code: &'static str,
        title: &'static str,
        retryable: bool,
        detail: String,
    ) -> Self {
        Self(Box::new(Members {
            kind: format!("urn:modelhaul:error:{code}"),
            title,
            status,
            detail,
            instance: None,
            code,
            retryable,
            request_id: None,
            remedy: None,
            errors: Vec::new(),
            more: Map::new(),
            headers: Vec::new(),
        }))
    }

    /// The refusal for an error status that a library answered with its own text.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        let code = match status.as_u16() {
            404 => Code::NotFound,
            405 => Code::MethodNotAllowed,
            408 => Code::RequestTimeout,
            413 => Code::BodyTooLarge,
            415 => Code::UnsupportedMediaType,
            422 => Code::InvalidBody,
            400..=499 => Code::BadRequest,
            _ => Code::Internal,
        };
        Self::new(code, format!("{}.", code.parts().2))
    }

    /// A 422 for one field.
    pub(crate) fn field(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::fields(vec![FieldError {
            field: field.into(),
            rule: rule.into(),
        }])
    }

    /// A 422 for several fields at once.
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        let detail = errors
            .iter()
            .map(|error| match error.field.as_str() {
                "" => error.rule.clone(),
                field => format!("{field}: {}", error.rule),
            })
            .collect::<Vec<_>>()
            .join("; ");
        let mut problem = Self::new(Code::InvalidBody, detail);
        problem.0.errors = errors;
        problem
    }

    /// The same refusal with the next step.
    #[must_use]
    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// The same refusal with the seconds after which a retry makes sense.
    #[must_use]
    pub(crate) fn with_retry_after(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The same refusal with a header.
    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The same refusal with one more member.
    #[must_use]
    pub(crate) fn with_member(mut self, name: &str, value: Value) -> Self {
        self.0.more.insert(name.to_owned(), value);
        self
    }

    /// The same refusal with the request that it answers.
    #[must_use]
    pub(crate) fn of_request(mut self, request_id: String, path: String) -> Self {
        self.0.request_id = Some(request_id);
        self.0.instance = Some(path);
        self
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// The body, as JSON.
    pub(crate) fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("text and numbers are always JSON")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_body()));
        *response.status_mut() =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        for (name, value) in self.0.headers.iter().cloned() {
            response.headers_mut().insert(name, value);
        }
        // Kept beside the body, so that the outermost layer can add what only it knows.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_rfc_9457() {
        let problem = Problem::field("repo_id", "it is missing")
            .with_remedy("name one")
            .of_request("r1".into(), "/api".into());
        let body: Value = serde_json::from_slice(&problem.to_body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:modelhaul:error:invalid_body", "title": "A part of the body cannot be accepted",
                "status": 422, "detail": "repo_id: it is missing", "instance": "/api", "code": "invalid_body",
                "retryable": false, "request_id": "r1", "remedy": "name one",
                "errors": [{"field": "repo_id", "rule": "it is missing"}],
            })
        );
        let response = problem.with_retry_after(5).into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.headers()["retry-after"], "5");
    }

    #[test]
    fn codes_are_distinct_and_their_status_is_an_error() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(
            Code::ALL
                .iter()
                .all(|code| (400..600).contains(&code.parts().0))
        );
    }
}
