//! The values of the frontend's labels, as types: no other value can be recorded.

use crate::names::frontend_service::{
    endpoint, migration_type, rejection_reason, request_type, status,
};
use dynamo_metrics_core::LabelEnum;

/// The API that a request called: label `endpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpEndpoint {
    /// `completions`
    Completions,
    /// `chat_completions`
    ChatCompletions,
    /// `embeddings`
    Embeddings,
    /// `images`
    Images,
    /// `responses`
    Responses,
    /// `tensor`
    Tensor,
}

impl HttpEndpoint {
    /// Every endpoint.
    pub const ALL: [Self; 6] = [
        Self::Completions,
        Self::ChatCompletions,
        Self::Embeddings,
        Self::Images,
        Self::Responses,
        Self::Tensor,
    ];

    /// Returns the label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completions => endpoint::COMPLETIONS,
            Self::ChatCompletions => endpoint::CHAT_COMPLETIONS,
            Self::Embeddings => endpoint::EMBEDDINGS,
            Self::Images => endpoint::IMAGES,
            Self::Responses => endpoint::RESPONSES,
            Self::Tensor => endpoint::TENSOR,
        }
    }
}

/// The way in which a response comes: label `request_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestType {
    /// `unary`: in one piece.
    Unary,
    /// `stream`: in pieces.
    Stream,
}

impl RequestType {
    /// All request types.
    pub const ALL: [Self; 2] = [Self::Unary, Self::Stream];

    /// Returns the label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unary => request_type::UNARY,
            Self::Stream => request_type::STREAM,
        }
    }
}

/// The end of a request: label `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// `success`
    Success,
    /// `error`
    Error,
}

impl Status {
    /// All results of a request.
    pub const ALL: [Self; 2] = [Self::Success, Self::Error];

    /// Returns the label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => status::SUCCESS,
            Self::Error => status::ERROR,
        }
    }
}

/// The state of a request that is moved to another worker: label `migration_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MigrationType {
    /// `new_request`: its stream could not be opened.
    NewRequest,
    /// `ongoing_request`: its open stream broke.
    OngoingRequest,
}

impl MigrationType {
    /// All types of migrations.
    pub const ALL: [Self; 2] = [Self::NewRequest, Self::OngoingRequest];

    /// Returns the label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewRequest => migration_type::NEW_REQUEST,
            Self::OngoingRequest => migration_type::ONGOING_REQUEST,
        }
    }
}

/// The reason why a request is rejected before work on it begins: label `reason`.
///
/// ```
/// use dynamo_metrics::RejectionReason;
///
/// assert_eq!(RejectionReason::from_status(404), Some(RejectionReason::NotFound));
/// assert_eq!(RejectionReason::NotFound.as_str(), "not_found");
/// assert_eq!(RejectionReason::from_status(500), None, "a failure, not a rejection");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionReason {
    /// `validation`: the request is not valid; HTTP 400.
    Validation,
    /// `not_found`: no worker serves the model; HTTP 404.
    NotFound,
    /// `method_not_allowed`: the endpoint is called by POST only; HTTP 405.
    MethodNotAllowed,
    /// `timeout`: the body did not come in time; HTTP 408.
    Timeout,
    /// `too_large`: the body is beyond the limit; HTTP 413.
    TooLarge,
    /// `unsupported_media_type`: the body is not JSON, or is compressed; HTTP 415.
    UnsupportedMediaType,
    /// `overload`: too many requests; HTTP 429.
    Overload,
    /// `unavailable`: the service is shutting down or has no room for the body, or no worker of the model is left; HTTP 503.
    Unavailable,
}

impl RejectionReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Validation,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Overload,
        Self::Unavailable,
    ];

    /// Returns the label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => rejection_reason::VALIDATION,
            Self::NotFound => rejection_reason::NOT_FOUND,
            Self::MethodNotAllowed => rejection_reason::METHOD_NOT_ALLOWED,
            Self::Timeout => rejection_reason::TIMEOUT,
            Self::TooLarge => rejection_reason::TOO_LARGE,
            Self::UnsupportedMediaType => rejection_reason::UNSUPPORTED_MEDIA_TYPE,
            Self::Overload => rejection_reason::OVERLOAD,
            Self::Unavailable => rejection_reason::UNAVAILABLE,
        }
    }

    /// Returns the HTTP status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Validation => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Overload => 429,
            Self::Unavailable => 503,
        }
    }

    /// Returns the reason of an HTTP status, if it is that of a rejection.
    pub fn from_status(status: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.status() == status)
    }
}

/// Returns the label values of an enum, by place.
macro_rules! label_enum {
    ($name:ident, $len:literal) => {
        impl LabelEnum for $name {
            const VALUES: &'static [&'static str] = &{
                let mut values = [""; $len];
                let mut place = 0;
                while place < $len {
                    values[place] = Self::ALL[place].as_str();
                    place += 1;
                }
                values
            };

            #[inline]
            fn index(self) -> usize {
                // `ALL` lists the variants in the order of their declaration.
                self as usize
            }
        }
    };
}
label_enum!(HttpEndpoint, 6);
label_enum!(RejectionReason, 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_its_own_label_value() {
        for endpoint in HttpEndpoint::ALL {
            assert_eq!(HttpEndpoint::VALUES[endpoint.index()], endpoint.as_str());
        }
        for reason in RejectionReason::ALL {
            assert_eq!(RejectionReason::VALUES[reason.index()], reason.as_str());
        }
    }
}
