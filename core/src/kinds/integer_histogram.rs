//! Histograms of integers: a cell for each bucket and one for the sum, all of them `u64`.
//!
//! ```text
//! observe(u):  b = bucket of u                              table lookup, see layout/integer.rs
//!              cells[b] += 1                                relaxed
//!              sum += u                                     release
//! scrape:      all sums (acquire), then all buckets;  _count = sum of the buckets
//! ```
//!
//! Integers add up to the same sum in any order, so a scrape shows it to the last digit, whichever threads recorded. One cell
//! for it is enough: an addition of integers takes one cycle, where that of floats takes three or four and the next waits.

use super::Counter;
use crate::layout::{IntegerLayout, IntegerSum, Scale};
use crate::series::{Exemplar, SeriesRef, Storage};
use crate::shard::{SpanStart, Writer, own, writer};
use std::sync::Arc;

/// A distribution of integers over fixed buckets: durations in nanoseconds, tokens, bytes. Its sum is exact.
///
/// Values are numbers of units of a [`Scale`]; bounds and the exposition are in the unit itself, for example seconds.
///
/// The sum wraps at 2^64 units, as a counter does, and scrapers take that for a restart: they lose what was added since the
/// scrape before, and no more. In nanoseconds these are 584 years of time summed up over all observations, so 1,000 requests
/// in progress at all times reach it after 213 days. Where that is too soon choose a coarser scale.
///
/// ```
/// use dynamo_metrics_core::{Buckets, Registry, Scale};
///
/// let registry = Registry::new();
/// let buckets = Buckets::new([0.01, 0.1])?;
/// let latency = registry.integer_histogram(("latency_seconds", "Time."), &buckets, Scale::Nano)?;
/// for _ in 0..10 {
///     latency.observe(20_000_001);
/// }
/// assert_eq!(latency.get().counts, [0, 10, 0]);
/// assert_eq!(latency.get().sum.to_string(), "0.20000001", "not 0.20000000999999997");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct IntegerHistogram {
    layout: Arc<IntegerLayout>,
    counts: SpanStart,
    sum: SpanStart,
    /// Keeps the cells from being reused.
    pub(crate) series: SeriesRef,
}

/// The values of one histogram of integers at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegerHistogramValue {
    /// The number of observations in each bucket, not cumulative; the last is `+Inf`.
    pub counts: Vec<u64>,
    /// The sum of the observations.
    pub sum: IntegerSum,
}

impl IntegerHistogram {
    /// Returns the unit of recording.
    pub fn scale(&self) -> Scale {
        self.layout.scale
    }

    /// Records one value, in units.
    #[inline]
    pub fn observe(&self, units: u64) {
        self.add(units, 1, units);
    }

    /// Records `n` equal values at the cost of one. The sum grows by `units * n`, modulo 2^64.
    #[inline]
    pub fn observe_n(&self, units: u64, n: u64) {
        self.add(units, n, units.wrapping_mul(n));
    }

    /// Records `n` values that share `total` evenly, at the cost of one: all are in the bucket of `total / n`, rounded down, and
    /// the sum grows by `total`, whatever the division leaves. It does nothing if `n` is 0.
    ///
    /// ```
    /// # use dynamo_metrics_core::{Buckets, Registry, Scale};
    /// # let registry = Registry::new();
    /// # let buckets = Buckets::new([3.0, 4.0])?;
    /// let sizes = registry.integer_histogram(("size_bytes", "Sizes."), &buckets, Scale::One)?;
    /// sizes.observe_split(11, 3);
    /// assert_eq!((&*sizes.get().counts, sizes.get().sum.units), (&[3, 0, 0][..], 11));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn observe_split(&self, total: u64, n: u64) {
        if let Some(each) = share(total, n) {
            self.add(each, n, total);
        }
    }

    /// Adds `n` to `counter` and records `n` values that share `total`, as [`observe_split`](Self::observe_split) does: tokens, and
    /// the time that each of them took.
    ///
    /// Cost: less than two recordings, because the thread's shard is looked up once for both.
    ///
    /// ```
    /// # use dynamo_metrics_core::{Buckets, Registry, Scale};
    /// # let registry = Registry::new();
    /// let tokens = registry.counter(("tokens_total", "Tokens."))?;
    /// let buckets = Buckets::new([0.01, 0.1])?;
    /// let latency = registry.integer_histogram(("latency_seconds", "Time of a token."), &buckets, Scale::Nano)?;
    /// latency.observe_split_and_count(60_000_000, 3, &tokens);
    /// assert_eq!((&*latency.get().counts, tokens.get()), (&[0, 3, 0][..], 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn observe_split_and_count(&self, total: u64, n: u64, counter: &Counter) {
        if let Some(each) = share(total, n)
            && let Some(bucket) = self.layout.usual_index(each)
            && let Some(base) = own()
        {
            counter.write(Writer::Own(base), n);
            self.write(Writer::Own(base), bucket, n, total);
        } else {
            self.count_slowly(total, n, counter);
        }
    }

    /// [`observe_split_and_count`](Self::observe_split_and_count) one after the other.
    #[cold]
    #[inline(never)]
    fn count_slowly(&self, total: u64, n: u64, counter: &Counter) {
        counter.add(n);
        self.observe_split(total, n);
    }

    /// Records one value in the unit that is shown, for example seconds, rounded to whole units of recording. NaN and negative
    /// values are not recorded; a value of 2^64 units or more is counted in its bucket and not added to the sum. Each of them
    /// is counted in `dynamo_metrics_rejected_observations_total{family,reason}`.
    ///
    /// ```
    /// # use dynamo_metrics_core::{Buckets, Registry, Scale};
    /// # let registry = Registry::new();
    /// # let buckets = Buckets::new([0.1, 1.0])?;
    /// let wait = registry.integer_histogram(("wait_seconds", "Time."), &buckets, Scale::Milli)?;
    /// [0.25, f64::NAN, -1.0, f64::INFINITY].into_iter().for_each(|seconds| wait.observe_float(seconds));
    /// assert_eq!((&*wait.get().counts, wait.get().sum.units), (&[0, 1, 1][..], 250));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn observe_float(&self, v: f64) {
        /// 2^64, the first number beyond `u64`.
        const BEYOND: f64 = 18_446_744_073_709_551_616.0;
        let units = (v * self.layout.scale.per_one() as f64).round();
        if v.is_nan() {
            self.series.reject("nan", 1);
        } else if v < 0.0 {
            self.series.reject("negative", 1);
        } else if units >= BEYOND {
            self.series.reject("infinite", 1);
            self.add_slowly(u64::MAX, 1, 0);
        } else {
            self.observe(units as u64);
        }
    }

    /// Records one value and stores an exemplar in place of the bucket's previous one, as
    /// [`Histogram::observe_with_exemplar`](crate::Histogram::observe_with_exemplar) does.
    ///
    /// ```
    /// # use dynamo_metrics_core::{Buckets, Exemplar, Opts, Registry, Scale, Snapshot};
    /// # let registry = Registry::new();
    /// let opts = Opts::new("latency_seconds", "Time to answer.").exemplars();
    /// let buckets = Buckets::new([0.1, 1.0])?;
    /// let latency = registry.integer_histogram(opts, &buckets, Scale::Milli)?;
    /// latency.observe_with_exemplar(500, &Exemplar::new("a1")?);
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "latency_seconds").unwrap();
    /// let series = family.parts().next().unwrap().series(0).unwrap();
    /// assert_eq!(series.exemplar(1).unwrap().value, 0.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn observe_with_exemplar(&self, units: u64, exemplar: &Exemplar) {
        // The count first, so that a scrape that sees the exemplar has counted its value.
        self.observe(units);
        let bucket = self.layout.index(units);
        self.series.exemplify(bucket, self.layout.scale.to_f64(units), exemplar);
    }

    /// Returns the values over all threads. For tests and displays, because it reads every shard and allocates.
    pub fn get(&self) -> IntegerHistogramValue {
        let total = |cell| {
            let cells = crate::shard::shards().iter().map(|shard| shard.read(cell));
            cells.fold(0, u64::wrapping_add)
        };
        // The sum before the buckets, so that it is never ahead of them.
        let sum = IntegerSum { units: total(self.sum.cell()), scale: self.layout.scale };
        let buckets = self.layout.buckets_len();
        let counts = (0..buckets).map(|bucket| total(self.counts.offset(bucket))).collect();
        IntegerHistogramValue { counts, sum }
    }

    #[inline(always)]
    fn add(&self, units: u64, n: u64, total: u64) {
        if let Some(bucket) = self.layout.usual_index(units)
            && let Some(base) = own()
        {
            self.write(Writer::Own(base), bucket, n, total);
        } else {
            self.add_slowly(units, n, total);
        }
    }

    #[inline(always)]
    fn write(&self, writer: Writer, bucket: usize, n: u64, total: u64) {
        writer.add(self.counts.offset(bucket), n);
        writer.add_release(self.sum.cell(), total);
    }

    /// Records values of 2^52 units and more, values of bounds without a table, and a thread's first observation.
    #[cold]
    #[inline(never)]
    fn add_slowly(&self, units: u64, n: u64, total: u64) {
        let writer = match own() {
            Some(base) => Some(Writer::Own(base)),
            None => writer(),
        };
        if let Some(writer) = writer {
            self.write(writer, self.layout.index(units), n, total);
        }
    }

    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        let Storage::IntegerHistogram { buckets, sum } = series.storage() else {
            unreachable!("a histogram of integers has buckets and a sum")
        };
        let (counts, sum) = (buckets.start(), sum.start());
        let layout = series.metadata.descriptor.integer.clone();
        let layout = layout.unwrap_or_else(|| unreachable!("it has bounds in units"));
        Self { layout, counts, sum, series }
    }
}

/// Returns the `n`th part of `total`; `None` if `n` is 0.
#[inline(always)]
fn share(total: u64, n: u64) -> Option<u64> {
    // One value, which is the usual case, needs no division.
    if n == 1 { Some(total) } else { total.checked_div(n) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Buckets, Registry};

    fn histogram(bounds: &[f64], scale: Scale) -> IntegerHistogram {
        let buckets = Buckets::new(bounds.iter().copied()).unwrap();
        Registry::new().integer_histogram(("h", ""), &buckets, scale).unwrap()
    }

    #[test]
    fn the_sum_wraps_as_a_counter_does() {
        let histogram = histogram(&[1.0], Scale::One);
        histogram.observe(u64::MAX);
        histogram.observe(3);
        histogram.observe_n(1 << 63, 2);
        let value = histogram.get();
        assert_eq!((value.sum.units, &*value.counts), (2, &[0, 4][..]));
    }

    #[test]
    fn a_share_of_nothing_is_not_recorded() {
        let histogram = histogram(&[1.0], Scale::One);
        histogram.observe_split(5, 0);
        histogram.observe_n(5, 0);
        assert_eq!(histogram.get().counts, [0, 0]);
        histogram.observe_split(0, 2);
        assert_eq!((histogram.get().sum.units, &*histogram.get().counts), (0, &[2, 0][..]));
    }

    #[test]
    fn counting_beside_an_observation_is_the_same_as_both_in_turn() {
        let registry = Registry::new();
        let (one, other) = (histogram(&[1.0, 2.0], Scale::One), histogram(&[1.0, 2.0], Scale::One));
        let [counted, added] =
            ["counted_total", "added_total"].map(|name| registry.counter((name, "")).unwrap());
        // In a thread of its own, whose first recording this is.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for total in [0, 1, 2, 7, 1 << 53, u64::MAX] {
                    for n in [1, 0, 3] {
                        one.observe_split_and_count(total, n, &counted);
                        added.add(n);
                        other.observe_split(total, n);
                        assert_eq!((one.get(), counted.get()), (other.get(), added.get()));
                    }
                }
            });
        });
        assert_eq!(counted.get(), 24);
    }

    #[test]
    fn values_that_no_float_holds_are_counted_where_they_belong() {
        let far = (1u64 << 52) as f64;
        let histogram = histogram(&[1.0, far], Scale::One);
        let edge = 1u64 << 52;
        [edge - 1, edge, edge + 1, u64::MAX].into_iter().for_each(|units| histogram.observe(units));
        assert_eq!(histogram.get().counts, [0, 2, 2]);
    }
}
