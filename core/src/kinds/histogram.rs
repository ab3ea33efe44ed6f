//! Histograms with fixed buckets: one cell for each bucket, two for the sum, and no stored count.
//!
//! ```text
//! observe(v):  b = bucket of v                              table lookup, see buckets.rs
//!              cells[b] += 1                                relaxed
//!              sums[turn] += v                              release; turn: 0, 1, 0, 1, ... of this thread
//! scrape:      all sums (acquire), then all buckets;  _count = sum of the buckets
//! ```
//!
//! `_count` is the sum of the buckets, so `+Inf == _count` in every scrape by construction. The sum is written after the
//! buckets and read before them, so it is never ahead of them; it may lack observations in progress.

use crate::arena::sum::{over_shards, turn};
use crate::layout::{Buckets, INFINITY_BITS};
use crate::series::Exemplar;
use crate::series::{SeriesRef, Storage};
use crate::shard::{Base, LocalLease, SpanStart, Writer, own, writer};
use std::cell::Cell;
use std::sync::Arc;

/// A distribution of values over fixed buckets, whose bounds are inclusive upper bounds.
///
/// Cost of [`observe`](Self::observe): a lookup of the bucket and two additions in memory that only this thread writes.
///
/// Special values, each counted in `dynamo_metrics_rejected_observations_total{family,reason}`:
///
/// * NaN is not recorded.
/// * An infinite value, or one whose product with `n` is infinite, is counted in its bucket but not added to the sum, which
///   would stay infinite for ever. The sum saturates at the largest `f64`.
/// * A negative value is not recorded unless a bound is negative, because the sum would decrease, which scrapers take for a
///   restart.
///
/// ```
/// use dynamo_metrics_core::{Buckets, Registry};
///
/// let registry = Registry::new();
/// let latency = registry.histogram(
///     ("latency_seconds", "Time to answer."),
///     &Buckets::new([0.01, 0.1, 1.0])?,
/// )?;
/// latency.observe(0.05);
/// latency.observe_n(0.1, 3);
/// latency.observe(f64::NAN);
/// assert_eq!(latency.get().counts, [0, 4, 0, 0]);
/// assert!((latency.get().sum - 0.35).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Arc<Buckets>,
    counts: SpanStart,
    sums: SpanStart,
    /// Keeps the cells from being reused.
    pub(crate) series: SeriesRef,
}

/// The values of one histogram at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramValue {
    /// The number of observations in each bucket, not cumulative; the last is `+Inf`.
    pub counts: Vec<u64>,
    /// The sum of the finite observations.
    pub sum: f64,
}

impl Histogram {
    /// Records one value.
    #[inline]
    pub fn observe(&self, v: f64) {
        self.observe_n(v, 1);
    }

    /// Records `n` equal values at the cost of one. The sum grows by `v * n`.
    #[inline]
    pub fn observe_n(&self, v: f64, n: u64) {
        if let Some(bucket) = self.usual_bucket(v, n)
            && let Some(base) = own()
        {
            self.write(Writer::Own(base), bucket, turn(), v, n);
        } else {
            self.observe_slowly(v, n);
        }
    }

    /// Records one value and stores an exemplar in place of the bucket's previous one. In a family without
    /// [`Opts::exemplars`](crate::Opts::exemplars) it only records. It never waits: while another thread is writing the
    /// bucket's exemplar, this one is dropped. A value that is infinite or rejected stores no exemplar.
    ///
    /// Cost: that of [`observe`](Self::observe), a second lookup of the bucket, a compare-and-swap and eight stores in
    /// memory that all threads share.
    ///
    /// ```
    /// use dynamo_metrics_core::{Buckets, Exemplar, Opts, Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// let opts = Opts::new("latency_seconds", "Time to answer.").exemplars();
    /// let latency = registry.histogram(opts, &Buckets::new([0.1, 1.0])?)?;
    /// latency.observe_with_exemplar(0.5, &Exemplar::new("a1")?.span_id("b2")?);
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "latency_seconds").unwrap();
    /// let series = family.parts().next().unwrap().series(0).unwrap();
    /// assert_eq!(series.exemplar(0), None);
    /// let exemplar = series.exemplar(1).unwrap();
    /// assert_eq!((exemplar.span_id(), exemplar.value), (Some("b2"), 0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn observe_with_exemplar(&self, v: f64, exemplar: &Exemplar) {
        // The count first, so that a scrape that sees the exemplar has counted its value.
        self.observe(v);
        if v.is_finite() && (v >= 0.0 || self.buckets.is_signed()) {
            self.series.exemplify(self.buckets.index(v), v, exemplar);
        }
    }

    /// Returns the values over all threads. For tests and displays, because it reads every shard and allocates.
    pub fn get(&self) -> HistogramValue {
        let shards = crate::shard::shards();
        // The sum before the buckets, see the module's documentation.
        let sum = over_shards(self.sums);
        let counts = (0..=self.buckets.bounds().len())
            .map(|bucket| {
                let cell = self.counts.offset(bucket);
                shards.iter().map(|shard| shard.read(cell)).fold(0, u64::wrapping_add)
            })
            .collect();
        HistogramValue { counts, sum }
    }

    /// Returns a handle pinned to the calling thread, whose recording does not look up the thread's shard. `None` for a
    /// thread without a shard, because the operating system refuses the address space or the thread's locals are being
    /// destroyed; the shared handle still [records](Self::observe).
    ///
    /// In a program it costs as much as [`observe`](Self::observe). In a shared library, where each use of a thread-local is
    /// a call, it saves that call.
    ///
    /// ```
    /// # use dynamo_metrics_core::{Buckets, Registry};
    /// # let registry = Registry::new();
    /// # let latency = registry.histogram(("latency_seconds", ""), &Buckets::new([0.1, 1.0])?)?;
    /// let local = latency.local().expect("address space");
    /// for _ in 0..1000 {
    ///     local.observe(0.5);
    /// }
    /// assert_eq!(latency.get().counts, [0, 1000, 0]);
    /// assert_eq!(latency.get().sum, 500.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// It cannot leave the thread:
    ///
    /// ```compile_fail
    /// # use dynamo_metrics_core::{Buckets, Registry};
    /// # let registry = Registry::new();
    /// # let latency = registry.histogram(("h", ""), &Buckets::new([0.1, 1.0]).unwrap()).unwrap();
    /// let local = latency.local().unwrap();
    /// std::thread::spawn(move || local.observe(0.5));
    /// ```
    pub fn local(&self) -> Option<LocalHistogram> {
        let (lease, base) = LocalLease::take()?;
        Some(LocalHistogram { histogram: self.clone(), base, turn: Cell::new(0), _lease: lease })
    }

    fn record(&self, bucket: usize, v: f64, n: u64) {
        let writer = match own() {
            Some(base) => Some(Writer::Own(base)),
            None => writer(),
        };
        if let Some(writer) = writer {
            self.write(writer, bucket, turn(), v, n);
        }
    }

    /// Returns the bucket of a common value; `None` for values that [`observe_slowly`](Self::observe_slowly) handles.
    #[inline(always)]
    fn usual_bucket(&self, v: f64, n: u64) -> Option<usize> {
        let bits = v.to_bits();
        // One comparison excludes NaN, infinities and all values with a sign.
        if bits < INFINITY_BITS && (n == 1 || (v * n as f64).is_finite()) {
            self.buckets.index_of_positive(bits)
        } else {
            None
        }
    }

    #[inline(always)]
    fn write(&self, writer: Writer, bucket: usize, turn: usize, v: f64, n: u64) {
        writer.add(self.counts.offset(bucket), n);
        writer.add_f64_release(self.sums.offset(turn), v * n as f64);
    }

    /// Records NaN, infinities, negative values and -0.0; values of bounds without a table; a thread's first observation.
    #[cold]
    #[inline(never)]
    fn observe_slowly(&self, v: f64, n: u64) {
        if n == 0 {
            return;
        }
        if v.is_nan() {
            self.series.reject("nan", n);
        } else if v < 0.0 && !self.buckets.is_signed() {
            self.series.reject("negative", n);
        } else if !(v * n as f64).is_finite() {
            self.series.reject("infinite", n);
            self.record(self.buckets.index(v), 0.0, n);
        } else {
            self.record(self.buckets.index(v), v, n);
        }
    }

    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        let (buckets, sums) = match series.storage() {
            Storage::Histogram { buckets, sums } => (*buckets, *sums),
            Storage::Dual(dual) => (dual.buckets, dual.sums),
            _ => unreachable!("a histogram has buckets and sums"),
        };
        let layout = series.metadata.descriptor.buckets.clone();
        let layout = layout.unwrap_or_else(|| unreachable!("a histogram has bounds"));
        Self { buckets: layout, counts: buckets.start(), sums: sums.start(), series }
    }
}

/// A [`Histogram`] pinned to one thread; see [`Histogram::local`].
#[derive(Debug)]
pub struct LocalHistogram {
    /// Also keeps the cells from being reused.
    histogram: Histogram,
    base: Base,
    turn: Cell<usize>,
    /// Keeps the shard from being adopted by another thread.
    _lease: LocalLease,
}

impl LocalHistogram {
    /// Records one value, as [`Histogram::observe`] does.
    #[inline]
    pub fn observe(&self, v: f64) {
        self.observe_n(v, 1);
    }

    /// Records `n` equal values at the cost of one, as [`Histogram::observe_n`] does.
    #[inline]
    pub fn observe_n(&self, v: f64, n: u64) {
        let histogram = &self.histogram;
        match histogram.usual_bucket(v, n) {
            Some(bucket) => {
                let turn = self.turn.get() ^ 1;
                self.turn.set(turn);
                histogram.write(Writer::Own(self.base), bucket, turn, v, n);
            }
            // Rare, so it may look up the shard, or find that the thread has none any more.
            None => histogram.observe_slowly(v, n),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn observations_of_a_thread_alternate_between_the_cells_of_the_sum() {
        let registry = Registry::new();
        let bounds = Buckets::new([1.0, 2.0]).unwrap();
        let histogram = registry.histogram(("h", ""), &bounds).unwrap();
        // The buckets do not decide which cell is next.
        [0.5, 0.5, 1.5, 9.0, 0.5, 0.5].into_iter().for_each(|v| histogram.observe(v));
        let halves = [0, 1].map(|half| {
            let cells = crate::shard::shards().iter();
            cells.map(|shard| f64::from_bits(shard.read(histogram.sums.offset(half)))).sum::<f64>()
        });
        let [mut less, mut more] = halves;
        if less > more {
            (less, more) = (more, less);
        }
        assert_eq!((less, more), (2.5, 10.0));
        assert_eq!(histogram.get(), HistogramValue { counts: vec![4, 1, 1], sum: 12.5 });
    }

    #[test]
    fn a_local_handle_records_the_same_as_a_shared_one() {
        let registry = Registry::new();
        // Bounds with a table, and bounds without one.
        for (name, bounds) in [("plain", [1.0, 2.0]), ("signed", [-1.0, 2.0])] {
            let bounds = Buckets::new(bounds).unwrap();
            let [local, shared] = ["local", "shared"]
                .map(|end| registry.histogram((&*format!("{name}_{end}"), ""), &bounds).unwrap());
            let pinned = local.local().unwrap();
            for value in [0.0, -0.0, 1.0, 1.5, 9.0, -3.0, f64::NAN, f64::INFINITY, f64::MAX] {
                for n in [0, 1, 3] {
                    pinned.observe_n(value, n);
                    shared.observe_n(value, n);
                }
            }
            assert_eq!(local.get(), shared.get(), "{name}");
            assert!(local.get().counts.iter().sum::<u64>() > 20);
        }
    }

    #[test]
    fn a_local_handle_alternates_between_the_cells_of_the_sum() {
        let registry = Registry::new();
        let histogram = registry.histogram(("h", ""), &Buckets::new([1.0]).unwrap()).unwrap();
        let local = histogram.local().unwrap();
        // Turns of a shared handle in between do not matter.
        for _ in 0..2 {
            local.observe(0.5);
            histogram.observe(0.0);
        }
        let halves = [0, 1].map(|half| {
            let cells = crate::shard::shards().iter();
            cells.map(|shard| f64::from_bits(shard.read(histogram.sums.offset(half)))).sum::<f64>()
        });
        assert_eq!(halves, [0.5, 0.5]);
    }
}
