//! The reasons for which a head is rejected before it is a request: the status, the fixed text and the counter of each.
//!
//! A rejection always closes the connection. The bytes that follow the head may be a body or a second request, so they are
//! never looked at.

use http::StatusCode;

use crate::reason::Limit;

/// A head that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Bytes that RFC 9112 does not allow in this place.
    Grammar,
    /// Two lengths, a length and a transfer coding, or an invalid one: two readers may differ on where the request ends,
    /// which is the basis of request smuggling.
    Framing,
    /// A body with a valid length.
    Body,
    /// No `Host` in HTTP/1.1, two of them, or one that is no host.
    Host,
    /// `Expect`, which would promise to read a body.
    Expectation,
    /// Another version than 1.0 and 1.1, the preface of HTTP/2 included.
    Version,
    /// A target longer than [`Limits::uri_bytes`](crate::Limits::uri_bytes).
    UriSize,
    /// More than [`Limits::headers`](crate::Limits::headers) lines.
    HeaderCount,
    /// More than [`Limits::head_bytes`](crate::Limits::head_bytes) bytes.
    HeadSize,
    /// The first byte of a TLS handshake. Its client cannot read an answer in plain, so it gets none.
    TlsHello,
}

impl Rejection {
    /// The status and text of the answer; `None` closes without one.
    pub(crate) const fn answer(self) -> Option<(StatusCode, &'static str)> {
        Some(match self {
            Self::Grammar => (StatusCode::BAD_REQUEST, "Malformed request"),
            Self::Framing => (StatusCode::BAD_REQUEST, "Ambiguous request length"),
            Self::Host => (StatusCode::BAD_REQUEST, "Exactly one valid Host is required"),
            Self::Body => (StatusCode::PAYLOAD_TOO_LARGE, "Request bodies are not accepted"),
            Self::Expectation => (StatusCode::EXPECTATION_FAILED, "Expect is not supported"),
            Self::Version => {
                (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.0 and HTTP/1.1 are supported")
            }
            Self::UriSize => (StatusCode::URI_TOO_LONG, "Request target too long"),
            Self::HeaderCount => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Too many header fields")
            }
            Self::HeadSize => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request head too large")
            }
            Self::TlsHello => return None,
        })
    }

    /// Its counter.
    pub(crate) const fn limit(self) -> Limit {
        match self {
            Self::Grammar => Limit::Grammar,
            Self::Framing => Limit::Framing,
            Self::Body => Limit::Body,
            Self::Host => Limit::Host,
            Self::Expectation => Limit::Expectation,
            Self::Version => Limit::Version,
            Self::UriSize => Limit::UriSize,
            Self::HeaderCount => Limit::HeaderCount,
            Self::HeadSize => Limit::HeadSize,
            Self::TlsHello => Limit::TlsHello,
        }
    }
}
