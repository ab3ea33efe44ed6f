//! The routes: from a request's path and method to its response.
//!
//! Every response is whole before its first byte is sent, and errors have fixed texts: no byte of a request is ever
//! reflected.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::auth::Guard;
use crate::http::cors::CorsOrigins;
use crate::http::health::{Health, HealthAnswer, Probe, probe};
use crate::http::rejection::Rejection;
use crate::http::serve::Respond;
use crate::http::static_page::StaticPage;
use crate::reason::Limit;
use crate::response::{TEXT, response, text_response};
use crate::scrape::service::ScrapeService;
use crate::telemetry::ServerTelemetry;

/// The known paths, and the body of the 404 of any other.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) metrics: String,
    pub(crate) health: String,
    pub(crate) live: String,
    /// The path and the page.
    pub(crate) landing: Option<(&'static str, Bytes)>,
    pub(crate) pages: Vec<StaticPage>,
    pub(crate) not_found_body: Bytes,
}

#[derive(Clone, Copy, Debug)]
enum Route<'a> {
    Metrics,
    Probe(Probe),
    Landing(&'a Bytes),
    Page(&'a StaticPage),
}

impl Routes {
    /// The route of a path that matches byte by byte: no decoding, no folding. The parser has split off the query.
    fn find(&self, path: &str) -> Option<Route<'_>> {
        match path {
            _ if path == self.metrics => Some(Route::Metrics),
            _ if path == self.health => Some(Route::Probe(Probe::Health)),
            _ if path == self.live => Some(Route::Probe(Probe::Live)),
            _ => self.landing_or_page(path),
        }
    }

    fn landing_or_page(&self, path: &str) -> Option<Route<'_>> {
        let landing = self.landing.as_ref().filter(|(landing, _)| *landing == path);
        let page = || self.pages.iter().find(|page| page.path() == path).map(Route::Page);
        landing.map(|(_, page)| Route::Landing(page)).or_else(page)
    }
}

/// Makes all responses of a server, on its network thread.
pub(crate) struct Responder {
    pub(crate) routes: Routes,
    pub(crate) health: Box<dyn Health>,
    pub(crate) scrapes: ScrapeService,
    pub(crate) telemetry: Arc<ServerTelemetry>,
    pub(crate) guard: Option<Guard>,
    pub(crate) cors: CorsOrigins,
}

impl Respond for Responder {
    /// The response to a valid request. `HEAD` is answered as `GET` is: hyper sends the head, `Content-Length` included, and drops
    /// the body (RFC 9110 section 9.3.2).
    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: Option<IpAddr>,
    ) -> Response<Full<Bytes>> {
        let (method, headers) = (request.method(), request.headers());
        let mut response = match self.cors.preflight(method, headers) {
            Some(preflight) => preflight,
            None => match self.denial(request.uri(), headers, peer).await {
                None => self.answer(method, request.uri(), headers).await,
                Some(denial) => denial,
            },
        };
        self.cors.allow(headers, response.headers_mut());
        self.telemetry.response(response.status());
        let response = self.with_headers(response);
        response.map(Full::new)
    }

    fn reject(&self, rejection: Rejection) -> Response<Full<Bytes>> {
        self.telemetry.limit_hit(rejection.limit());
        let (status, text) = rejection.answer().unwrap_or((StatusCode::BAD_REQUEST, ""));
        self.telemetry.response(status);
        let mut response = text_response(status, text);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        self.with_headers(response).map(Full::new)
    }
}

impl Responder {
    /// The guard's answer in place of ours. It is asked before the path is looked at, so that a client without a
    /// password does not learn which paths there are.
    async fn denial(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Option<Response<Bytes>> {
        let is_probe = matches!(self.routes.find(uri.path()), Some(Route::Probe(_)));
        self.guard.as_ref()?.check(headers, is_probe, peer).await
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
            let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match route {
            Route::Metrics => self.scrapes.respond(headers, uri).await,
            Route::Probe(asked) => probe_response(probe(&*self.health, asked, &self.telemetry)),
            Route::Landing(page) => response(StatusCode::OK, HTML, page.clone()),
            Route::Page(page) => page.response(),
        }
    }
}

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

fn probe_response(answer: HealthAnswer) -> Response<Bytes> {
    let content_type = HeaderValue::from_str(answer.content_type).unwrap_or(TEXT);
    response(answer.status, content_type, answer.body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::CONTENT_TYPE;

    #[test]
    fn paths_match_exactly_or_not_at_all() {
        let routes = Routes {
            metrics: "/metrics".into(),
            health: "/healthz".into(),
            live: "/live".into(),
            landing: None,
            pages: vec![StaticPage::new("/help", TEXT, "x")],
            not_found_body: Bytes::new(),
        };
        assert!(matches!(routes.find("/metrics"), Some(Route::Metrics)));
        assert!(matches!(routes.find("/healthz"), Some(Route::Probe(Probe::Health))));
        assert!(matches!(routes.find("/live"), Some(Route::Probe(Probe::Live))));
        assert!(matches!(routes.find("/help"), Some(Route::Page(_))));
        for path in ["", "/", "*", "/metrics/", "//metrics", "/%6detrics", "/./metrics", "/health"]
        {
            assert!(routes.find(path).is_none(), "{path}");
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
