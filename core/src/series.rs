//! One series: where its numbers are, and its label values, in one allocation behind one word.
//!
//! A handle (`Counter`, `Histogram`, ...) is the address of the numbers plus a reference to the series. **A
//! series' cells are reused only after its last handle is gone**: its `Drop` gives them back, and they are
//! zeroed in every shard before the pool hands them out again.

use crate::arena::{Pool, Rank, Span};
use crate::clock::Clock;
use crate::cut::Cut;
use crate::descriptor::{Descriptor, Kind};
use crate::exemplar::Exemplars;
use crate::label::LabelValues;
use crate::native::NativeState;
use crate::sum::SUMS;
use crate::summary::SummaryState;
use crate::sync::AtomicU64;
use crate::telemetry::Telemetry;
use crossbeam_utils::CachePadded;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use triomphe::ThinArc;

/// What all series of a family have in common.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Unique in the process, so that a cache of rendered text knows what it belongs to.
    pub(crate) id: u64,
    pub(crate) descriptor: Descriptor,
    pub(crate) pool: Arc<Pool>,
    /// `None` for the metrics that are themselves this telemetry.
    pub(crate) telemetry: Option<Arc<Telemetry>>,
    pub(crate) clock: Option<Clock>,
}

impl Shape {
    /// Words of a histogram: one a bound, and one for `+Inf`.
    pub(crate) fn buckets_len(&self) -> u32 {
        self.descriptor.buckets().map_or(0, |buckets| buckets.bounds().len() as u32 + 1)
    }
}

/// One series but for its label values. There may be a million of them, so its size is watched: see the test below.
#[derive(Debug)]
#[doc(hidden)]
pub struct Series {
    pub(crate) shape: Arc<Shape>,
    pub(crate) numbers: Numbers,
}

/// A counted reference to a [`Series`] and its label values.
///
/// `ThinArc` and not std's `Arc`: the label values are the tail of the same allocation, and the pointer is one word. With
/// values in a box of their own, a counter with 3 labels was 124 bytes; it is 89.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct SeriesRef(ThinArc<Series, u8>);

/// Where a series' numbers are. 16 bytes, as long as every variant is a box or two [`Span`]s.
pub(crate) enum Numbers {
    /// `u64` in [`Rank::Word`].
    Word(Span),
    /// `f64` in [`Rank::Float`].
    Float(Span),
    /// Rises minus falls; the ranks say whether it is nested.
    UpDown { rise: Span, fall: Span },
    /// A word for each bucket, and [`SUMS`] floats.
    Histogram { buckets: Span, sums: Span },
    /// Bits of an `f64` that all threads write: on cache lines of its own, or each `set` would take away the
    /// lines of label values that others look up.
    Shared(Box<CachePadded<AtomicU64>>),
    /// Computed at scrape time.
    Callback(Box<Callback>),
    /// Always 1.
    One,
    /// A bit a state. States change rarely, so it may share its line with what lookups read.
    States(AtomicU64),
    /// Cells of a native histogram, and its last reset.
    Native(Box<Cut<NativeState>>),
    /// Cells of a summary, and its window.
    Summary(Box<Cut<SummaryState>>),
    /// Any of the others, in a family that keeps exemplars. Here, because then a series without them pays nothing.
    Exemplified(Box<(Numbers, Exemplars)>),
}

/// A closure that computes a value at scrape time, or says that there is none.
pub(crate) enum Callback {
    Counter(Box<dyn Fn() -> Option<u64> + Send + Sync>),
    Gauge(Box<dyn Fn() -> Option<f64> + Send + Sync>),
}

impl SeriesRef {
    /// A series with cells of its own, all zero. `None` when there are no cells left.
    pub(crate) fn new(shape: &Arc<Shape>, values: &[&str]) -> Option<Self> {
        let descriptor = &shape.descriptor;
        let pool = &shape.pool;
        let numbers = match descriptor.kind {
            Kind::Counter => Numbers::Word(pool.take(Rank::Word, 1)?),
            Kind::FloatCounter => Numbers::Float(pool.take(Rank::Float, 1)?),
            Kind::UpDownCounter => {
                let (rise_rank, fall_rank) = up_down_ranks(descriptor.nested);
                let fall = pool.take(fall_rank, 1)?;
                match pool.take(rise_rank, 1) {
                    Some(rise) => Numbers::UpDown { rise, fall },
                    None => {
                        pool.give_back(fall_rank, fall, 1);
                        return None;
                    }
                }
            }
            Kind::Histogram => {
                let sums = pool.take(Rank::Float, SUMS)?;
                match pool.take(Rank::Word, shape.buckets_len()) {
                    Some(buckets) => Numbers::Histogram { buckets, sums },
                    None => {
                        pool.give_back(Rank::Float, sums, SUMS);
                        return None;
                    }
                }
            }
            Kind::NativeHistogram => {
                Numbers::Native(Cut::take(pool, descriptor.native.as_ref()?.len())?)
            }
            Kind::Summary => Numbers::Summary(Cut::take(pool, descriptor.summary.as_ref()?.len())?),
            Kind::Gauge => Numbers::Shared(Box::new(AtomicU64::new(0f64.to_bits()).into())),
            Kind::Info => Numbers::One,
            Kind::StateSet => Numbers::States(AtomicU64::new(0)),
            Kind::CounterCallback | Kind::GaugeCallback => return None,
        };
        let numbers = match descriptor.exemplar_slots() {
            0 => numbers,
            slots => Numbers::Exemplified(Box::new((numbers, Exemplars::new(slots)))),
        };
        Some(Self::with(shape, values, numbers))
    }

    /// A series that a closure computes.
    pub(crate) fn computed(shape: &Arc<Shape>, callback: Callback) -> Self {
        Self::with(shape, &[], Numbers::Callback(Box::new(callback)))
    }

    fn with(shape: &Arc<Shape>, values: &[&str], numbers: Numbers) -> Self {
        let series = Series { shape: Arc::clone(shape), numbers };
        Self(ThinArc::from_header_and_slice(series, &LabelValues::pack(values)))
    }

    /// The label values.
    #[inline]
    pub(crate) fn values(&self) -> LabelValues<'_> {
        LabelValues::of(&self.0.slice)
    }

    /// Whether both are the same series.
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq::<Series>(&**self, &**other)
    }
}

impl Deref for SeriesRef {
    type Target = Series;

    #[inline]
    fn deref(&self) -> &Series {
        &self.0.header.header
    }
}

impl Series {
    /// Where its numbers are, whether it keeps exemplars or not.
    #[inline]
    pub(crate) fn numbers(&self) -> &Numbers {
        match &self.numbers {
            Numbers::Exemplified(both) => &both.0,
            numbers => numbers,
        }
    }

    /// Its exemplars, if its family opted in.
    #[inline]
    pub(crate) fn exemplars(&self) -> Option<&Exemplars> {
        match &self.numbers {
            Numbers::Exemplified(both) => Some(&both.1),
            _ => None,
        }
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        let pool = &self.shape.pool;
        match *self.numbers() {
            Numbers::Word(span) => pool.give_back(Rank::Word, span, 1),
            Numbers::Float(span) => pool.give_back(Rank::Float, span, 1),
            Numbers::UpDown { rise, fall } => {
                let (rise_rank, fall_rank) = up_down_ranks(self.shape.descriptor.nested);
                pool.give_back(rise_rank, rise, 1);
                pool.give_back(fall_rank, fall, 1);
            }
            Numbers::Histogram { buckets, sums } => {
                pool.give_back(Rank::Word, buckets, self.shape.buckets_len());
                pool.give_back(Rank::Float, sums, SUMS);
            }
            Numbers::Native(ref cut) => cut.give_back(pool),
            Numbers::Summary(ref cut) => cut.give_back(pool),
            Numbers::Shared(_)
            | Numbers::Callback(_)
            | Numbers::One
            | Numbers::States(_)
            | Numbers::Exemplified(_) => {}
        }
    }
}

impl Numbers {
    /// Where the first and the second kind of number begin in the totals of their ranks.
    pub(crate) fn places(&self) -> [u32; 2] {
        match self {
            Self::Word(span) | Self::Float(span) => [span.place(), 0],
            Self::UpDown { rise, fall } => [rise.place(), fall.place()],
            Self::Histogram { buckets, sums } => [buckets.place(), sums.place()],
            Self::Native(cut) => [cut.cells.place(), cut.sums.place()],
            Self::Summary(cut) => [cut.cells.place(), cut.sums.place()],
            Self::Exemplified(both) => both.0.places(),
            Self::Shared(_) | Self::Callback(_) | Self::One | Self::States(_) => [0, 0],
        }
    }
}

impl fmt::Debug for Numbers {
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
            Self::Native(cut) => f.debug_tuple("Native").field(&cut.cells).finish(),
            Self::Summary(cut) => f.debug_tuple("Summary").field(&cut.cells).finish(),
            Self::Shared(_) => f.write_str("Shared"),
            Self::Callback(_) => f.write_str("Callback"),
            Self::One => f.write_str("One"),
            Self::States(_) => f.write_str("States"),
            Self::Exemplified(both) => f.debug_tuple("Exemplified").field(&both.0).finish(),
        }
    }
}

/// Where the rises and the falls of an up/down counter are.
pub(crate) fn up_down_ranks(nested: bool) -> (Rank, Rank) {
    if nested { (Rank::InnerRise, Rank::InnerFall) } else { (Rank::OuterRise, Rank::OuterFall) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_small() {
        // Shape and numbers; a count, a length and the label values come on top.
        assert!(size_of::<Series>() <= 24, "{} bytes", size_of::<Series>());
        assert_eq!(size_of::<SeriesRef>(), size_of::<usize>());
    }
}
