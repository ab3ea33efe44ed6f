//! Fixed-bucket histograms: one cell a bucket, two for the sum, and no stored count.
//!
//! ```text
//! observe(v):  b = bucket of v                              table lookup, see buckets.rs
//!              cells[b] += 1                                relaxed
//!              sums[turn] += v                              release; turn: 0, 1, 0, 1, ... of this thread
//! scrape:      all sums (acquire), then all buckets;  _count = sum of the buckets
//! ```
//!
//! `_count` is derived, so `+Inf == _count` in every scrape by construction. The sum is written after and read
//! before the buckets, so it is never ahead of them: it may lack the observations that are in flight.

use crate::buckets::{Buckets, INFINITY_BITS};
use crate::descriptor::Kind;
use crate::exemplar::Exemplar;
use crate::family::{Metric, sealed};
use crate::lookup::AnyHandle;
use crate::series::{Numbers, SeriesRef};
use crate::shard::{Base, CellIndex, LocalLease, Writer, own, writer};
use crate::sum::{over_shards, turn};
use std::cell::Cell;
use std::sync::Arc;

/// A distribution of values over fixed buckets.
///
/// What it does with odd values: NaN is not counted at all. An infinite value (or one whose `n`-fold is) is counted
/// in its bucket but left out of the sum, which it would spoil for ever; a sum that outgrows an `f64` stays at its
/// largest number. A negative value is not counted unless a bound is negative,
/// because it would let the sum fall, which scrapers take for a restart. Each of these shows in
/// `dynamo_metrics_rejected_observations_total{family,reason}`.
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
    counts: CellIndex,
    sums: CellIndex,
    series: SeriesRef,
}

/// The numbers of one histogram at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramValue {
    /// Observations in each bucket, not cumulated; the last is `+Inf`.
    pub counts: Vec<u64>,
    /// Sum of the finite observations.
    pub sum: f64,
}

impl Histogram {
    /// Records one value.
    #[inline]
    pub fn observe(&self, v: f64) {
        self.observe_n(v, 1);
    }

    /// Records `n` equal values at the price of one. The sum grows by `v * n`.
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

    /// Records one value, and remembers what it was for: the newest exemplar of each bucket is kept. In a family
    /// without [`Opts::exemplars`](crate::Opts::exemplars) it only records. Waits for nobody: when another thread is
    /// writing the bucket's exemplar right now, this one is dropped. A value that is not finite, or not counted,
    /// leaves no exemplar.
    ///
    /// Cost: that of [`observe`](Self::observe), a second look for the bucket, a compare-and-swap and eight stores in
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
        // First the count: a scrape that sees the exemplar sees what it stands for.
        self.observe(v);
        if v.is_finite() && (v >= 0.0 || self.buckets.is_signed()) {
            self.series.exemplify(self.buckets.index(v), v, exemplar);
        }
    }

    /// The numbers now, over all threads. For tests and displays: it reads every shard and allocates.
    pub fn get(&self) -> HistogramValue {
        let shards = crate::shard::shards();
        // The sum first, see the module's first lines.
        let sum = over_shards(self.sums);
        let counts = (0..=self.buckets.bounds().len())
            .map(|bucket| {
                let cell = self.counts.offset(bucket);
                shards.iter().map(|shard| shard.read(cell)).fold(0, u64::wrapping_add)
            })
            .collect();
        HistogramValue { counts, sum }
    }

    /// A handle pinned to the calling thread: the observation itself, without looking the thread's shard up. `None` for a
    /// thread that has no shard, because the operating system refuses it the address space or the thread is past its end;
    /// then the handle itself still [records](Self::observe).
    ///
    /// In a program it costs what [`observe`](Self::observe) costs. In a shared library, where each use of a thread-local is
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

    /// The bucket of a value that needs no second thought; `None` for what [`observe_slowly`](Self::observe_slowly) is for.
    #[inline(always)]
    fn usual_bucket(&self, v: f64, n: u64) -> Option<usize> {
        let bits = v.to_bits();
        // One comparison sorts out NaN, infinities and everything with a sign.
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

    /// NaN, infinities, negative values and -0.0; bounds without a table; a thread's first observation.
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
}

/// A [`Histogram`] pinned to one thread; see [`Histogram::local`].
#[derive(Debug)]
pub struct LocalHistogram {
    // Keeps the cells from being reused, too.
    histogram: Histogram,
    base: Base,
    turn: Cell<usize>,
    // Keeps the shard from being adopted by another thread.
    _lease: LocalLease,
}

impl LocalHistogram {
    /// Records one value, as [`Histogram::observe`] does.
    #[inline]
    pub fn observe(&self, v: f64) {
        self.observe_n(v, 1);
    }

    /// Records `n` equal values at the price of one, as [`Histogram::observe_n`] does.
    #[inline]
    pub fn observe_n(&self, v: f64, n: u64) {
        let histogram = &self.histogram;
        match histogram.usual_bucket(v, n) {
            Some(bucket) => {
                let turn = self.turn.get() ^ 1;
                self.turn.set(turn);
                histogram.write(Writer::Own(self.base), bucket, turn, v, n);
            }
            // Rare, so it may look the shard up, or find that the thread is past its end and has none any more.
            None => histogram.observe_slowly(v, n),
        }
    }
}

impl sealed::Sealed for Histogram {}
impl Metric for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn into_any(self) -> AnyHandle {
        AnyHandle::Histogram(self)
    }

    #[inline]
    fn from_any(any: &AnyHandle) -> Option<&Self> {
        match any {
            AnyHandle::Histogram(handle) => Some(handle),
            _ => None,
        }
    }

    #[inline]
    fn series(&self) -> &SeriesRef {
        &self.series
    }

    fn bind(series: SeriesRef) -> Self {
        let Numbers::Histogram { buckets, sums } = *series.numbers() else {
            unreachable!("a histogram has buckets and sums")
        };
        let layout = series.shape.descriptor.buckets.clone();
        let layout = layout.unwrap_or_else(|| unreachable!("a histogram has bounds"));
        Self { buckets: layout, counts: buckets.cell(), sums: sums.cell(), series }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn observations_of_a_thread_take_turns_between_the_cells_of_the_sum() {
        let registry = Registry::new();
        let bounds = Buckets::new([1.0, 2.0]).unwrap();
        let histogram = registry.histogram(("h", ""), &bounds).unwrap();
        // Into one bucket or into several: neither decides.
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
    fn a_local_handle_observes_what_a_shared_one_does() {
        let registry = Registry::new();
        // With a table, and with bounds that have none.
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
    fn a_local_handle_takes_turns_as_well() {
        let registry = Registry::new();
        let histogram = registry.histogram(("h", ""), &Buckets::new([1.0]).unwrap()).unwrap();
        let local = histogram.local().unwrap();
        // A shared handle's turns in between do not matter.
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
