//! Responses to scrapes.

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_ENCODING;
use http::{Response, StatusCode};

use crate::limits::Limits;
use crate::response::{response, retry_response, text_response};
use crate::scrape::deadline::ScrapeDeadline;
use crate::scrape::encoding::Coding;
use crate::scrape::exposition::{Exposition, expose_fenced};
use crate::scrape::outcome::{GatherFailure, GatherOutcome, Gathered};
use crate::scrape::request::ScrapeRequest;

/// Answers a scrape for a program that has an HTTP server of its own.
///
/// Calls the exposition once, on this thread and into a new buffer, so an async program calls it from a blocking task. The response is what the own-thread
/// server sends: 200 with `Content-Type`, `Content-Length` and `X-Content-Type-Options: nosniff`,
/// or the error's status and text; a panic of the exposition is answered 500. Path, method, `HEAD`
/// and compression are the host's. [`ServerBuilder::mount`](crate::ServerBuilder::mount) does more,
/// with a thread of its own.
///
/// ```
/// use dynamo_metrics_server::bytes::BytesMut;
/// use dynamo_metrics_server::{ContentType, ExposeError, ScrapeRequest, metrics_response};
///
/// let one = |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
///     body.extend_from_slice(b"up 1\n");
///     Ok(ContentType::TEXT_0_0_4)
/// };
/// let response = metrics_response(&one, &ScrapeRequest::default());
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["content-length"], "5");
/// assert_eq!(&response.body()[..], b"up 1\n");
///
/// let broken = |_: &ScrapeRequest<'_>, _: &mut BytesMut| {
///     Err::<ContentType, _>(ExposeError::failed("Failed to get metrics"))
/// };
/// let response = metrics_response(&broken, &ScrapeRequest::default());
/// assert_eq!(response.status(), 500);
/// assert_eq!(&response.body()[..], b"Failed to get metrics");
/// ```
#[must_use]
pub fn metrics_response<E: Exposition>(
    exposition: &E,
    request: &ScrapeRequest<'_>,
) -> Response<Bytes> {
    let mut body = BytesMut::new();
    let deadline =
        request.deadline().unwrap_or_else(|| ScrapeDeadline::after(Limits::SCRAPE_DEADLINE));
    let exposed = expose_fenced(|| {
        let variant = exposition.variant(request.to_waiting())?;
        exposition.expose(&variant, deadline, &mut body)
    });
    scrape_response(exposed.map(|content_type| Gathered {
        content_type,
        coding: Coding::Identity,
        body: body.freeze(),
    }))
}

pub(crate) fn scrape_response(outcome: GatherOutcome) -> Response<Bytes> {
    match outcome {
        Ok(Gathered { content_type, coding, body }) => {
            let mut response = response(StatusCode::OK, content_type.header(), body);
            if let Some(coding) = coding.header() {
                response.headers_mut().insert(CONTENT_ENCODING, coding);
            }
            response
        }
        Err(GatherFailure { status: status @ StatusCode::SERVICE_UNAVAILABLE, answer, .. }) => {
            retry_response(status, answer)
        }
        Err(GatherFailure { status, answer, .. }) => text_response(status, answer),
    }
}
