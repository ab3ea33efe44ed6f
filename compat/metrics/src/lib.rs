//! A recorder for the [`metrics`](https://docs.rs/metrics/0.24) facade, version 0.24, on the shards of `dynamo-metrics-core`.
//!
//! Crates that count with `metrics::counter!` and its siblings count in the memory of the calling thread once this recorder is
//! installed, and the page is written by `dynamo-metrics-exporter`: text, OpenMetrics or protobuf, as the scraper asks for it.
//!
//! ```
//! use dynamo_metrics_facade::{Buckets, Builder, Matcher};
//!
//! let handle = Builder::new()
//!     .listen("127.0.0.1:0")
//!     .buckets_for(Matcher::Suffix("_seconds".into()), &Buckets::default())
//!     .install()?;
//!
//! metrics::describe_counter!("requests_total", "Requests.");
//! metrics::counter!("requests_total", "model" => "qwen3-0.6b").increment(1);
//! let wait = metrics::histogram!("wait_seconds"); // once
//! wait.record(0.02); // and often
//!
//! let page = handle.render();
//! assert!(page.contains("# HELP requests_total Requests.\n"));
//! assert!(page.contains("requests_total{model=\"qwen3-0.6b\"} 1\n"));
//! assert!(page.contains("wait_seconds_bucket{le=\"0.025\"} 1\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Names and labels
//!
//! Characters that Prometheus does not take become `_`, as in `metrics-exporter-prometheus`. Series of one name may have different label
//! names. A label with an empty value is no label, so `x{a=""}` and `x` are one series.
//!
//! **Two metrics are never merged.** If two keys would be one series, for example `http.requests` and `http_requests`, or one name has two
//! kinds, the first is recorded; the second records nothing, is listed by [`Handle::problems`], logged, and counted on the page in
//! `dynamo_metrics_facade_refused_total`.
//!
//! # Costs
//!
//! A recording through a handle that is kept is that of the core's handle and an indirect call. A macro looks its handle up in a cache of
//! the calling thread, which has [`CACHE_HANDLES`] handles; others are looked up in a table that all threads share.

#![forbid(unsafe_code)]

mod builder;
mod cache;
mod distribution;
mod error;
mod family;
mod handle;
mod handles;
mod key_map;
mod kinds;
mod matcher;
mod naming;
mod problem;
mod recency;
mod recorder;
mod resolve;
mod series;
mod table;

pub use builder::Builder;
pub use cache::CACHE_HANDLES;
pub use error::BuildError;
pub use handle::{Handle, Page};
pub use kinds::{MetricKind, MetricKinds};
pub use matcher::Matcher;
pub use problem::{PROBLEMS_MAX, Problem, REFUSED_TOTAL};
pub use recorder::DynamoRecorder;
pub use table::{FAMILIES_MAX, SERIES_MAX_DEFAULT};

// Types of the signatures.
pub use dynamo_metrics_core::{Buckets, NativeBuckets, Registry, SummaryOpts};
pub use dynamo_metrics_exporter::{Exporter, MetricsService, RunningServer, ServerBuilder};

/// Installs a recorder with the settings of [`Builder::new`] for the whole process, without a listener.
///
/// # Errors
/// The process has a recorder.
pub fn install() -> Result<Handle, BuildError> {
    Builder::new().install()
}
