//! The places of a series' values: cells in all shards, or a word of its own.

use super::{Exemplars, NativeState, SummaryState};
use crate::arena::baseline::Baseline;
use crate::arena::{Rank, Span};
use crate::sync::AtomicU64;
use crossbeam_utils::CachePadded;
use std::fmt;

/// The storage of one series' values. It has 16 bytes, as long as every variant is a box or two [`Span`]s.
pub(crate) enum Storage {
    /// One `u64` in [`Rank::Word`].
    Word(Span),
    /// One `f64` in [`Rank::Float`].
    Float(Span),
    /// Two `u64`, rises minus falls; [`up_down_ranks`] has their ranks.
    UpDown { rise: Span, fall: Span },
    /// One word for each bucket, and [`SUMS`](crate::arena::sum::SUMS) floats.
    Histogram { buckets: Span, sums: Span },
    /// One word for each bucket, and one in [`Rank::IntegerSum`].
    IntegerHistogram { buckets: Span, sum: Span },
    /// The same, and the cells of a native histogram of the same observations.
    Dual(Box<Dual>),
    /// Bits of an `f64` that all threads write. It has cache lines of its own, or each `set` would evict the lines of label
    /// values that other threads look up.
    Shared(Box<CachePadded<AtomicU64>>),
    /// A closure, called at scrape time.
    Callback(Box<Callback>),
    /// The constant 1.
    One,
    /// One bit for each state. States change rarely, so the word may share its line with label values.
    States(AtomicU64),
    /// The cells of a native histogram, and its last reset.
    Native(Box<Baseline<NativeState>>),
    /// The cells of a summary, and its window.
    Summary(Box<Baseline<SummaryState>>),
    /// Any of the other variants, with exemplars. In a variant of its own, so that series without exemplars do not pay
    /// for them.
    Exemplified(Box<(Storage, Exemplars)>),
}

/// The cells of a histogram with classic and native buckets.
#[derive(Debug)]
pub(crate) struct Dual {
    pub(crate) buckets: Span,
    pub(crate) sums: Span,
    pub(crate) native: Box<Baseline<NativeState>>,
}

/// A closure that computes a value at scrape time, or returns that there is none.
pub(crate) enum Callback {
    Counter(Box<dyn Fn() -> Option<u64> + Send + Sync>),
    Gauge(Box<dyn Fn() -> Option<f64> + Send + Sync>),
}

impl Storage {
    /// Returns the places of its first and its second span in the totals of their ranks.
    pub(crate) fn places(&self) -> [u32; 2] {
        match self {
            Self::Word(span) | Self::Float(span) => [span.place(), 0],
            Self::UpDown { rise, fall } => [rise.place(), fall.place()],
            Self::Histogram { buckets, sums } => [buckets.place(), sums.place()],
            Self::IntegerHistogram { buckets, sum } => [buckets.place(), sum.place()],
            Self::Dual(dual) => [dual.buckets.place(), dual.sums.place()],
            Self::Native(baseline) => [baseline.cells.place(), baseline.sums.place()],
            Self::Summary(baseline) => [baseline.cells.place(), baseline.sums.place()],
            Self::Exemplified(both) => both.0.places(),
            Self::Shared(_) | Self::Callback(_) | Self::One | Self::States(_) => [0, 0],
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(span) => f.debug_tuple("Word").field(span).finish(),
            Self::Float(span) => f.debug_tuple("Float").field(span).finish(),
            Self::UpDown { rise, fall } => {
                f.debug_struct("UpDown").field("rise", rise).field("fall", fall).finish()
            }
            Self::Histogram { buckets, sums } => {
                f.debug_struct("Histogram").field("buckets", buckets).field("sums", sums).finish()
            }
            Self::IntegerHistogram { buckets, sum } => f
                .debug_struct("IntegerHistogram")
                .field("buckets", buckets)
                .field("sum", sum)
                .finish(),
            Self::Dual(dual) => f.debug_tuple("Dual").field(dual).finish(),
            Self::Native(baseline) => f.debug_tuple("Native").field(&baseline.cells).finish(),
            Self::Summary(baseline) => f.debug_tuple("Summary").field(&baseline.cells).finish(),
            Self::Shared(_) => f.write_str("Shared"),
            Self::Callback(_) => f.write_str("Callback"),
            Self::One => f.write_str("One"),
            Self::States(_) => f.write_str("States"),
            Self::Exemplified(both) => f.debug_tuple("Exemplified").field(&both.0).finish(),
        }
    }
}

/// Returns the ranks of the rises and of the falls of an up/down counter.
pub(crate) fn up_down_ranks(nested: bool) -> (Rank, Rank) {
    if nested { (Rank::InnerRise, Rank::InnerFall) } else { (Rank::OuterRise, Rank::OuterFall) }
}
