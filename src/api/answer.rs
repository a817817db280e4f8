//! What handlers answer: a status, perhaps a location, and JSON; lists come in pages.
//!
//! A page knows whether there is a next one because one item more than asked for was fetched.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use serde::Serialize;
use url::form_urlencoded;

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

    /// The same answer with a header; one that cannot be written is left out.
    fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).ok();
        self.headers.extend(value.map(|value| (name, value)));
        self
    }

    /// The same answer with the address of the page after it.
    #[must_use]
    pub(crate) fn linked(self, uri: &Uri, next: Option<&str>) -> Self {
        let Some(next) = next else { return self };
        let mut query = form_urlencoded::Serializer::new(String::new());
        let given = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        query.extend_pairs(given.filter(|(name, _)| name != "after"));
        query.append_pair("after", next);
        let link = format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish());
        self.with(header::LINK, &link)
    }

    /// The same answer with a cookie.
    #[must_use]
    pub(crate) fn with_cookie(mut self, cookie: HeaderValue) -> Self {
        self.headers.push((header::SET_COOKIE, cookie));
        self
    }

    /// The same answer with the address of what it is about.
    #[must_use]
    pub(crate) fn at(self, location: &str) -> Self {
        self.with(header::LOCATION, location)
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

impl<T: Serialize> Answer<Page<T>> {
    /// 200 with a page, and the address of the next one in the `Link` header.
    pub(crate) fn page(page: Page<T>, uri: &Uri) -> Self {
        let next = page.next().map(ToOwned::to_owned);
        Self::ok(page).linked(uri, next.as_deref())
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

    /// What to pass as `after` for the next page.
    pub(crate) fn next(&self) -> Option<&str> {
        self.next.as_deref()
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
