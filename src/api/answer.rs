//! What handlers answer: a status, perhaps a location, and JSON; lists come in pages.
//!
//! A page knows whether there is a next one because one item more than asked for was fetched.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;

use super::problem::{Code, Problem};

/// What a handler gives: an answer or a refusal.
pub(crate) type Answered<T> = Result<Answer<T>, Problem>;

/// A success with a JSON body.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: T,
}

impl<T: Serialize> Answer<T> {
    /// 200.
    pub(crate) fn ok(body: T) -> Self {
        Self::with_status(StatusCode::OK, body)
    }

    /// Another success.
    pub(crate) fn with_status(status: StatusCode, body: T) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    /// The same answer with the address of what it is about.
    #[must_use]
    pub(crate) fn at(mut self, location: &str) -> Self {
        self.headers.extend(
            HeaderValue::from_str(location)
                .ok()
                .map(|value| (header::LOCATION, value)),
        );
        self
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response<Body> {
        let bytes = match serde_json::to_vec(&self.body) {
            Ok(bytes) => bytes,
            Err(cause) => {
                tracing::error!(%cause, "An answer cannot be written as JSON.");
                return Problem::new(Code::Internal, "the answer cannot be written as JSON")
                    .into_response();
            }
        };
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = self.status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        response.headers_mut().extend(self.headers);
        response
    }
}

/// One page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl<T: Serialize> Page<T> {
    /// Keeps `limit` of the items; what is left over proves that there is a next page after the last one kept.
    pub(crate) fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}

/// How many items a page may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageSize {
    /// When the caller does not say.
    pub(crate) default: u32,
    /// At most.
    pub(crate) most: u32,
}

impl PageSize {
    /// The size that was asked for, when it is allowed.
    pub(crate) fn pick(self, asked: Option<u32>) -> Result<u32, Problem> {
        let size = asked.unwrap_or(self.default);
        if (1..=self.most).contains(&size) {
            Ok(size)
        } else {
            Err(Problem::new(
                Code::InvalidQuery,
                format!("limit: {size} is not between 1 and {}", self.most),
            ))
        }
    }
}

/// How many items prove that a page of `limit` has a successor.
pub(crate) fn one_more(limit: u32) -> usize {
    usize::try_from(limit).map_or(usize::MAX, |limit| limit.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_whether_there_is_a_next_one() {
        let cursor = |item: &u32| format!("after-{item}");
        let page = Page::cut(vec![1, 2, 3], 2, cursor);
        assert_eq!(
            (page.items, page.next.as_deref()),
            (vec![1, 2], Some("after-2"))
        );
        let page = Page::cut(vec![1, 2], 2, cursor);
        assert_eq!((page.items.len(), page.next), (2, None));
        assert_eq!(Page::cut(Vec::<u32>::new(), 2, cursor).next, None);
    }

    #[test]
    fn a_page_has_a_largest_size() {
        let size = PageSize {
            default: 50,
            most: 200,
        };
        assert_eq!(size.pick(None).unwrap(), 50);
        assert_eq!(size.pick(Some(200)).unwrap(), 200);
        assert!(size.pick(Some(0)).is_err() && size.pick(Some(201)).is_err());
    }
}
