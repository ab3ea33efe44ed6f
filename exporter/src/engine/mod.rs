//! Engines: other exporters, most often LLM engines in the same process or pod, whose pages are merged into this one.
//!
//! A source is registered at an exporter; each scrape reads every registered engine and merges its families into the
//! page. **A fault of an engine costs only its own families**:
//!
//! ```text
//! scrape -> every engine's thread fetches   all at once, one thread a source, never two fetches of one source
//!        <- the text, or the last good copy  after 50 ms where there is a copy, else after the source's timeout or at
//!                                            the scrape's deadline
//! ```
//!
//! * A failure or a panic is counted by reason in `<prefix>_engine_errors_total`, and the last good copy is served
//!   until it is [`ENGINE_COPY_AGE_MAX`] old.
//! * A slow engine, or one that hangs, delays only the first scrape by more than [`ENGINE_REFRESH_WAIT`]; later scrapes
//!   have the last good copy. A read that hangs holds the engine's own thread and nothing else. A short deadline of a
//!   scraper is no failure of the engine.
//! * An engine's text is limited by [`ENGINE_BODY_BYTES_MAX`] and [`ENGINE_SAMPLES_MAX`]. Parts of it that cannot be on
//!   the page are counted by reason in `<prefix>_engine_withheld_total`.
//!
//! `<prefix>` is `dynamo_metrics` unless the exporter has [another](crate::Exporter::engine_prefix).
//! `dynamo_engine_metrics_up` is 1 where the last read of an engine succeeded in time, and
//! `dynamo_engine_metrics_age_seconds` is the age of its families on the page. A failing engine is logged when it begins
//! to fail and when it recovers, at most once in [`LOG_PERIOD`], whatever the number of scrapes.

mod fetcher;
mod format;
mod gathered;
mod http;

mod registered;
mod sample_limit;
mod source;
mod text;
mod url;

use std::time::Duration;
use thiserror::Error;

pub use crate::log_throttle::LOG_PERIOD;
pub use dynamo_metrics_encoder::passthrough::{Filter, Labels};
pub use fetcher::{ENGINE_COPY_AGE_MAX, ENGINE_REFRESH_WAIT};
pub use gathered::GatheredEngines;
pub use http::{ENGINE_HEAD_BYTES_MAX, ENGINE_TIMEOUT_MAX, EnginePage};
pub use registered::Engine;
pub(crate) use registered::Engines;
pub use sample_limit::ENGINE_SAMPLES_MAX;
pub use source::EngineSource;
pub use text::EngineText;

/// Largest number of engines of one exporter; the registration of one more is an error. Each is read for every scrape; a worker
/// has one to three.
pub const ENGINES_MAX: usize = 64;
/// Largest number of bytes of an engine's text; a longer one is an error of the engine. A vLLM worker's has about 52 kB; this
/// is room for three hundred of them, and the most memory that a hostile or broken engine can take.
pub const ENGINE_BODY_BYTES_MAX: usize = 16 << 20;
/// The timeout of engines on the same host: below the timeouts of scrapers.
pub const ENGINE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// The reason why an engine could not be read.
///
/// ```
/// use dynamo_metrics_exporter::EngineError;
///
/// let error = EngineError::Status { status: 503 };
/// assert_eq!((error.reason(), error.to_string()), ("status", "HTTP status 503, not 200".into()));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// The address is not one of `http://host[:port]/path`.
    #[error("{url:?} is not an address to read metrics from: {reason}")]
    Url {
        /// The address.
        url: String,
        /// The fault of the address.
        reason: &'static str,
    },
    /// There is no server at the address.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// The operating system's message.
        reason: String,
    },
    /// The answer was not complete in time.
    #[error("no complete answer within {timeout:?}")]
    Timeout {
        /// The source's timeout.
        timeout: Duration,
    },
    /// The connection broke.
    #[error("the connection broke: {reason}")]
    Connection {
        /// The operating system's message.
        reason: String,
    },
    /// The answer redirects where this reader does not follow: to another host or scheme, nowhere, or too often.
    #[error(
        "HTTP status {status} redirects to {target:?}, which is not followed: {reason}; give that address instead"
    )]
    Redirect {
        /// The status.
        status: u16,
        /// The value of `Location`.
        target: String,
        /// The reason why it is not followed.
        reason: &'static str,
    },
    /// The text is not an exposition, as the page of another path, or an answer in JSON.
    #[error("the answer is {found} and not an exposition; is this the address of the metrics?")]
    NotExposition {
        /// The format that it seems to have.
        found: &'static str,
    },
    /// The answer's status is neither 200 nor a redirection.
    #[error("HTTP status {status}, not 200")]
    Status {
        /// The status.
        status: u16,
    },
    /// The answer is not HTTP/1.1, or has a coding that this client does not read.
    #[error("not a readable HTTP answer: {reason}")]
    Malformed {
        /// The fault of the answer.
        reason: &'static str,
    },
    /// The text has more than [`ENGINE_BODY_BYTES_MAX`] bytes.
    #[error("more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// The source's closure returned an error.
    #[error("{message}")]
    Failed {
        /// The closure's message.
        message: String,
    },
    /// The source's thread could not be started.
    #[error("no thread to read it on: {reason}")]
    Thread {
        /// The operating system's message.
        reason: String,
    },
    /// The source's closure panicked.
    #[error("the source panicked: {message}")]
    Panicked {
        /// The panic's text, or `no text`.
        message: String,
    },
}

impl EngineError {
    /// Returns the value of the label `reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Url { .. } => "url",
            Self::Connect { .. } => "connect",
            Self::Timeout { .. } => "timeout",
            Self::Connection { .. } => "connection",
            Self::Redirect { .. } => "redirect",
            Self::NotExposition { .. } => "not_exposition",
            Self::Status { .. } => "status",
            Self::Malformed { .. } => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::Failed { .. } => "failed",
            Self::Thread { .. } => "thread",
            Self::Panicked { .. } => "panicked",
        }
    }
}
