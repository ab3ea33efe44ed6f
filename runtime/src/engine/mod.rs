//! Engines whose metrics are passed through: where their text comes from and which of it is wanted.
//!
//! A source is registered at a level of the hierarchy; the exposition asks every registered engine for its text
//! and merges that into its own. **An engine costs only itself**, whatever it does:
//!
//! ```text
//! scrape -> every engine's thread: fetch!   all at once, one thread a source, never two fetches of one
//!        <- the text, or the last good copy  waits 50 ms for who has a copy, else until the source's timeout or the
//!                                            scrape's own, not longer
//! ```
//!
//! * It fails or panics: counted by reason in `dynamo_component_engine_errors_total`, and the last good copy is
//!   served until it is [`ENGINE_COPY_AGE_MAX`] old.
//! * It is slow or hangs: only the first scrape of all waits for it longer than [`ENGINE_PATIENCE`]; the others have
//!   the last good copy, and the next one what has come meanwhile. It holds its own thread and nothing else, for as
//!   long as it likes. A scraper's own haste is not the source's failure.
//! * It is too large: see [`ENGINE_BODY_BYTES_MAX`] and [`ENGINE_SAMPLES_MAX`]. What of its text does not fit into
//!   the page is counted in `dynamo_component_engine_withheld_total`.
//!
//! `dynamo_engine_metrics_up` says of each source whether it answered when it was last asked, in time, and
//! `dynamo_engine_metrics_age_seconds` how old what the page has of it is. What goes wrong is logged once a state, and
//! at most once in [`ENGINE_LOG_PERIOD`], however often it is scraped.

mod cut;
mod fetcher;
mod gather;
mod http;
mod quiet;
mod registered;
mod source;
mod text;
mod url;

use std::time::Duration;
use thiserror::Error;

pub use cut::ENGINE_SAMPLES_MAX;
pub use dynamo_metrics_encoder::foreign::{Filter, Labels};
pub use fetcher::{ENGINE_COPY_AGE_MAX, ENGINE_PATIENCE};
pub use gather::GatheredEngines;
pub use http::{ENGINE_HEAD_BYTES_MAX, ENGINE_TIMEOUT_MAX};
pub use quiet::ENGINE_LOG_PERIOD;
pub use registered::Engine;
pub(crate) use registered::Engines;
pub use source::EngineSource;
pub use text::EngineText;

/// Engines that one runtime takes. Each is fetched for every scrape; a worker has one to three.
pub const ENGINES_MAX: usize = 64;
/// Bytes of an engine's text. A vLLM worker's is about 52 kB; this is room for three hundred of them, and what
/// a hostile or broken engine can cost.
pub const ENGINE_BODY_BYTES_MAX: usize = 16 << 20;
/// A timeout for engines on the same host: less than any scraper's patience.
pub const ENGINE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// Why an engine's text could not be had.
///
/// ```
/// use dynamo_metrics::EngineError;
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
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody answers at the address.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the operating system says.
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
        /// What the operating system says.
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
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The text is not an exposition, as the page of another path, or an answer in JSON.
    #[error("the answer is {found} and not an exposition; is this the address of the metrics?")]
    NotExposition {
        /// The form that it seems to have.
        found: &'static str,
    },
    /// The answer's status is neither 200 nor a redirection.
    #[error("HTTP status {status}, not 200")]
    Status {
        /// The status.
        status: u16,
    },
    /// The answer is not HTTP/1.1, or not in a form that is read here.
    #[error("not a readable HTTP answer: {reason}")]
    Malformed {
        /// What is wrong.
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
        /// What it said.
        message: String,
    },
    /// The source's thread could not be started.
    #[error("no thread to read it on: {reason}")]
    Thread {
        /// What the operating system says.
        reason: String,
    },
    /// The source's closure panicked.
    #[error("the source panicked: {message}")]
    Panicked {
        /// What it said, if it was text.
        message: String,
    },
}

impl EngineError {
    /// The value of the label `reason`.
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
