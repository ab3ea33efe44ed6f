//! A page that never changes, beside metrics and probes: a path, a media type, headers and a body.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::response::response;

/// A page that never changes, which [`ServerBuilder::page`](crate::ServerBuilder::page) puts beside the metrics.
///
/// ```
/// use dynamo_metrics_server::StaticPage;
/// use dynamo_metrics_server::http::header::{CACHE_CONTROL, HeaderValue};
///
/// let page = StaticPage::new("/help", HeaderValue::from_static("text/plain"), "Ask the operator.")
///     .header(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
/// assert_eq!(page.path(), "/help");
/// let response = page.response();
/// assert_eq!(response.headers()["cache-control"], "no-cache");
/// assert_eq!(response.body(), "Ask the operator.");
/// ```
#[derive(Clone, Debug)]
pub struct StaticPage {
    path: String,
    content_type: HeaderValue,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    linked: bool,
}

impl StaticPage {
    /// Returns a page at a path, which begins with `/`, as the server compares it: byte by byte.
    #[must_use]
    pub fn new(path: impl Into<String>, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let (path, body) = (path.into(), body.into());
        Self { path, content_type, headers: Vec::new(), body, linked: false }
    }

    /// Adds a header to the response, or replaces one of this name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Lets the [landing page](crate::LandingPage) link to this page.
    #[must_use]
    pub fn linked(mut self) -> Self {
        self.linked = true;
        self
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the response to a `GET`, for a program that serves the page itself. The body is shared, not copied.
    #[must_use]
    pub fn response(&self) -> Response<Bytes> {
        let mut response = response(StatusCode::OK, self.content_type.clone(), self.body.clone());
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.linked
    }
}
