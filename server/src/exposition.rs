//! Where the bytes of `/metrics` come from: one trait, and what it is told about the scrape.
//!
//! The server knows no metric. It hands an [`Exposition`] an empty buffer and the part of the
//! request that may change the answer, and sends what it finds in the buffer afterwards. Whatever
//! an exposition does (fail, panic) costs one scrape and nothing else.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::BytesMut;
use http::header::{ACCEPT, HeaderMap, HeaderValue};
use http::{StatusCode, Uri};

use crate::batch::Batch;
use crate::memory::OUT_OF_MEMORY;

/// A source of metrics in some exposition format.
///
/// Implemented for closures of the same shape (their arguments need their types spelled out, as in
/// the example). One that is shared is given to a server as a closure that calls it.
///
/// ```
/// use dynamo_metrics_server::bytes::BytesMut;
/// use dynamo_metrics_server::{ContentType, Exposition, ScrapeRequest};
///
/// let one = |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
///     body.extend_from_slice(b"up 1\n");
///     Ok(ContentType::TEXT_0_0_4)
/// };
/// let mut body = BytesMut::new();
/// let content_type = one.expose(&ScrapeRequest::default(), &mut body)?;
/// assert_eq!(content_type.as_str(), "text/plain; version=0.0.4; charset=utf-8");
/// assert_eq!(&body[..], b"up 1\n");
/// # Ok::<(), dynamo_metrics_server::ExposeError>(())
/// ```
pub trait Exposition: Send + Sync + 'static {
    /// Appends one exposition to `body`, which is empty and keeps the capacity of earlier scrapes,
    /// and returns its media type.
    ///
    /// The server calls it on its gather thread, one call at a time; [`metrics_response`] calls it
    /// on the caller's thread. It may block, although every scrape behind it waits.
    ///
    /// # Errors
    /// An [`ExposeError`] says what the scraper is told instead; what is in `body` is dropped. A
    /// panic is answered like an error.
    ///
    /// [`metrics_response`]: crate::metrics_response
    fn expose(
        &self,
        request: &ScrapeRequest<'_>,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError>;

    /// Writes the pages of all scrapes that wait. An exposition that has to wait for something does so
    /// here, once, before it calls [`Batch::for_each`]; then nobody who asks for other pages can make
    /// others wait longer. By default each page is [exposed](Self::expose) by itself.
    ///
    /// Called on the gather thread, one call at a time.
    fn expose_batch(&self, batch: &mut Batch<'_>) {
        batch.for_each(|request, body| self.expose(request, body));
    }

    /// Appends to `key`, which is empty, what of a request the answer depends on: scrapes with equal
    /// keys share a page. By default that is all of `Accept` and the query as they were sent, so who
    /// spells them in another way is another variant; say less here if less is looked at.
    ///
    /// Called on the gather thread. The timeout is not known here, nor may the key depend on it.
    fn variant(&self, request: &ScrapeRequest<'_>, key: &mut Vec<u8>) {
        request.write_key(key);
    }
}

impl<F> Exposition for F
where
    F: Fn(&ScrapeRequest<'_>, &mut BytesMut) -> Result<ContentType, ExposeError>
        + Send
        + Sync
        + 'static,
{
    fn expose(
        &self,
        request: &ScrapeRequest<'_>,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError> {
        self(request, body)
    }
}

/// What a scrape may ask for.
///
/// ```
/// use dynamo_metrics_server::ScrapeRequest;
/// use dynamo_metrics_server::http::{HeaderMap, Uri};
/// use std::time::Duration;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("accept", "text/plain;version=0.0.4".parse()?);
/// headers.insert("x-prometheus-scrape-timeout-seconds", "1.5".parse()?);
/// let uri: Uri = "/metrics?name[]=up".parse()?;
///
/// let request = ScrapeRequest::from_head(&headers, &uri);
/// assert_eq!(request.accept(), Some("text/plain;version=0.0.4"));
/// assert_eq!(request.query(), Some("name[]=up"));
/// assert_eq!(request.timeout(), Some(Duration::from_millis(1500)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeRequest<'a> {
    accept: Option<Cow<'a, str>>,
    query: Option<&'a str>,
    timeout: Option<Duration>,
}

impl<'a> ScrapeRequest<'a> {
    /// A request from its parts, none of which is checked.
    #[must_use]
    pub fn new(accept: Option<&'a str>, query: Option<&'a str>, timeout: Option<Duration>) -> Self {
        Self { accept: accept.map(Cow::Borrowed), query, timeout }
    }

    /// Reads what matters of a request's head. Never fails: what cannot be understood is taken as
    /// absent, for a scrape with an odd header still deserves its metrics.
    #[must_use]
    pub fn from_head(headers: &'a HeaderMap, uri: &'a Uri) -> Self {
        Self { accept: accept(headers), query: uri.query(), timeout: timeout(headers) }
    }

    /// The `Accept` header (RFC 9110 section 12.5.1); several lines are joined by `, `, as section
    /// 5.3 has it. Lines that are not visible ASCII are left out.
    #[must_use]
    pub fn accept(&self) -> Option<&str> {
        self.accept.as_deref()
    }

    /// The target's query, without its `?`, still percent-encoded.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The time that the scraper will still wait: `X-Prometheus-Scrape-Timeout-Seconds`, less what
    /// the scrape has already waited for its turn. Absent when the header is absent, zero, or not a
    /// positive number of seconds.
    ///
    /// When several scrapes share one gather, it is that of the most patient one, and absent when one
    /// of them did not say. Below [`Limits::SCRAPE_TIMEOUT_MIN`] it counts as that, and above
    /// [`Limits::scrape_deadline`] as that.
    ///
    /// [`Limits::SCRAPE_TIMEOUT_MIN`]: crate::Limits::SCRAPE_TIMEOUT_MIN
    /// [`Limits::scrape_deadline`]: crate::Limits::scrape_deadline
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Everything but the timeout, so that different requests have different keys.
    pub(crate) fn write_key(&self, key: &mut Vec<u8>) {
        for part in [self.accept(), self.query()] {
            // No text is that long, so an absent one is no empty one.
            let length = part.map_or(u64::MAX, |text| text.len() as u64);
            key.extend_from_slice(&length.to_le_bytes());
            key.extend_from_slice(part.unwrap_or_default().as_bytes());
        }
    }
}

/// The media type of an exposition, sent as `Content-Type`.
///
/// ```
/// use dynamo_metrics_server::ContentType;
///
/// const OPENMETRICS: ContentType =
///     ContentType::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// assert_ne!(OPENMETRICS, ContentType::TEXT_0_0_4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentType(&'static str);

impl ContentType {
    /// Prometheus text format 0.0.4.
    pub const TEXT_0_0_4: Self = Self::from_static("text/plain; version=0.0.4; charset=utf-8");
    /// Text without a version: what Dynamo 0.9.0 itself sends. Prometheus takes it as 0.0.4.
    pub const TEXT: Self = Self::from_static("text/plain; charset=utf-8");

    /// A media type known at compile time.
    ///
    /// # Panics
    /// If a byte is not visible ASCII or a space. In a constant that is a compile error.
    #[must_use]
    pub const fn from_static(media_type: &'static str) -> Self {
        let bytes = media_type.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            assert!(matches!(bytes[index], b' '..=b'~'), "a media type is visible ASCII");
            index += 1;
        }
        Self(media_type)
    }

    /// The media type as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.0) // Cannot panic: `from_static` above allows fewer bytes.
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why there is no exposition, and what the scraper is told.
///
/// The answer is a fixed text, so that no input is reflected to the network; the cause goes to the
/// log only.
///
/// ```
/// use dynamo_metrics_server::ExposeError;
///
/// let error = ExposeError::failed("Failed to get metrics").with_cause("the registry is gone");
/// assert_eq!(error.status(), 500);
/// assert_eq!(error.to_string(), "Failed to get metrics: the registry is gone");
/// assert_eq!(ExposeError::unavailable("Out of memory").status(), 503);
/// ```
#[derive(Debug)]
pub struct ExposeError {
    status: StatusCode,
    answer: &'static str,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ExposeError {
    /// Answered 500 with this text: a fault of the program.
    #[must_use]
    pub const fn failed(answer: &'static str) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, answer, cause: None }
    }

    /// Answered 400 with this text: the scraper asks for what cannot be answered.
    #[must_use]
    pub const fn refused(answer: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, answer, cause: None }
    }

    /// Answered 503 with this text and `Retry-After: 1`: a passing shortage.
    #[must_use]
    pub const fn unavailable(answer: &'static str) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, answer, cause: None }
    }

    /// Adds what went wrong, for the log.
    #[must_use]
    pub fn with_cause(
        mut self,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The status of the answer: 400, 500 or 503.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The text of the answer.
    #[must_use]
    pub fn answer(&self) -> &'static str {
        self.answer
    }
}

impl fmt::Display for ExposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.answer),
            None => f.write_str(self.answer),
        }
    }
}

impl std::error::Error for ExposeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// Why a gather has no body: the answer in a form that many waiters can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GatherFailure {
    pub(crate) status: StatusCode,
    pub(crate) answer: &'static str,
    pub(crate) panicked: bool,
}

impl GatherFailure {
    pub(crate) const PANICKED: Self = Self {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        answer: "Failed to gather metrics",
        panicked: true,
    };

    pub(crate) const OUT_OF_MEMORY: Self =
        Self { status: StatusCode::SERVICE_UNAVAILABLE, answer: OUT_OF_MEMORY, panicked: false };

    /// Whether the scraper is to blame, and nothing failed.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST
    }
}

/// Calls an exposition behind a fence and logs what goes wrong.
pub(crate) fn expose_fenced(
    expose: &mut dyn FnMut(&ScrapeRequest<'_>, &mut BytesMut) -> Result<ContentType, ExposeError>,
    request: &ScrapeRequest<'_>,
    body: &mut BytesMut,
) -> Result<ContentType, GatherFailure> {
    let failure = match fenced(|| expose(request, body)) {
        Ok(Ok(content_type)) => return Ok(content_type),
        Ok(Err(error)) => {
            let failure =
                GatherFailure { status: error.status, answer: error.answer, panicked: false };
            // Any client can ask for what cannot be answered, and must not fill the log with it.
            if failure.is_refusal() {
                tracing::debug!(%error, "the exposition refused a scrape");
            } else {
                tracing::error!(%error, "the exposition failed; the scrape is answered with an error");
            }
            failure
        }
        Err(Panicked) => {
            tracing::error!("the exposition panicked; the scrape is answered 500");
            GatherFailure::PANICKED
        }
    };
    Err(failure)
}

/// What foreign code did instead of returning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

/// Calls foreign code behind a fence.
pub(crate) fn fenced<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    // AssertUnwindSafe: after a panic our callers drop what it may have left half done; the rest is
    // the embedder's own value.
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        discard_panic(payload);
        Panicked
    })
}

/// Drops a panic's payload. Its destructor is foreign code too and may panic again; then it is
/// leaked, for a third panic must not reach our threads.
pub(crate) fn discard_panic(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

fn accept(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let mut lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let first = lines.next()?;
    Some(lines.fold(Cow::Borrowed(first), |joined, line| Cow::Owned(format!("{joined}, {line}"))))
}

fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("x-prometheus-scrape-timeout-seconds")?.to_str().ok()?;
    let seconds = text.trim().parse().ok()?;
    // Refuses what is negative, infinite, NaN or beyond 2^64 seconds.
    let timeout = Duration::try_from_secs_f64(seconds).ok()?;
    (!timeout.is_zero()).then_some(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value).expect("a header value"));
        }
        headers
    }

    #[test]
    fn accept_lines_are_joined_and_odd_ones_left_out() {
        assert_eq!(accept(&headers(&[])), None);
        let lines = headers(&[("accept", b"a/b"), ("accept", b"\xff"), ("accept", b"*/*;q=0.1")]);
        assert_eq!(accept(&lines).as_deref(), Some("a/b, */*;q=0.1"));
    }

    #[test]
    fn timeouts_that_make_no_sense_are_absent() {
        let parsed = |text: &'static str| {
            timeout(&headers(&[("x-prometheus-scrape-timeout-seconds", text.as_bytes())]))
        };
        assert_eq!(parsed("10"), Some(Duration::from_secs(10)));
        assert_eq!(parsed("1.000"), Some(Duration::from_secs(1)));
        for text in ["", "0", "-1", "NaN", "inf", "1e300", "10s", "1,5"] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_key_of_a_request_tells_all_others_apart() {
        let key = |accept, query| {
            let mut key = Vec::new();
            ScrapeRequest::new(accept, query, None).write_key(&mut key);
            key
        };
        let parts = [None, Some(""), Some("a"), Some("ab"), Some("b")];
        let keys: Vec<_> =
            parts.iter().flat_map(|&one| parts.iter().map(move |&two| key(one, two))).collect();
        for (index, one) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(one), "{index}");
        }
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_survived() {
        struct Grenade;
        impl Drop for Grenade {
            fn drop(&mut self) {
                std::panic::panic_any("in a destructor");
            }
        }
        discard_panic(Box::new(Grenade));
    }
}
