//! Histograms with classic and native buckets: each observation is recorded in both.
//!
//! Classic bounds that people chose, as 0.9.0's 0.0022 s, are no bounds of a native grid, so one set of cells cannot serve both.
//! Formats without native histograms print the classic buckets, exactly as those of a
//! [`Histogram`]; protobuf prints both in one message. There the count is that of the native buckets,
//! and no classic bucket is above it: an observation between the two recordings is in one of them, and both only grow.

use super::{Histogram, HistogramValue, NativeHistogram, NativeHistogramValue};
use crate::series::{Exemplar, SeriesRef};
use std::sync::Arc;

/// A distribution of values over fixed buckets and over exponential ones at the same time, for scrapers of both kinds. From
/// [`Registry::dual_histogram_family`](crate::Registry::dual_histogram_family).
///
/// Cost: that of a [`Histogram`] and a [`NativeHistogram`]. Special values are treated as by these, and each is reported once.
///
/// ```
/// use dynamo_metrics_core::{Buckets, NativeBuckets, Registry};
///
/// let (registry, bounds) = (Registry::new(), Buckets::new([0.0022, 0.47])?);
/// let family = registry.dual_histogram_family(
///     ("wait_seconds", "Time in the queue."),
///     ["model"],
///     &bounds,
///     &NativeBuckets::new().range(0.001, 64.0),
/// )?;
/// let wait = family.with(["m"]);
/// wait.observe(0.0022);
/// wait.observe_n(0.25, 2);
/// let (classic, native) = wait.get();
/// assert_eq!(classic.counts, [1, 2, 0]);
/// assert_eq!(native.positive, [(-70, 1), (-16, 2)]);
/// assert_eq!(classic.sum, native.sum);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DualHistogram {
    /// Shared, so that this handle is as small as others: each thread's cache of lookups has room for the largest of all kinds.
    both: Arc<(Histogram, NativeHistogram)>,
    pub(crate) series: SeriesRef,
}

impl DualHistogram {
    /// Records one value.
    #[inline]
    pub fn observe(&self, v: f64) {
        self.observe_n(v, 1);
    }

    /// Records `n` equal values at the cost of one. The sum grows by `v * n`.
    #[inline]
    pub fn observe_n(&self, v: f64, n: u64) {
        // First, because it reports what is rejected.
        self.both.0.observe_n(v, n);
        if v >= 0.0 && (v * n as f64).is_finite() {
            self.both.1.observe_n(v, n);
        } else {
            self.observe_special(v, n);
        }
    }

    /// Records one value and stores an exemplar, as [`Histogram::observe_with_exemplar`] does.
    pub fn observe_with_exemplar(&self, v: f64, exemplar: &Exemplar) {
        if v >= 0.0 && v.is_finite() {
            self.both.1.observe(v);
        } else {
            self.observe_special(v, 1);
        }
        // Last, so that a scrape that sees the exemplar has counted its value in both.
        self.both.0.observe_with_exemplar(v, exemplar);
    }

    /// Returns the values over all threads, classic and native. For tests and displays, because it reads every shard and
    /// allocates.
    pub fn get(&self) -> (HistogramValue, NativeHistogramValue) {
        (self.both.0.get(), self.both.1.get())
    }

    /// Records NaN, infinities and negative values as the classic buckets have them, which report them.
    #[cold]
    #[inline(never)]
    fn observe_special(&self, v: f64, n: u64) {
        let descriptor = &self.series.metadata.descriptor;
        if n == 0 || v.is_nan() || (v < 0.0 && !descriptor.is_signed()) {
            return;
        }
        if (v * n as f64).is_finite() {
            self.both.1.observe_n(v, n);
        } else {
            self.both.1.count_infinite(v, n);
        }
    }

    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        let classic = Histogram::bind(series.clone());
        let native = NativeHistogram::bind(series.clone());
        Self { both: Arc::new((classic, native)), series }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::layout::{Buckets, NativeBuckets};
    use crate::snapshot::Value;
    use crate::{Registry, Snapshot};

    #[test]
    fn classic_and_native_buckets_count_the_same_values_whatever_they_are() {
        for (name, bounds) in [("plain", [1.0, 2.0]), ("signed", [-1.0, 2.0])] {
            let registry = Registry::new();
            let bounds = Buckets::new(bounds).unwrap();
            let native = NativeBuckets::new().range(0.5, 8.0);
            let family = registry.dual_histogram_family((name, ""), ["l"], &bounds, &native);
            let histogram = family.unwrap().with(["x"]);
            for value in [0.0, -0.0, 1.0, 1.5, 9.0, -3.0, f64::NAN, f64::INFINITY, f64::MAX] {
                for n in [0, 1, 3] {
                    histogram.observe_n(value, n);
                }
            }
            let (classic, native) = histogram.get();
            let count: u64 = classic.counts.iter().sum();
            let sides = native.positive.iter().chain(&native.negative);
            assert_eq!(count, native.zero_count + sides.map(|(_, n)| n).sum::<u64>(), "{name}");
            assert!((classic.sum - native.sum).abs() <= f64::EPSILON * classic.sum.abs(), "{name}");
            // Each rejected value is reported once: NaN, infinities, and negative ones of the first.
            let mut snapshot = Snapshot::new();
            snapshot.take(&registry);
            let rejected = "dynamo_metrics_rejected_observations_total";
            let family = snapshot.families().find(|family| family.name() == rejected).unwrap();
            let reports = family.parts().next().unwrap().counts().sum::<u64>();
            assert_eq!(reports, if name == "plain" { 15 } else { 11 });
        }
    }

    #[test]
    fn a_snapshot_has_both_and_cells_come_back() {
        let registry = Registry::new();
        let (bounds, native) = (Buckets::new([1.0]).unwrap(), NativeBuckets::new().schema(0));
        let family = registry.dual_histogram_family(("h", ""), ["l"], &bounds, &native).unwrap();
        for round in 1..=3 {
            family.with(["x"]).observe_n(1.5, round);
            let mut snapshot = Snapshot::new();
            snapshot.take(&registry);
            let shown = snapshot.families().find(|family| family.name() == "h").unwrap();
            let series = shown.parts().next().unwrap().series(0).unwrap();
            let Value::Histogram { counts, sum } = series.value() else { panic!("a histogram") };
            let sum = sum.to_f64();
            assert_eq!((counts, sum), (&[0, round][..], 1.5 * round as f64), "zeroed when reused");
            let native = series.native_beside().unwrap();
            assert_eq!((native.count, native.sum), (round, sum));
            assert_eq!(native.positive.populated().collect::<Vec<_>>(), [(1, round)]);
            assert!(family.remove(["x"]));
        }
    }
}
