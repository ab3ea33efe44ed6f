//! One series: its storage and its label values, in one allocation behind one word.
//!
//! A handle (`Counter`, `Histogram`, ...) is the index of its cells and a reference to the series. **A series' cells are
//! reused only after its last handle is gone**: its `Drop` returns them, and the pool sets them to zero in every shard
//! before it assigns them again.

pub(crate) mod exemplar;
mod metadata;
mod native_state;
mod reporter;
mod seqlock;
mod storage;
mod summary_state;

pub(crate) use exemplar::Exemplars;
pub use exemplar::{Exemplar, ExemplarValue, SPAN_ID_BYTES_MAX, TRACE_ID_BYTES_MAX};
pub(crate) use metadata::FamilyMetadata;
pub(crate) use native_state::NativeState;
pub(crate) use reporter::Reporter;
pub use seqlock::Seqlock;
pub(crate) use storage::{Callback, Dual, Storage, up_down_ranks};
pub(crate) use summary_state::SummaryState;

use crate::arena::Rank;
use crate::arena::baseline::Baseline;
use crate::arena::sum::SUMS;
use crate::clock::Millis;
use crate::descriptor::Kind;
use crate::label::LabelValues;
use crate::sync::AtomicU64;
use std::ops::Deref;
use std::sync::Arc;
use triomphe::ThinArc;

/// One series without its label values. A process may have a million, so a test below limits its size.
#[derive(Debug)]
#[doc(hidden)]
pub struct Series {
    pub(crate) metadata: Arc<FamilyMetadata>,
    pub(crate) storage: Storage,
    /// The order that the count of references has, for models: loom does not see the count itself.
    #[cfg(loom)]
    released: AtomicU64,
}

/// A counted reference to a [`Series`] and its label values.
///
/// It is a `ThinArc` and not std's `Arc`: the label values are the tail of the same allocation, and the pointer is one
/// word. A counter with 3 labels takes 98 bytes; with the values in a box of their own it took 124.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct SeriesRef(ThinArc<Series, u8>);

impl SeriesRef {
    /// Returns a new series whose cells are zero; `None` when there are no cells left.
    pub(crate) fn new(metadata: &Arc<FamilyMetadata>, values: &[&str]) -> Option<Self> {
        let descriptor = &metadata.descriptor;
        let pool = &metadata.pool;
        let storage = match descriptor.kind {
            Kind::Counter => Storage::Word(pool.take(Rank::Word, 1)?),
            Kind::FloatCounter => Storage::Float(pool.take(Rank::Float, 1)?),
            Kind::UpDownCounter => {
                let (rise_rank, fall_rank) = up_down_ranks(descriptor.nested);
                let fall = pool.take(fall_rank, 1)?;
                match pool.take(rise_rank, 1) {
                    Some(rise) => Storage::UpDown { rise, fall },
                    None => {
                        pool.put_back(fall_rank, fall, 1);
                        return None;
                    }
                }
            }
            Kind::Histogram if descriptor.integer.is_some() => {
                let sum = pool.take(Rank::IntegerSum, 1)?;
                match pool.take(Rank::Word, metadata.buckets_len()) {
                    Some(buckets) => Storage::IntegerHistogram { buckets, sum },
                    None => {
                        pool.put_back(Rank::IntegerSum, sum, 1);
                        return None;
                    }
                }
            }
            Kind::Histogram => {
                let sums = pool.take(Rank::Float, SUMS)?;
                let Some(buckets) = pool.take(Rank::Word, metadata.buckets_len()) else {
                    pool.put_back(Rank::Float, sums, SUMS);
                    return None;
                };
                match &descriptor.native {
                    None => Storage::Histogram { buckets, sums },
                    Some(layout) => match Baseline::take(pool, layout.len()) {
                        Some(native) => Storage::Dual(Box::new(Dual { buckets, sums, native })),
                        None => {
                            pool.put_back(Rank::Word, buckets, metadata.buckets_len());
                            pool.put_back(Rank::Float, sums, SUMS);
                            return None;
                        }
                    },
                }
            }
            Kind::NativeHistogram => {
                Storage::Native(Baseline::take(pool, descriptor.native.as_ref()?.len())?)
            }
            Kind::Summary => {
                Storage::Summary(Baseline::take(pool, descriptor.summary.as_ref()?.len())?)
            }
            Kind::Gauge => Storage::Shared(Box::new(AtomicU64::new(0f64.to_bits()).into())),
            Kind::Info => Storage::One,
            Kind::StateSet => Storage::States(AtomicU64::new(0)),
            Kind::CounterCallback | Kind::GaugeCallback => return None,
        };
        let storage = match descriptor.exemplar_slots() {
            0 => storage,
            slots => Storage::Exemplified(Box::new((storage, Exemplars::new(slots)))),
        };
        Some(Self::with(metadata, values, storage))
    }

    /// Returns a series that a closure computes.
    pub(crate) fn computed(metadata: &Arc<FamilyMetadata>, callback: Callback) -> Self {
        Self::with(metadata, &[], Storage::Callback(Box::new(callback)))
    }

    fn with(metadata: &Arc<FamilyMetadata>, values: &[&str], storage: Storage) -> Self {
        let series = Series {
            metadata: Arc::clone(metadata),
            storage,
            #[cfg(loom)]
            released: AtomicU64::new(0),
        };
        Self(ThinArc::from_header_and_slice(series, &LabelValues::pack(values)))
    }

    /// Returns the label values.
    #[inline]
    pub(crate) fn values(&self) -> LabelValues<'_> {
        LabelValues::of(&self.0.slice)
    }

    /// Returns whether both are the same series.
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

#[cfg(loom)]
impl Drop for SeriesRef {
    fn drop(&mut self) {
        // As the count of `ThinArc`: each release is seen by the last one.
        self.released.fetch_add(1, crate::sync::Ordering::AcqRel);
    }
}

impl Series {
    /// Returns its storage, whether it keeps exemplars or not.
    #[inline]
    pub(crate) fn storage(&self) -> &Storage {
        match &self.storage {
            Storage::Exemplified(both) => &both.0,
            storage => storage,
        }
    }

    /// Returns its exemplars, if its family opted in.
    #[inline]
    pub(crate) fn exemplars(&self) -> Option<&Exemplars> {
        match &self.storage {
            Storage::Exemplified(both) => Some(&both.1),
            _ => None,
        }
    }

    /// Stores an exemplar, if the family opted in. The caller records the value before.
    #[inline]
    pub(crate) fn exemplify(&self, slot: usize, value: f64, exemplar: &Exemplar) {
        let Some(exemplars) = self.exemplars() else { return };
        let timestamp = match (exemplar.timestamp, &self.metadata.clock) {
            // Read before the slot is claimed, because the clock is the caller's code.
            (Millis::UNKNOWN, Some(clock)) => clock.now(),
            (timestamp, _) => timestamp,
        };
        exemplars.write(slot, value, exemplar, timestamp);
    }

    /// Reports `n` values that were not recorded as given.
    #[cold]
    pub(crate) fn reject(&self, reason: &'static str, n: u64) {
        if let Some(reporter) = &self.metadata.reporter {
            reporter.rejected(self.metadata.descriptor.name(), reason, n);
        }
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        let pool = &self.metadata.pool;
        match *self.storage() {
            Storage::Word(span) => pool.give_back(Rank::Word, span, 1),
            Storage::Float(span) => pool.give_back(Rank::Float, span, 1),
            Storage::UpDown { rise, fall } => {
                let (rise_rank, fall_rank) = up_down_ranks(self.metadata.descriptor.nested);
                pool.give_back(rise_rank, rise, 1);
                pool.give_back(fall_rank, fall, 1);
            }
            Storage::Histogram { buckets, sums } => {
                pool.give_back(Rank::Word, buckets, self.metadata.buckets_len());
                pool.give_back(Rank::Float, sums, SUMS);
            }
            Storage::IntegerHistogram { buckets, sum } => {
                pool.give_back(Rank::Word, buckets, self.metadata.buckets_len());
                pool.give_back(Rank::IntegerSum, sum, 1);
            }
            Storage::Dual(ref dual) => {
                pool.give_back(Rank::Word, dual.buckets, self.metadata.buckets_len());
                pool.give_back(Rank::Float, dual.sums, SUMS);
                dual.native.give_back(pool);
            }
            Storage::Native(ref baseline) => baseline.give_back(pool),
            Storage::Summary(ref baseline) => baseline.give_back(pool),
            Storage::Shared(_)
            | Storage::Callback(_)
            | Storage::One
            | Storage::States(_)
            | Storage::Exemplified(_) => {}
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_small() {
        // The allocation has a reference count, a length and the label values besides.
        assert!(size_of::<Series>() <= 24, "{} bytes", size_of::<Series>());
        assert_eq!(size_of::<SeriesRef>(), size_of::<usize>());
    }
}
