//! Dynamo's metrics for a Rust process: the front door of this workspace.
//!
//! A **worker** makes its metrics through a hierarchy whose levels are labels; a **frontend** gets one value a
//! request that moves everything a request moves. Names, types, labels and bucket bounds are those of NVIDIA
//! Dynamo 0.9.0, so its dashboards and alerts work unchanged.
//!
//! ```
//! use dynamo_metrics::{DistributedRuntime, Snapshot};
//!
//! let runtime = DistributedRuntime::new()?;
//! let worker = runtime.namespace("default")?.component("worker")?;
//! let endpoint = worker.endpoint("generate")?;
//!
//! // The document's metrics of an endpoint ...
//! let handler = endpoint.serve(&[("model", "Qwen/Qwen3-0.6B")])?;
//! let request = handler.begin(1146, runtime.now());
//! request.response_bytes(381);
//! request.finish(runtime.now());
//!
//! // ... and your own, with the same labels.
//! let evictions = endpoint.metrics().counter(("evictions_total", "Blocks evicted."))?;
//! evictions.inc();
//!
//! let mut snapshot = Snapshot::new();
//! snapshot.take(runtime.registry());
//! assert!(snapshot.families().any(|f| f.name() == "dynamo_component_evictions_total"));
//! # Ok::<(), dynamo_metrics::MetricsError>(())
//! ```
//!
//! # Where to look
//!
//! * [`DistributedRuntime`], [`Namespace`], [`Component`], [`Endpoint`]: the hierarchy; [`Metrics`]: making
//!   metrics at a level; [`SpecializedScope`]: under a noun of one's own.
//! * [`Endpoint::serve`]: a worker's metrics of each request; [`Component::kv_stats`], [`KvRouter`]: KV caches.
//! * [`FrontendMetrics`] and [`Request`]: a frontend's; [`Models`]: which models there are.
//! * [`EngineSource`]: passing an engine's metrics through.
//! * [`Environment`]: every `DYN_*` variable; [`SystemHealth`], [`FrontendHealth`]: what probes are told.
//! * [`names`]: all names and label values as constants.
//!
//! # What holds
//!
//! * Nothing here panics; what can fail does so when a metric is made, and says what to do.
//! * Recording takes its instants from the caller and allocates nothing.
//! * Everything that others can make grow has a limit, as a named constant.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod callback;
mod canary;
mod clock;
mod component;
pub mod engine;
pub mod environment;
mod error;
mod exposition;
mod fence;
mod frontend;
mod health;
mod hierarchy;
mod kvstats;
mod metrics;
mod model;
pub mod names;
mod patience;
mod preprocessor;
mod router;
mod system_server;
mod traceparent;

pub use callback::{CALLBACK_THREADS_MAX, CALLBACK_TIMEOUT, CALLBACK_VALUE_AGE_MAX};
pub use canary::{Canary, HealthChecks};
pub use clock::{Clock, MonotonicClock, Timestamp, VirtualClock, new_registry};
pub use component::{ErrorType, WorkHandlerMetrics, WorkRequest};
pub use engine::{Engine, EngineError, EngineSource, EngineText, Filter, Labels as EngineLabels};
pub use environment::{Environment, EnvironmentError};
pub use error::MetricsError;
pub use exposition::MetricsExposition;
pub use frontend::{
    BucketBounds, FrontendBuckets, FrontendConfig, FrontendMetrics, HttpEndpoint, MigrationType,
    RejectionReason, Request, RequestType, Status, UNSERVED_MODELS_MAX_DEFAULT,
};
pub use health::{FrontendHealth, HealthStatus, Instance, ProbeAnswer, SystemHealth, Transport};
pub use hierarchy::{Component, DistributedRuntime, Endpoint, Namespace, RuntimeOptions};
pub use kvstats::{KvStats, KvStatsMetrics};
pub use metrics::{BOUNDS_DEFAULT, MetricOpts, Metrics};
pub use model::{MODEL_NAME_BYTES_MAX, MODELS_MAX, ModelCard, Models, Registration, RuntimeConfig};
pub use patience::{SCRAPE_MARGIN, SCRAPE_TIMEOUT_DEFAULT};
pub use preprocessor::{PreprocessorMetrics, SpecializedScope};
pub use router::{KvRouter, WORKERS_MAX};
pub use system_server::{SystemServerError, register_mounted_telemetry, register_telemetry};
pub use traceparent::traceparent;

// What the metrics are made of.
pub use dynamo_metrics_core::{
    Buckets, BucketsError, Counter, Exemplar, ExemplarError, Family, FamilySnapshot, FloatCounter,
    Gauge, Histogram, HistogramValue, Info, LocalCounter, LocalHistogram, NativeBuckets,
    NativeBucketsError, NativeHistogram, PartSnapshot, RegisterError, Registry, SeriesSnapshot,
    Snapshot, StateSet, Summary, SummaryError, SummaryOpts, UnknownState, UpDownCounter, Value,
};
