//! The outcome of one page: its bytes with their media type, or the reason why there are none.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;

use crate::reason::Limit;
use crate::scrape::encoding::Coding;
use crate::telemetry::ServerTelemetry;

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

    /// Returns whether such a body is lines of text.
    pub(crate) fn is_lines(self) -> bool {
        ["text/", "application/openmetrics-text"].iter().any(|start| self.0.starts_with(start))
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

/// The error of an exposition that writes no page.
///
/// The answer is a fixed text, so that no input is reflected to the network; the cause goes to the log only.
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
    /// An error that is answered 500 with this text: a fault of the program.
    #[must_use]
    pub const fn failed(answer: &'static str) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, answer, cause: None }
    }

    /// An error that is answered 400 with this text: the fault of the scraper's request.
    #[must_use]
    pub const fn refused(answer: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, answer, cause: None }
    }

    /// An error that is answered 503 with this text and `Retry-After: 1`: a passing shortage.
    #[must_use]
    pub const fn unavailable(answer: &'static str) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, answer, cause: None }
    }

    /// Adds the cause, for the log.
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

/// The answer to a scrape, in a form that many of them can share.
pub(crate) type GatherOutcome = Result<Gathered, GatherFailure>;

/// A body, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Gathered {
    pub(crate) content_type: ContentType,
    pub(crate) coding: Coding,
    pub(crate) body: Bytes,
}

/// The reason why a gather has no body, in a form that many waiters can share.
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

    pub(crate) const OUT_OF_MEMORY: Self = Self::unavailable(OUT_OF_MEMORY);

    pub(crate) const fn unavailable(answer: &'static str) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, answer, panicked: false }
    }

    /// Counts it as what it is: a refused scrape, a panic or an error.
    pub(crate) fn count(self, telemetry: &ServerTelemetry) {
        if self.is_refusal() {
            telemetry.limit_hit(Limit::ScrapeRefused);
        } else {
            telemetry.gather_failed(self.panicked);
        }
    }

    /// Returns whether the scraper's request is at fault, and nothing failed.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST
    }
}

impl From<&ExposeError> for GatherFailure {
    fn from(error: &ExposeError) -> Self {
        Self { status: error.status, answer: error.answer, panicked: false }
    }
}

pub(crate) const OUT_OF_MEMORY: &str = "Out of memory";
