#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod callback;
mod catch_panic;
mod clock;
mod collector;
#[cfg(feature = "dashboard")]
mod dashboard;
mod deadline;
pub mod engine;
mod error;
mod exporter;
mod log_throttle;
pub mod names;
#[cfg(feature = "otlp")]
mod otlp;
mod page;
mod timer;

pub use callback::{CALLBACK_THREADS_MAX, CALLBACK_TIMEOUT, CALLBACK_VALUE_AGE_MAX};
pub use clock::new_registry;
pub use collector::{
    COLLECTION_BYTES_MAX, COLLECTORS_MAX, Collected, CollectedExemplar, CollectedFamily,
    CollectedHistogram, CollectedSummary, CollectedValue, Collector, CollectorError,
};
#[cfg(feature = "dashboard")]
pub use dashboard::{DASHBOARD_PATH, dashboard_pages};
pub use deadline::{SCRAPE_MARGIN, SCRAPE_TIMEOUT_DEFAULT};
pub use engine::{Engine, EngineError, EngineSource, EngineText, Filter, Labels as EngineLabels};
pub use error::{ListenError, SourceError};
pub use exporter::Exporter;
#[cfg(feature = "otlp")]
pub use otlp::{OtlpError, OtlpPusher, OtlpSettings, OtlpSettingsError};
pub use page::{MetricsExposition, register_mounted_telemetry, register_telemetry};
pub use timer::{ObserveDuration, Timer};

// The types of the signatures, from the crates below.
pub use dynamo_metrics_core::{
    Buckets, Counter, Family, FloatCounter, Gauge, Histogram, Info, IntegerHistogram,
    NativeBuckets, NativeHistogram, Opts, RegisterError, Registry, Scale, StateSet, Summary,
    SummaryOpts, UpDownCounter, error::BucketsError,
};
#[cfg(all(feature = "multiprocess", unix))]
pub use dynamo_metrics_multiprocess as multiprocess;
pub use dynamo_metrics_server::{
    Limits, MetricsService, RunningServer, ScrapeDeadline, ServerBuilder, ShutdownReport,
    StartError, StaticPage, bytes, http,
};

/// Items for the other crates of this workspace; no part of the API.
#[doc(hidden)]
pub mod __private {
    pub use crate::catch_panic::catch_panic;
}
