#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![deny(unsafe_code)] // except in shard/, see the safety map in ARCHITECTURE.md

mod arena;
mod clock;
mod descriptor;
pub mod error;
pub mod escaping;
mod family;
mod handle;
mod kinds;
mod label;
mod layout;
#[cfg(loom)]
#[doc(hidden)]
pub mod model;
mod registry;
mod series;
mod shard;
pub mod snapshot;
mod sync;
mod telemetry;

// Kinds of metrics first: the order of the front page.
pub use kinds::{
    Counter, DualHistogram, EnumStateSet, FloatCounter, Gauge, Histogram, HistogramValue, Info,
    IntegerHistogram, IntegerHistogramValue, LocalCounter, LocalHistogram, NativeHistogram,
    NativeHistogramValue, StateSet, Summary, SummaryValue, UpDownCounter,
};

#[cfg(not(loom))]
pub use kinds::{DetachedCell, DetachedCounter, DetachedHistogram, DetachedSum};

pub use descriptor::{Descriptor, Kind, Opts};
pub use error::RegisterError;
pub use escaping::Escaping;
pub use exemplar::Exemplar;
pub use family::{DynamicFamily, DynamicLookup, EnumeratedFamily, Family};
pub use handle::Metric;
#[doc(hidden)]
pub use label::same_bytes;
pub use label::{LabelEnum, LabelEnums};
pub use layout::{BOUNDS_DEFAULT, Buckets, IntegerSum, NativeBuckets, Scale, SummaryOpts};
pub use registry::Registry;
pub use snapshot::Snapshot;

/// Exemplars: the trace that an increment or an observation belongs to.
///
/// A family that opted in ([`Opts::exemplars`]) keeps the newest exemplar of each counter or bucket.
pub mod exemplar {
    pub use crate::series::{Exemplar, ExemplarValue};
}

/// Limits, each with its reason.
pub mod limits {
    pub use crate::descriptor::SERIES_MAX_DEFAULT;
    pub use crate::family::OVERFLOW_VALUE;
    pub use crate::kinds::STATES_MAX;
    pub use crate::label::{LABEL_VALUE_BYTES_MAX, OPERATOR_LABEL_VALUE_BYTES_MAX};
    pub use crate::layout::BOUNDS_MAX;
    pub use crate::series::{SPAN_ID_BYTES_MAX, TRACE_ID_BYTES_MAX};
}

/// Returns the number of shards of the process: the largest number of recording threads that were alive at the same time.
pub fn shard_count() -> usize {
    shard::shards().count()
}

/// Internals for the models and benches of this workspace; not part of the API.
#[doc(hidden)]
pub mod __private {
    #[cfg(loom)]
    pub use crate::model;
    pub use crate::series::Seqlock;
    use crate::shard::Writer;
    pub use crate::shard::{CellIndex, Cells, Lease, Shard, Shards};

    /// Records a counter or a bucket in the shard that the caller leases.
    pub fn add(shard: &'static Shard, index: CellIndex, n: u64) -> u64 {
        Writer::Own(shard.cells().base()).add(index, n)
    }

    /// Records an up/down counter in the shard that the caller leases.
    pub fn add_release(shard: &'static Shard, index: CellIndex, n: u64) {
        Writer::Own(shard.cells().base()).add_release(index, n);
    }

    /// Records a sum in the shard that the caller leases.
    pub fn add_f64_release(shard: &'static Shard, index: CellIndex, v: f64) {
        Writer::Own(shard.cells().base()).add_f64_release(index, v);
    }

    /// Records a counter or a bucket in the fallback.
    pub fn add_shared(shard: &'static Shard, index: CellIndex, n: u64) {
        Writer::Shared(shard.cells().base()).add(index, n);
    }

    /// Records an up/down counter in the fallback.
    pub fn add_release_shared(shard: &'static Shard, index: CellIndex, n: u64) {
        Writer::Shared(shard.cells().base()).add_release(index, n);
    }

    /// Records a sum in the fallback.
    pub fn add_f64_release_shared(shard: &'static Shard, index: CellIndex, v: f64) {
        Writer::Shared(shard.cells().base()).add_f64_release(index, v);
    }

    /// Records a counter in a thread with this lease. `guarded` tells whether the thread's guard, which ends the lease, is
    /// still alive.
    pub fn record(lease: &Lease, shards: &Shards, guarded: bool, index: CellIndex, n: u64) {
        if let Some(writer) = lease.writer_or(|| lease.attach(shards, || guarded)) {
            writer.add(index, n);
        }
    }

    /// Returns the recording of a local handle in a thread with this lease, until the lease is
    /// [released](Lease::release). `None` for a thread without a shard.
    pub fn local(lease: &Lease, shards: &Shards, index: CellIndex) -> Option<impl Fn(u64) + use<>> {
        let writer = lease.writer_or(|| lease.attach(shards, || true))?;
        matches!(writer, Writer::Own(_)).then(|| {
            lease.hold();
            move |n| _ = writer.add(index, n)
        })
    }
}
