//! From a request's head to its response: which path, which method, which answer.
//!
//! Every answer has a `Content-Length`, whole and known before its first byte is sent, and a fixed
//! text when something is wrong: nothing of a request is ever reflected.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{
    ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
    RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;

use crate::coding::Coding;
use crate::exposition::{ContentType, Exposition, GatherFailure, ScrapeRequest, expose_fenced};
use crate::gather::{GatherOutcome, Gathered};
use crate::health::{Health, HealthAnswer, Probe, probe};
use crate::reason::Limit;
use crate::refusal::Refusal;
use crate::scraping::Scraping;
use crate::telemetry::ServerTelemetry;
use crate::web::{Denial, Guard};

/// Answers a scrape for a program that has an HTTP server of its own.
///
/// Calls the exposition once, on this thread and into a new buffer: it costs what the exposition
/// costs, so an async program calls it from a blocking task. The response is what the own-thread
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
pub fn metrics_response(
    exposition: &dyn Exposition,
    request: &ScrapeRequest<'_>,
) -> Response<Bytes> {
    let mut body = BytesMut::new();
    let mut expose =
        |request: &ScrapeRequest<'_>, body: &mut BytesMut| exposition.expose(request, body);
    let exposed = expose_fenced(&mut expose, request, &mut body);
    scrape_response(exposed.map(|content_type| Gathered {
        content_type,
        coding: Coding::Identity,
        body: body.freeze(),
    }))
}

/// The known paths, and what any other answers.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) metrics: String,
    pub(crate) health: String,
    pub(crate) live: String,
    /// The path and the page.
    pub(crate) landing: Option<(&'static str, Bytes)>,
    pub(crate) not_found_body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Metrics,
    Probe(Probe),
    Landing(&'a Bytes),
}

impl Routes {
    /// Exact match of the path, which the parser split at the first `?`; no decoding, no folding.
    fn find(&self, path: &str) -> Option<Route<'_>> {
        match path {
            _ if path == self.metrics => Some(Route::Metrics),
            _ if path == self.health => Some(Route::Probe(Probe::Health)),
            _ if path == self.live => Some(Route::Probe(Probe::Live)),
            _ => {
                let (landing, page) = self.landing.as_ref()?;
                (*landing == path).then_some(Route::Landing(page))
            }
        }
    }
}

/// Answers requests; one for all connections, on the network thread.
pub(crate) struct Responder {
    pub(crate) routes: Routes,
    pub(crate) health: Box<dyn Health>,
    pub(crate) scraping: Scraping,
    pub(crate) telemetry: Arc<ServerTelemetry>,
    pub(crate) guard: Option<Guard>,
}

impl Responder {
    /// `HEAD` is answered as `GET` is: hyper sends the head, `Content-Length` included, and drops
    /// the body (RFC 9110 section 9.3.2).
    pub(crate) async fn respond<B>(
        &self,
        request: Request<B>,
        peer: Option<IpAddr>,
    ) -> Response<Full<Bytes>> {
        let response = match self.denial(request.uri(), request.headers(), peer).await {
            None => self.answer(request.method(), request.uri(), request.headers()).await,
            Some(denial) => self.deny(denial),
        };
        self.telemetry.response(response.status());
        let response = self.with_headers(response);
        response.map(Full::new)
    }

    /// The last answer of a connection, whose next head is not served.
    pub(crate) fn refuse(&self, refusal: Refusal) -> Response<Full<Bytes>> {
        self.telemetry.limit_hit(refusal.limit());
        let (status, text) = refusal.answer().unwrap_or((StatusCode::BAD_REQUEST, ""));
        self.telemetry.response(status);
        let mut response = text_response(status, Bytes::from_static(text.as_bytes()));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        self.with_headers(response).map(Full::new)
    }

    /// Asked before the path is looked at, so that nobody learns which paths there are.
    async fn denial(&self, uri: &Uri, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<Denial> {
        let is_probe = matches!(self.routes.find(uri.path()), Some(Route::Probe(_)));
        self.guard.as_ref()?.check(headers, is_probe, peer).await
    }

    fn deny(&self, denial: Denial) -> Response<Bytes> {
        let (limit, status, text, header) = match denial {
            Denial::Rate => {
                (Limit::RateLimit, StatusCode::TOO_MANY_REQUESTS, "Too many requests", RETRY)
            }
            Denial::Unauthorized => {
                (Limit::Unauthorized, StatusCode::UNAUTHORIZED, "Unauthorized", ASK_PASSWORD)
            }
            Denial::Busy => {
                (Limit::Logins, StatusCode::SERVICE_UNAVAILABLE, "Too many logins", RETRY)
            }
        };
        self.telemetry.limit_hit(limit);
        let mut response = text_response(status, Bytes::from_static(text.as_bytes()));
        response.headers_mut().insert(header.0, header.1);
        response
    }

    fn with_headers(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        if let Some(guard) = &self.guard {
            guard.add_headers(response.headers_mut());
        }
        response
    }

    async fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response<Bytes> {
        let Some(route) = self.routes.find(uri.path()) else {
            self.telemetry.limit_hit(Limit::NotFound);
            return text_response(StatusCode::NOT_FOUND, self.routes.not_found_body.clone());
        };
        if !matches!(*method, Method::GET | Method::HEAD) {
            self.telemetry.limit_hit(Limit::Method);
            let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match route {
            Route::Metrics => self.scraping.respond(headers, uri).await,
            Route::Probe(asked) => probe_response(probe(&*self.health, asked, &self.telemetry)),
            Route::Landing(page) => response(StatusCode::OK, HTML, page.clone()),
        }
    }
}

const RETRY: (HeaderName, HeaderValue) = (RETRY_AFTER, HeaderValue::from_static("1"));
/// RFC 7617 section 2: the realm is required.
const ASK_PASSWORD: (HeaderName, HeaderValue) =
    (WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"metrics\""));
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

pub(crate) fn scrape_response(outcome: GatherOutcome) -> Response<Bytes> {
    match outcome {
        Ok(Gathered { content_type, coding, body }) => {
            let mut response = response(StatusCode::OK, content_type.header(), body);
            if let Some(coding) = coding.header() {
                response.headers_mut().insert(CONTENT_ENCODING, coding);
            }
            response
        }
        Err(GatherFailure { status, answer, .. }) => {
            let mut response = text_response(status, Bytes::from_static(answer.as_bytes()));
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
    }
}

fn probe_response(answer: HealthAnswer) -> Response<Bytes> {
    let content_type = HeaderValue::from_str(answer.content_type)
        .unwrap_or_else(|_invalid| ContentType::TEXT.header());
    response(answer.status, content_type, answer.body)
}

/// A text, or no body and then no type.
fn text_response(status: StatusCode, text: Bytes) -> Response<Bytes> {
    let is_empty = text.is_empty();
    let mut response = response(status, ContentType::TEXT.header(), text);
    if is_empty {
        response.headers_mut().remove(CONTENT_TYPE);
    }
    response
}

fn response(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response<Bytes> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_exactly_or_not_at_all() {
        let routes = Routes {
            metrics: "/metrics".into(),
            health: "/healthz".into(),
            live: "/live".into(),
            landing: None,
            not_found_body: Bytes::new(),
        };
        assert_eq!(routes.find("/metrics"), Some(Route::Metrics));
        assert_eq!(routes.find("/healthz"), Some(Route::Probe(Probe::Health)));
        assert_eq!(routes.find("/live"), Some(Route::Probe(Probe::Live)));
        for path in ["", "/", "*", "/metrics/", "//metrics", "/%6detrics", "/./metrics", "/health"]
        {
            assert_eq!(routes.find(path), None, "{path}");
        }
    }

    #[test]
    fn a_content_type_that_is_no_header_falls_back_to_text() {
        let answer = HealthAnswer {
            status: StatusCode::OK,
            content_type: "a\r\nb",
            body: Bytes::from_static(b"x"),
        };
        assert_eq!(probe_response(answer).headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
    }
}
