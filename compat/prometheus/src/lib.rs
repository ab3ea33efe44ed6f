//! The API of the [`prometheus`](https://docs.rs/prometheus/0.14) crate, version 0.14, on the shards of `dynamo-metrics-core`.
//!
//! A program that uses that crate changes one line of its `Cargo.toml` and nothing of its code:
//!
//! ```toml
//! [patch.crates-io]
//! prometheus = { git = "..." } # or path = ".../compat/prometheus"
//! ```
//!
//! Integer counters and histograms then record in the memory of the calling thread, without a locked instruction, and series are told
//! apart by their label values and not by a hash of them. `docs/swap.md` of the repository lists the differences.
//!
//! ```
//! use prometheus::{Encoder, IntCounterVec, Opts, Registry, TextEncoder};
//!
//! let registry = Registry::new();
//! let requests = IntCounterVec::new(Opts::new("requests_total", "Requests."), &["model"])?;
//! registry.register(Box::new(requests.clone()))?;
//! requests.with_label_values(&["llama"]).inc_by(3);
//!
//! let mut page = Vec::new();
//! TextEncoder::new().encode(&registry.gather(), &mut page)?;
//! assert!(page.ends_with(b"requests_total{model=\"llama\"} 3\n"));
//! # Ok::<(), prometheus::Error>(())
//! ```
//!
//! # Features
//!
//! * `protobuf` (default): [`proto`] has protobuf messages, and there is an encoder for them.
//! * `process`: metrics of the process, on Linux; the default registry has them.
//! * `push`: pushing to a Pushgateway.
//! * `nightly`: timers with `coarse` in their names, which read the same clock here.

#[cfg(feature = "protobuf")]
#[path = "proto_messages.rs"]
pub mod proto;
#[cfg(not(feature = "protobuf"))]
#[path = "proto_plain.rs"]
pub mod proto;

#[macro_use]
mod macros;
mod atomic;
mod auto_flush;
mod buckets;
mod counter;
mod desc;
mod encoder;
mod error;
mod family;
mod gauge;
mod histogram;
mod histogram_timer;
mod instant;
mod lazy;
mod local_histogram;
mod lookup;
mod metric;
mod page;
mod plan;
#[cfg(all(feature = "process", target_os = "linux"))]
pub mod process_collector;
mod pulling_gauge;
#[cfg(feature = "push")]
mod push;
mod registry;
mod series;
mod table;
#[doc(hidden)] // prometheus-static-metric's generated code calls it
pub mod timer;
mod value;
mod value_vec;
mod vec;

/// Metrics of one thread, which reach the shared ones when they are flushed.
pub mod local {
    pub use crate::auto_flush::{
        AFLocalCounter, AFLocalHistogram, CounterDelegator, HistogramDelegator,
    };
    pub use crate::counter::{
        CounterWithValueType, LocalCounter, LocalCounterVec, LocalIntCounter, LocalIntCounterVec,
    };
    pub use crate::histogram_timer::LocalHistogramTimer;
    pub use crate::local_histogram::{LocalHistogram, LocalHistogramVec};
    pub use crate::metric::{LocalMetric, MayFlush};
}

/// Traits, descriptors and generic types.
pub mod core {
    pub use crate::atomic::{Atomic, AtomicF64, AtomicI64, AtomicU64, Number};
    pub use crate::counter::{
        GenericCounter, GenericCounterVec, GenericLocalCounter, GenericLocalCounterVec,
    };
    pub use crate::desc::{Desc, Describer};
    pub use crate::gauge::{GenericGauge, GenericGaugeVec};
    pub use crate::metric::{Collector, Metric, Opts};
    pub use crate::vec::{MetricVec, MetricVecBuilder};
}

pub use buckets::{DEFAULT_BUCKETS, HistogramOpts, exponential_buckets, linear_buckets};
pub use counter::{Counter, CounterVec, IntCounter, IntCounterVec};
pub use encoder::{Encoder, TEXT_FORMAT, TextEncoder};
#[cfg(feature = "protobuf")]
pub use encoder::{PROTOBUF_FORMAT, ProtobufEncoder};
pub use error::{Error, Result};
pub use gauge::{Gauge, GaugeVec, IntGauge, IntGaugeVec};
pub use histogram::{Histogram, HistogramVec};
pub use histogram_timer::HistogramTimer;
pub use metric::Opts;
pub use pulling_gauge::PullingGauge;
#[cfg(feature = "push")]
pub use push::{
    BasicAuthentication, hostname_grouping_key, push_add_collector, push_add_metrics,
    push_collector, push_metrics,
};
pub use registry::{Registry, default_registry, gather, register, unregister};
