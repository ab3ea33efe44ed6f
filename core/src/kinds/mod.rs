//! The handles that a program records through, one file for each kind of metric.

mod counter;
#[cfg(not(loom))]
mod detached;
mod dual_histogram;
mod gauge;
mod histogram;
mod info;
mod integer_histogram;
mod native_histogram;
mod state_set;
mod summary;

pub use counter::{Counter, FloatCounter, LocalCounter};
#[cfg(not(loom))]
pub use detached::{DetachedCell, DetachedCounter, DetachedHistogram, DetachedSum};
pub use dual_histogram::DualHistogram;
pub use gauge::{Gauge, UpDownCounter};
pub use histogram::{Histogram, HistogramValue, LocalHistogram};
pub use info::Info;
pub use integer_histogram::{IntegerHistogram, IntegerHistogramValue};
pub use native_histogram::{NativeHistogram, NativeHistogramValue};
pub use state_set::{EnumStateSet, STATES_MAX, StateSet};
pub use summary::{Summary, SummaryValue};
