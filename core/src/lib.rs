//! Numbers for a process that counts every token: sharded counters, gauges and fixed-bucket histograms, and
//! the registry that holds them. No I/O, no clock of its own, no text.
//!
//! Each thread records in memory that only it writes, with a plain load, add and store; a scrape sums over the
//! threads. So recording costs what an addition costs, on any number of threads, and nothing is ever lost: the
//! memory of a thread that ends is adopted, counts included, by the next one.
//!
//! ```
//! use dynamo_metrics_core::{Buckets, Registry};
//!
//! let registry = Registry::new();
//! let requests = registry.counter_family(("requests_total", "Requests."), ["model", "status"])?;
//! let latency = registry.histogram(
//!     ("latency_seconds", "Time to answer."),
//!     &Buckets::exponential(0.001, 2.0, 12)?,
//! )?;
//!
//! let ok = requests.with(["qwen3-0.6b", "success"]); // resolve once, record often
//! ok.inc();
//! latency.observe(0.02);
//! assert_eq!(ok.get(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//!
//! * No increment is lost, and no counter goes backwards, across scrapes, thread exits and the adoption of
//!   memory. Counters are exact `u64`.
//! * In every scrape a histogram's `+Inf` bucket equals its count, because the count is the sum of its buckets.
//! * Recording never locks, fails or panics. At most once a thread it asks the operating system for address space, for
//!   its shard, and never the allocator, which may itself count with a counter of this crate.
//!   (A value that is rejected, as NaN, is counted through a lookup, which may lock and allocate.)
//! * A scrape never waits for a recording.
//! * Label values are compared, not only hashed, and every family has a cap on its series.
//!
//! # What it costs
//!
//! Every thread that records reserves 256 MiB of *address space* (memory is used page by page, as metrics are
//! touched). In processes with `RLIMIT_AS` or strict overcommit that can be refused; then those threads record
//! into one shared block with `fetch_add`: slower, never wrong.

#![warn(missing_docs)]

mod arena;
mod buckets;
mod clock;
mod counter;
mod cut;
mod descriptor;
mod enumerated;
mod error;
mod escaping;
mod exemplar;
mod family;
mod gauge;
mod histogram;
mod info;
mod label;
mod lookup;
mod native;
mod occupied;
mod octaves;
mod optional;
mod registry;
mod seqlock;
mod series;
mod shard;
mod snapshot;
mod stateset;
mod sum;
mod summary;
mod sync;
mod telemetry;

pub use buckets::{BOUNDS_MAX, Buckets};
pub use counter::{Counter, FloatCounter, LocalCounter};
pub use descriptor::{Descriptor, Kind, Opts, SERIES_MAX_DEFAULT};
pub use enumerated::{EnumeratedFamily, LabelEnum, LabelEnums};
pub use error::{
    BucketsError, ExemplarError, NativeBucketsError, RegisterError, SummaryError, UnknownState,
};
pub use escaping::{Escaping, is_legacy_label_name, is_legacy_metric_name};
pub use exemplar::{Exemplar, ExemplarValue, SPAN_ID_BYTES_MAX, TRACE_ID_BYTES_MAX};
pub use family::{Family, Metric, OVERFLOW_VALUE};
pub use gauge::{Gauge, UpDownCounter};
pub use histogram::{Histogram, HistogramValue, LocalHistogram};
pub use info::Info;
pub use label::{LABEL_VALUE_BYTES_MAX, OPERATOR_LABEL_VALUE_BYTES_MAX};
pub use native::{
    NativeBucketCounts, NativeBuckets, NativeHistogram, NativeHistogramValue, NativeValue,
};
pub use registry::Registry;
pub use snapshot::{FamilySnapshot, PartSnapshot, SeriesSnapshot, Snapshot, Value};
pub use stateset::{EnumStateSet, STATES_MAX, StateSet};
pub use summary::{Summary, SummaryOpts, SummaryValue};

/// How many shards the process has: the peak number of threads alive at the same time that have recorded.
pub fn shard_count() -> usize {
    shard::shards().count()
}

/// For the models and benches of this workspace; not part of the API.
#[doc(hidden)]
pub mod __private {
    pub use crate::seqlock::Seqlock;
    use crate::shard::Writer;
    pub use crate::shard::{CELLS_MAX, CellIndex, Cells, Lease, Shard, Shards};

    /// What a recording of a counter or a bucket does in the shard that the caller leases.
    pub fn add(shard: &'static Shard, index: CellIndex, n: u64) -> u64 {
        Writer::Own(shard.cells().base()).add(index, n)
    }

    /// What a recording of an up/down counter does.
    pub fn add_release(shard: &'static Shard, index: CellIndex, n: u64) {
        Writer::Own(shard.cells().base()).add_release(index, n);
    }

    /// What a recording of a sum does.
    pub fn add_f64_release(shard: &'static Shard, index: CellIndex, v: f64) {
        Writer::Own(shard.cells().base()).add_f64_release(index, v);
    }

    /// What a recording without a shard does.
    pub fn add_shared(shard: &'static Shard, index: CellIndex, n: u64) {
        Writer::Shared(shard.cells().base()).add(index, n);
    }

    /// What a recording of an up/down counter without a shard does.
    pub fn add_release_shared(shard: &'static Shard, index: CellIndex, n: u64) {
        Writer::Shared(shard.cells().base()).add_release(index, n);
    }

    /// What a recording of a sum without a shard does.
    pub fn add_f64_release_shared(shard: &'static Shard, index: CellIndex, v: f64) {
        Writer::Shared(shard.cells().base()).add_f64_release(index, v);
    }

    /// What a recording does in a thread with this lease. `guarded`: whether the thread's guard can still be had, which will
    /// end the lease.
    pub fn record(lease: &Lease, shards: &Shards, guarded: bool, index: CellIndex, n: u64) {
        if let Some(writer) = lease.writer_or(|| lease.attach(shards, || guarded)) {
            writer.add(index, n);
        }
    }

    /// What a local handle does in a thread with this lease: the recording, until the lease is
    /// [released](Lease::release). `None` for a thread without a shard.
    pub fn local(lease: &Lease, shards: &Shards, index: CellIndex) -> Option<impl Fn(u64) + use<>> {
        let writer = lease.writer_or(|| lease.attach(shards, || true))?;
        matches!(writer, Writer::Own(_)).then(|| {
            lease.hold();
            move |n| _ = writer.add(index, n)
        })
    }
}
