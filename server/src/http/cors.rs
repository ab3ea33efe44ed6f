//! Reads from pages of other origins (cross-origin resource sharing, CORS, as the Fetch standard has it).

use std::str::FromStr;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::uri::{Scheme, Uri};
use http::{Method, Response, StatusCode};

use crate::response::text_response;

/// Seconds for which a browser need not ask again: two hours, the longest time that Chromium keeps.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The origins whose pages may read a server's responses in a browser; none unless given.
///
/// An origin is written as browsers send it: scheme, host, and the port if it is not the scheme's own. `*` stands for every origin;
/// a browser sends no cookies and no remembered password then. Only `GET` and `HEAD` are allowed.
///
/// ```
/// use dynamo_metrics_server::CorsOrigins;
///
/// let origins: CorsOrigins = "https://grafana.example, http://localhost:3000".parse()?;
/// assert!(!origins.is_empty());
/// let error = "grafana.example".parse::<CorsOrigins>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "\"grafana.example\" is no origin: write the scheme too, as https://grafana.example"
/// );
/// # Ok::<(), dynamo_metrics_server::CorsOriginError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsOrigins {
    origins: Vec<HeaderValue>,
}

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin:?} is no origin: {remedy}")]
#[non_exhaustive]
pub struct CorsOriginError {
    /// The text.
    pub origin: String,
    /// The remedy.
    pub remedy: String,
}

impl FromStr for CorsOrigins {
    type Err = CorsOriginError;

    /// Reads origins with commas between them.
    fn from_str(text: &str) -> Result<Self, CorsOriginError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Ok(Self { origins: parts.map(origin).collect::<Result<_, _>>()? })
    }
}

impl CorsOrigins {
    /// Returns whether there is none, so that every response is for pages of its own origin only.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Adds the origins of `other`.
    pub fn extend(&mut self, other: Self) {
        self.origins.extend(other.origins);
    }

    /// Adds to a response what the page that asked for it needs to read it. Nothing is added without origins.
    pub fn allow(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if self.is_empty() {
            return;
        }
        // The response differs by origin, so that no cache may give one page's to another.
        if !self.origins.contains(&ANY) {
            response.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = self.allowed(request) {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }

    /// Returns the response to a browser that asks, before the request itself, whether one from this page is welcome; `None` for any
    /// other request, and for pages of other origins. A browser sends no password here, so none is asked for.
    #[must_use]
    pub fn preflight(&self, method: &Method, request: &HeaderMap) -> Option<Response<Bytes>> {
        let asks =
            *method == Method::OPTIONS && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || self.allowed(request).is_none() {
            return None;
        }
        let mut response = text_response(StatusCode::NO_CONTENT, "");
        let headers = response.headers_mut();
        // RFC 9110 section 8.6: no length beside this status.
        headers.remove(http::header::CONTENT_LENGTH);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("accept, authorization, x-prometheus-scrape-timeout-seconds"),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(response)
    }

    /// The value for a response to this request, which is one of ours: no byte of a request is reflected.
    fn allowed(&self, request: &HeaderMap) -> Option<&HeaderValue> {
        let origin = request.get(ORIGIN)?;
        self.origins.iter().find(|&allowed| *allowed == ANY || allowed == origin)
    }
}

/// Reads one origin.
fn origin(text: &str) -> Result<HeaderValue, CorsOriginError> {
    let refuse = |remedy: String| CorsOriginError { origin: text.into(), remedy };
    if text == "*" {
        return Ok(ANY);
    }
    let uri = text.parse::<Uri>().map_err(|error| refuse(error.to_string()))?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(refuse(format!("write the scheme too, as https://{}", text.trim_matches('/'))));
    };
    let port = match uri.port_u16() {
        Some(80) if *scheme == Scheme::HTTP => None,
        Some(443) if *scheme == Scheme::HTTPS => None,
        port => port,
    };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let canonical = format!("{scheme}://{}{port}", authority.host().to_ascii_lowercase());
    // A browser sends exactly this; any other text would match no page.
    if text != canonical {
        return Err(refuse(format!("browsers write {canonical}")));
    }
    HeaderValue::from_str(text).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|&(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    /// `Access-Control-Allow-Origin` and `Vary` of a response to a page of this origin.
    fn allowed(origins: &str, origin: &'static str) -> (Option<String>, bool) {
        let origins: CorsOrigins = origins.parse().unwrap();
        let mut response = HeaderMap::new();
        origins.allow(&headers(&[("origin", origin)]), &mut response);
        let value = response.get(ACCESS_CONTROL_ALLOW_ORIGIN);
        (value.map(|value| value.to_str().unwrap().into()), response.contains_key(VARY))
    }

    #[test]
    fn only_the_origins_that_were_given_are_allowed() {
        assert_eq!(allowed("", "https://a.example"), (None, false));
        let two = "https://a.example,http://b.example:3000";
        assert_eq!(allowed(two, "https://a.example"), (Some("https://a.example".into()), true));
        assert_eq!(
            allowed(two, "http://b.example:3000"),
            (Some("http://b.example:3000".into()), true)
        );
        for other in [
            "null",
            "http://a.example",
            "https://a.example:8443",
            "https://a.example.evil.example",
            "https://A.example",
        ] {
            assert_eq!(allowed(two, other), (None, true), "{other}");
        }
        assert_eq!(allowed("*", "null"), (Some("*".into()), false));
    }

    #[test]
    fn a_preflight_is_answered_for_allowed_origins_only() {
        let origins: CorsOrigins = "https://a.example".parse().unwrap();
        let asks =
            |origin| headers(&[("origin", origin), ("access-control-request-method", "GET")]);
        let answer = origins.preflight(&Method::OPTIONS, &asks("https://a.example")).unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_METHODS], "GET, HEAD");
        assert!(!answer.headers().contains_key(http::header::CONTENT_LENGTH));
        assert!(origins.preflight(&Method::OPTIONS, &asks("https://b.example")).is_none());
        assert!(origins.preflight(&Method::GET, &asks("https://a.example")).is_none());
        let plain = headers(&[("origin", "https://a.example")]);
        assert!(origins.preflight(&Method::OPTIONS, &plain).is_none());
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_what_it_would() {
        for (text, remedy) in [
            ("https://a.example/", "browsers write https://a.example"),
            ("https://a.example:443", "browsers write https://a.example"),
            ("http://a.example:80", "browsers write http://a.example"),
            ("https://A.Example", "browsers write https://a.example"),
            ("https://user@a.example", "browsers write https://a.example"),
            ("https://a.example/grafana?x=1", "browsers write https://a.example"),
            ("a.example:3000", "write the scheme too, as https://a.example:3000"),
        ] {
            let error = text.parse::<CorsOrigins>().unwrap_err();
            assert_eq!((error.origin.as_str(), error.remedy.as_str()), (text, remedy));
        }
        for text in ["https://", "://", "http://a b", "\u{fc}", "*.example"] {
            assert!(text.parse::<CorsOrigins>().is_err(), "{text}");
        }
        assert!("https://[::1]:3000".parse::<CorsOrigins>().is_ok());
    }
}
