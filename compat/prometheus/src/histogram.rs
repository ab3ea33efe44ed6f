//! Histograms. Observations go to the calling thread's shard; a collection reads a sum and the counts of the same observations.

use crate::buckets::{BUCKET_LABEL, Bounds, HistogramOpts};
use crate::desc::{Desc, Describer};
use crate::error::{Error, Result};
use crate::family::Family;
use crate::histogram_timer::HistogramTimer;
use crate::instant::Instant;
use crate::local_histogram::{LocalHistogram, LocalHistogramVec};
use crate::lookup::{self, Cache, Cached, Lease};
use crate::metric::{Collector, Metric};
use crate::plan::{self, Plan};
use crate::proto::{self, MetricType};
use crate::series::{AnySeries, Series};
use crate::table::LabelValues;
use crate::vec::{MetricVec, MetricVecBuilder};
use dynamo_metrics_core::DetachedHistogram;
use parking_lot::Mutex;
use std::panic::RefUnwindSafe;
use std::sync::{Arc, OnceLock};

/// The observations of one histogram.
#[derive(Debug)]
enum Store {
    Shards(DetachedHistogram),
    /// The counts of all buckets and the sum, when no cells are left, or there are more buckets than they hold.
    Locked(Mutex<(Box<[u64]>, f64)>),
}

/// One histogram.
#[doc(hidden)]
#[derive(Debug)]
pub struct HistogramCore {
    family: Arc<Family>,
    values: LabelValues,
    bounds: Arc<Bounds>,
    store: Store,
}

/// A panic leaves no observation half done: nothing of a program runs while the counts are locked.
impl RefUnwindSafe for HistogramCore {}

impl HistogramCore {
    /// Adds the counts of all buckets, `+Inf` last, and returns the sum of the same observations.
    fn read(&self, counts: &mut [u64]) -> f64 {
        match &self.store {
            Store::Shards(histogram) => histogram.read(counts),
            Store::Locked(locked) => {
                let locked = locked.lock();
                counts.iter_mut().zip(&locked.0).for_each(|(count, n)| *count += n);
                locked.1
            }
        }
    }
}

/// A histogram. Clones are the same histogram.
#[derive(Clone, Debug)]
pub struct Histogram {
    core: Lease<HistogramCore>,
}

impl Histogram {
    /// Returns a histogram without observations.
    ///
    /// # Errors
    /// As [`Desc::new`]; the label `le`; bounds that do not increase; variable labels, which have no values here.
    pub fn with_opts(opts: HistogramOpts) -> Result<Self> {
        let family = Arc::new(Family::new(opts.describe()?));
        Self::of(&family, &LabelValues::default(), || Bounds::new(&opts).map(Arc::new))
    }

    fn of(
        family: &Arc<Family>,
        values: &LabelValues,
        bounds: impl FnOnce() -> Result<Arc<Bounds>>,
    ) -> Result<Self> {
        let desc = &family.desc;
        let mut names = desc.const_label_pairs.iter().map(|pair| pair.name());
        if names.any(|name| name == BUCKET_LABEL)
            || desc.variable_labels.iter().any(|name| name == BUCKET_LABEL)
        {
            return Err(Error::Msg("`le` is not allowed as label name in histograms".into()));
        }
        family.check(values.len())?;
        let bounds = bounds()?;
        let buckets = bounds.upper.len() + 1;
        let store = match DetachedHistogram::new(buckets) {
            Some(histogram) => Store::Shards(histogram),
            None => Store::Locked(Mutex::new((vec![0; buckets].into(), 0.0))),
        };
        let (family, values) = (Arc::clone(family), values.clone());
        Ok(Self { core: Lease::new(HistogramCore { family, values, bounds, store }) })
    }

    /// Adds one observation. NaN is counted in no bucket but `+Inf`, and makes the sum NaN.
    #[inline]
    pub fn observe(&self, v: f64) {
        let bucket = self.core.bounds.index(v);
        match &self.core.store {
            Store::Shards(histogram) => histogram.observe(bucket, v),
            Store::Locked(locked) => {
                let mut locked = locked.lock();
                locked.0[bucket] += 1;
                locked.1 += v;
            }
        }
    }

    /// Adds many observations.
    pub(crate) fn record(&self, counts: &[u64], sum: f64) {
        match &self.core.store {
            Store::Shards(histogram) => histogram.record(counts, sum),
            Store::Locked(locked) => {
                let mut locked = locked.lock();
                locked.0.iter_mut().zip(counts).for_each(|(count, n)| *count += n);
                locked.1 += sum;
            }
        }
    }

    pub(crate) fn bounds(&self) -> &Arc<Bounds> {
        &self.core.bounds
    }

    /// Starts a timer, which observes its seconds when it is dropped.
    pub fn start_timer(&self) -> HistogramTimer {
        HistogramTimer::new(self.clone(), Instant::now())
    }

    /// Starts a timer, as [`start_timer`](Self::start_timer).
    #[cfg(feature = "nightly")]
    pub fn start_coarse_timer(&self) -> HistogramTimer {
        self.start_timer()
    }

    /// Observes the seconds that a function takes.
    pub fn observe_closure_duration<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T,
    {
        let start = Instant::now();
        let result = f();
        self.observe(start.elapsed_sec());
        result
    }

    /// Observes the seconds that a function takes.
    #[cfg(feature = "nightly")]
    pub fn observe_closure_duration_coarse<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T,
    {
        self.observe_closure_duration(f)
    }

    /// Returns a histogram of this thread, which is added to this one when it is flushed.
    pub fn local(&self) -> LocalHistogram {
        LocalHistogram::new(self.clone())
    }

    /// Returns the sum of all observations.
    pub fn get_sample_sum(&self) -> f64 {
        self.core.read(&mut self.counts())
    }

    /// Returns the number of observations.
    pub fn get_sample_count(&self) -> u64 {
        let mut counts = self.counts();
        self.core.read(&mut counts);
        counts.iter().sum()
    }

    /// Returns a zero for each bucket.
    fn counts(&self) -> Vec<u64> {
        vec![0; self.core.bounds.upper.len() + 1]
    }
}

impl Metric for Histogram {
    fn metric(&self) -> proto::Metric {
        plan::metric(MetricType::HISTOGRAM, &*self.core)
    }
}

impl Cached for HistogramCore {
    #[inline]
    fn with<R>(f: impl FnOnce(&Cache<Self>) -> R) -> Option<R> {
        thread_local! {
            static CACHE: Cache<HistogramCore> = const { Cache::new() };
        }
        CACHE.try_with(f).ok()
    }

    #[inline]
    fn label_values(&self) -> &LabelValues {
        &self.values
    }
}

impl Series for HistogramCore {
    fn family(&self) -> &Arc<Family> {
        &self.family
    }

    fn values(&self) -> &LabelValues {
        &self.values
    }

    fn bounds(&self) -> Option<&Bounds> {
        Some(&self.bounds)
    }

    fn read(&self, numbers: &mut [u64]) {
        let [counts @ .., sum, count] = numbers else { return };
        *sum = HistogramCore::read(self, counts).to_bits();
        for bucket in counts {
            *count = count.wrapping_add(*bucket);
            *bucket = *count;
        }
    }
}

impl Collector for Histogram {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.core.family.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        vec![self.core.family.collect(MetricType::HISTOGRAM, vec![self.metric()])]
    }

    fn __plan(&self, kept: &OnceLock<Arc<Plan>>) -> Option<Arc<Plan>> {
        let series = || vec![AnySeries::Histogram(self.core.shared().clone())];
        let plan = || Arc::new(Plan::new(&self.core.family, MetricType::HISTOGRAM, series()));
        Some(Arc::clone(kept.get_or_init(plan)))
    }
}

/// Makes the series of a [`HistogramVec`].
#[derive(Clone, Debug, Default)]
pub struct HistogramVecBuilder {
    /// Shared by all series of a family; set by the first.
    bounds: Arc<OnceLock<Arc<Bounds>>>,
}

impl MetricVecBuilder for HistogramVecBuilder {
    type M = Histogram;
    type P = HistogramOpts;

    fn build<V: AsRef<str>>(&self, opts: &HistogramOpts, values: &[V]) -> Result<Histogram> {
        let family = Arc::new(Family::new(opts.describe()?));
        let values = LabelValues::new(values);
        Histogram::of(&family, &values, || Bounds::new(opts).map(Arc::new))
    }

    fn __build(
        &self,
        family: &Arc<Family>,
        opts: &HistogramOpts,
        values: &LabelValues,
    ) -> Result<Histogram> {
        Histogram::of(family, values, || match self.bounds.get() {
            Some(bounds) => Ok(Arc::clone(bounds)),
            None => {
                let bounds = Arc::new(Bounds::new(opts)?);
                Ok(Arc::clone(self.bounds.get_or_init(|| bounds)))
            }
        })
    }

    fn __series(&self, metric: &Histogram) -> Option<AnySeries> {
        Some(AnySeries::Histogram(metric.core.shared().clone()))
    }

    #[inline]
    fn __find<V: AsRef<str>>(&self, key: u64, values: &[V]) -> Option<Histogram> {
        Some(Histogram { core: lookup::find(key, values)? })
    }

    fn __remember(&self, key: u64, metric: &Histogram) {
        lookup::remember(key, &metric.core);
    }
}

/// A family of histograms.
pub type HistogramVec = MetricVec<HistogramVecBuilder>;

impl HistogramVec {
    /// Returns a family without series.
    ///
    /// # Errors
    /// As [`Desc::new`].
    pub fn new(opts: HistogramOpts, label_names: &[&str]) -> Result<Self> {
        let names = label_names.iter().map(ToString::to_string).collect();
        let builder = HistogramVecBuilder::default();
        Self::create(MetricType::HISTOGRAM, builder, opts.variable_labels(names))
    }

    /// Returns a family of this thread, which is added to this one when it is flushed.
    pub fn local(&self) -> LocalHistogramVec {
        LocalHistogramVec::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_buckets_than_cells_are_counted_under_a_lock() {
        let bounds = (0..300_000).map(f64::from).collect();
        let opts = HistogramOpts::new("h", "help").buckets(bounds);
        let histogram = Histogram::with_opts(opts).unwrap();
        assert!(matches!(histogram.core.store, Store::Locked(_)));
        histogram.observe(299_998.5);
        histogram.observe(f64::NAN);
        let mut counts = histogram.counts();
        let sum = histogram.core.read(&mut counts);
        assert_eq!((counts[299_999], counts[300_000]), (1, 1));
        assert!(sum.is_nan());
    }
}
