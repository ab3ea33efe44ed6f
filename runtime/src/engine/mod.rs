//! Engines whose metrics are passed through: where their text comes from and which of it is wanted.
//!
//! A source is registered at a level of the hierarchy; the exposition asks every registered engine for its text
//! and merges that into its own. **An engine costs only itself**: [`Engine::fetch`] returns an error where the
//! source fails, panics, is too slow or too large, and counts it in `dynamo_component_engine_errors_total`. What
//! of its text does not fit into the page is counted in `dynamo_component_engine_withheld_total`.
//!
//! A fetch blocks its thread, up to the source's timeout. So it belongs on a thread that nobody's tokens and no
//! health probe depend on.

mod http;
mod url;

use crate::error::MetricsError;
use crate::metrics::Metrics;
use crate::names::distributed_runtime;
use dynamo_metrics_core::{Counter, Family};
use parking_lot::RwLock;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

pub use dynamo_metrics_encoder::foreign::Filter;
pub use http::{ENGINE_HEAD_BYTES_MAX, ENGINE_TIMEOUT_MAX};

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
    /// The answer's status is not 200. Redirections are not followed.
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
            Self::Status { .. } => "status",
            Self::Malformed { .. } => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::Failed { .. } => "failed",
            Self::Panicked { .. } => "panicked",
        }
    }
}

type Text = dyn Fn() -> Result<Vec<u8>, EngineError> + Send + Sync;

/// Where an engine's exposition text comes from: a closure, or an address to GET.
///
/// ```
/// use dynamo_metrics::{DistributedRuntime, Filter, EngineSource};
///
/// let worker = DistributedRuntime::new()?.namespace("default")?.component("backend")?;
/// let source = EngineSource::new("vllm", Filter::vllm(), || {
///     Ok(b"# TYPE vllm:running gauge\nvllm:running 3.0\n".to_vec())
/// });
/// let engine = worker.add_engine_source(source)?;
/// assert!(engine.fetch()?.starts_with(b"# TYPE vllm:running"));
/// assert_eq!(worker.runtime().engine_sources().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EngineSource {
    name: String,
    filter: Filter,
    text: Box<Text>,
}

impl EngineSource {
    /// A source whose text a closure makes, in any version of the text format.
    pub fn new<T: Into<Vec<u8>>>(
        name: impl Into<String>,
        filter: Filter,
        text: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        let text = move || match text() {
            Ok(text) => Ok(text.into()),
            Err(message) => Err(EngineError::Failed { message }),
        };
        Self { name: name.into(), filter, text: Box::new(text) }
    }

    /// A source that is read from `http://host[:port]/path` at each fetch, within `timeout` and at most
    /// [`ENGINE_TIMEOUT_MAX`]. Looking the host up takes as long as the operating system lets it, so prefer
    /// addresses.
    ///
    /// ```
    /// use dynamo_metrics::{Filter, EngineSource, engine::ENGINE_TIMEOUT_DEFAULT};
    ///
    /// let url = "http://127.0.0.1:9000/metrics";
    /// let source = EngineSource::url("vllm", Filter::vllm(), url, ENGINE_TIMEOUT_DEFAULT)?;
    /// assert_eq!(source.name(), "vllm");
    /// let https = "https://127.0.0.1:9000/metrics";
    /// assert!(EngineSource::url("x", Filter::all(), https, ENGINE_TIMEOUT_DEFAULT).is_err());
    /// # Ok::<(), dynamo_metrics::EngineError>(())
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Url`].
    pub fn url(
        name: impl Into<String>,
        filter: Filter,
        url: &str,
        timeout: Duration,
    ) -> Result<Self, EngineError> {
        let url = url::Url::parse(url)?;
        let timeout = timeout.min(ENGINE_TIMEOUT_MAX);
        Ok(Self { name: name.into(), filter, text: Box::new(move || url.get(timeout)) })
    }

    /// The name, for logs and for the label `source`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which families are wanted.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The source's text as it is now, unfiltered and unchecked. Blocks up to the source's timeout, or as long
    /// as its closure takes.
    ///
    /// # Errors
    /// The source failed, panicked, or has more than [`ENGINE_BODY_BYTES_MAX`] bytes to say.
    pub fn read(&self) -> Result<Vec<u8>, EngineError> {
        // Nothing of ours is borrowed by the closure, so nothing of ours can be left half done by its panic.
        match catch_unwind(AssertUnwindSafe(|| (self.text)())) {
            Ok(Ok(text)) if text.len() > ENGINE_BODY_BYTES_MAX => {
                Err(EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX })
            }
            Ok(result) => result,
            Err(payload) => Err(EngineError::Panicked { message: message(&*payload) }),
        }
    }
}

impl fmt::Debug for EngineSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineSource")
            .field("name", &self.name)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

/// A registered source: what the exposition iterates over.
#[derive(Debug)]
pub struct Engine {
    source: EngineSource,
    /// Automatic labels of the level it was registered at.
    labels: Vec<(String, String)>,
    errors: Family<Counter, 2>,
    withheld: Family<Counter, 2>,
}

impl Engine {
    /// The source's name.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// Which of its families are wanted. The text that [`fetch`](Self::fetch) returns is not filtered yet.
    pub fn filter(&self) -> &Filter {
        &self.source.filter
    }

    /// The automatic labels of the level where it was registered, the outermost first.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()))
    }

    /// The source's text as [`EngineSource::read`] gives it.
    ///
    /// # Errors
    /// The source failed; it is counted by source and reason.
    pub fn fetch(&self) -> Result<Vec<u8>, EngineError> {
        let result = self.source.read();
        if let Err(error) = &result {
            self.errors.with([self.name(), error.reason()]).inc();
        }
        result
    }

    /// `count` families, series or lines of its text were left out of the page; `reason` is a short constant.
    pub fn count_withheld(&self, reason: &'static str, count: u64) {
        self.withheld.with([self.name(), reason]).add(count);
    }
}

/// All engines of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Engines {
    list: RwLock<Vec<Arc<Engine>>>,
}

impl Engines {
    pub(crate) fn add(
        &self,
        source: EngineSource,
        metrics: &Metrics,
    ) -> Result<Arc<Engine>, MetricsError> {
        let family = |name, help| {
            metrics.counter_family(
                (name, help),
                [distributed_runtime::SOURCE_LABEL, distributed_runtime::REASON_LABEL],
            )
        };
        let errors = family(
            distributed_runtime::ENGINE_ERRORS_TOTAL,
            "Reads of an engine's metrics that failed, by engine and reason.",
        )?;
        let withheld = family(
            distributed_runtime::ENGINE_WITHHELD_TOTAL,
            "What of an engine's metrics was left out of the page, by engine and reason.",
        )?;
        let labels = metrics
            .registry()
            .labels()
            .map(|(label, value)| (label.into(), value.into()))
            .collect();
        let mut list = self.list.write();
        if list.len() >= ENGINES_MAX {
            return Err(MetricsError::EngineLimit { name: source.name, max: ENGINES_MAX });
        }
        let engine = Arc::new(Engine { source, labels, errors, withheld });
        list.push(Arc::clone(&engine));
        Ok(engine)
    }

    pub(crate) fn remove(&self, name: &str) -> usize {
        let mut list = self.list.write();
        let before = list.len();
        list.retain(|engine| engine.name() != name);
        before - list.len()
    }

    pub(crate) fn list(&self) -> Vec<Arc<Engine>> {
        self.list.read().clone()
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DistributedRuntime;

    #[test]
    fn a_failing_and_a_panicking_source_cost_only_themselves_and_are_counted() {
        let runtime = DistributedRuntime::new().unwrap();
        let component = runtime.namespace("ns").unwrap().component("backend").unwrap();
        let add = |name: &str, text: fn() -> Result<String, String>| {
            component.add_engine_source(EngineSource::new(name, Filter::all(), text)).unwrap()
        };
        add("good", || Ok("x 1\n".into()));
        add("failing", || Err("engine is down".into()));
        add("panicking", || panic!("boom"));
        add("huge", || Ok("x".repeat(ENGINE_BODY_BYTES_MAX + 1)));
        let results: Vec<Result<Vec<u8>, EngineError>> =
            runtime.engine_sources().iter().map(|engine| engine.fetch()).collect();
        assert_eq!(results[0].as_deref(), Ok(&b"x 1\n"[..]));
        assert_eq!(results[1], Err(EngineError::Failed { message: "engine is down".into() }));
        assert_eq!(results[2], Err(EngineError::Panicked { message: "boom".into() }));
        assert_eq!(results[3], Err(EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX }));
        let errors = &runtime.engine_sources()[0].errors;
        for (source, reason) in
            [("failing", "failed"), ("panicking", "panicked"), ("huge", "too_large")]
        {
            assert_eq!(errors.get([source, reason]).unwrap().get(), 1, "{source}");
        }
        assert_eq!(errors.len(), 3);
        let engine = &runtime.engine_sources()[0];
        engine.count_withheld("clash", 2);
        assert_eq!(engine.withheld.get(["good", "clash"]).unwrap().get(), 2);
        let labels: Vec<&str> = engine.labels().map(|label| label.1).collect();
        assert_eq!(labels, ["ns", "backend"]);
        assert_eq!(runtime.remove_engine_source("failing"), 1);
        assert_eq!(runtime.engine_sources().len(), 3);
    }

    #[test]
    fn the_number_of_engines_is_bounded() {
        let runtime = DistributedRuntime::new().unwrap();
        let source = || EngineSource::new("x", Filter::all(), || Ok(""));
        for _ in 0..ENGINES_MAX {
            runtime.add_engine_source(source()).unwrap();
        }
        let error = runtime.add_engine_source(source()).unwrap_err();
        assert_eq!(error, MetricsError::EngineLimit { name: "x".into(), max: ENGINES_MAX });
    }
}
