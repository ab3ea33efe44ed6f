#![doc = include_str!("../README.md")]
//!
//! # Where to look
//!
//! * [`DistributedRuntime`], [`Namespace`], [`Component`], [`Endpoint`]: the hierarchy; [`Metrics`]: the metrics of a level;
//!   [`SpecializedScope`]: metrics with a noun of their own.
//! * [`Endpoint::serve`]: a worker's metrics of each request; [`Component::kv_stats`], [`KvRouter`]: KV caches.
//! * [`FrontendMetrics`] and [`Request`]: the metrics of a frontend; [`Models`]: the models that workers serve.
//! * [`Exporter`]: the page, its servers, callbacks and collectors; [`EngineSource`]: an engine's page.
//! * [`Environment`]: every `DYN_*` variable; [`SystemHealth`], [`FrontendHealth`]: the answers to probes.
//! * [`names`]: all names and label values as constants.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod clock;
mod component;
pub mod environment;
mod error;
mod frontend;
mod health;
mod hierarchy;
mod metrics;
pub mod names;
mod system_server;
mod traceparent;

pub use clock::{Clock, MonotonicClock, Timestamp, VirtualClock};
pub use component::{
    ErrorType, KvRouter, KvStats, KvStatsMetrics, PreprocessorMetrics, SpecializedScope,
    WORKERS_MAX, WorkHandlerMetrics, WorkRequest,
};
pub use environment::{Environment, EnvironmentError};
pub use error::MetricsError;
pub use frontend::{
    BucketBounds, FrontendBuckets, FrontendConfig, FrontendMetrics, HttpEndpoint,
    MODEL_NAME_BYTES_MAX, MODELS_MAX, MigrationType, ModelCard, Models, Registration,
    RejectionReason, Request, RequestType, RuntimeConfig, Status, UNSERVED_MODELS_MAX_DEFAULT,
};
pub use health::{
    Canary, FrontendHealth, HealthChecks, HealthStatus, Instance, ProbeAnswer, SystemHealth,
    Transport,
};
pub use hierarchy::{Component, DistributedRuntime, Endpoint, Namespace, RuntimeOptions};
pub use metrics::Metrics;
pub use system_server::SystemServerError;
pub use traceparent::parse_traceparent;

// The exporter of the page, and the engines on it.
pub use dynamo_metrics_exporter::{
    CALLBACK_THREADS_MAX, CALLBACK_TIMEOUT, CALLBACK_VALUE_AGE_MAX, Collected, Collector,
    CollectorError, Engine, EngineError, EngineLabels, EngineSource, EngineText, Exporter, Filter,
    MetricsExposition, ObserveDuration, SCRAPE_MARGIN, SCRAPE_TIMEOUT_DEFAULT, SourceError, Timer,
    engine, new_registry, register_mounted_telemetry, register_telemetry,
};

#[cfg(unix)]
pub use dynamo_metrics_exporter::multiprocess;

#[cfg(feature = "dashboard")]
pub use dynamo_metrics_exporter::{DASHBOARD_PATH, dashboard_pages};

#[cfg(feature = "otlp")]
pub use dynamo_metrics_exporter::{OtlpError, OtlpPusher, OtlpSettings, OtlpSettingsError};

// The types of the metrics.
pub use dynamo_metrics_core::{
    BOUNDS_DEFAULT, Buckets, Counter, Exemplar, Family, FloatCounter, Gauge, Histogram,
    HistogramValue, Info, IntegerHistogram, IntegerHistogramValue, IntegerSum, LocalCounter,
    LocalHistogram, NativeBuckets, NativeHistogram, Opts, RegisterError, Registry, Scale, Snapshot,
    StateSet, Summary, SummaryOpts, UpDownCounter,
    error::{BucketsError, ExemplarError, NativeBucketsError, SummaryError, UnknownState},
    snapshot::{FamilySnapshot, PartSnapshot, SeriesSnapshot, Value},
};
