//! Responses as this server writes them: whole, with a `Content-Length`, and never guessed at by a browser.

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

/// The media type of fixed texts.
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A response with this body, of this media type.
pub(crate) fn response(
    status: StatusCode,
    content_type: HeaderValue,
    body: Bytes,
) -> Response<Bytes> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONTENT_LENGTH, length);
    // A browser must not guess that label values are HTML.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A response with a text; an empty one has no media type.
pub(crate) fn text_response(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    let text = text.into();
    let is_empty = text.is_empty();
    let mut response = response(status, TEXT, text);
    if is_empty {
        response.headers_mut().remove(CONTENT_TYPE);
    }
    response
}

/// A text that asks the client to come again in a second.
pub(crate) fn retry_response(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = text_response(status, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
