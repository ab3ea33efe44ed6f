//! Histograms of one thread.

use crate::error::Result;
use crate::histogram::{Histogram, HistogramVec};
use crate::histogram_timer::LocalHistogramTimer;
use crate::instant::Instant;
use crate::metric::LocalMetric;
use crate::table::{LabelValues, Table};
use std::cell::RefCell;

/// A histogram of one thread. It is flushed when it is dropped.
#[derive(Debug)]
pub struct LocalHistogram {
    histogram: Histogram,
    observed: RefCell<Observed>,
}

/// The observations since the last flush.
#[derive(Debug)]
struct Observed {
    /// The count of each bucket, `+Inf` last.
    counts: Box<[u64]>,
    count: u64,
    sum: f64,
}

impl Observed {
    fn clear(&mut self) {
        self.counts.fill(0);
        self.count = 0;
        self.sum = 0.0;
    }
}

impl LocalHistogram {
    pub(crate) fn new(histogram: Histogram) -> Self {
        let counts = vec![0; histogram.bounds().upper.len() + 1].into();
        Self { histogram, observed: RefCell::new(Observed { counts, count: 0, sum: 0.0 }) }
    }

    /// Adds one observation.
    pub fn observe(&self, v: f64) {
        let mut observed = self.observed.borrow_mut();
        observed.counts[self.histogram.bounds().index(v)] += 1;
        observed.count += 1;
        observed.sum += v;
    }

    /// Starts a timer, which observes its seconds when it is dropped.
    pub fn start_timer(&self) -> LocalHistogramTimer {
        LocalHistogramTimer::new(self.clone(), Instant::now())
    }

    /// Starts a timer, as [`start_timer`](Self::start_timer).
    #[cfg(feature = "nightly")]
    pub fn start_coarse_timer(&self) -> LocalHistogramTimer {
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

    /// Forgets the observations since the last flush.
    pub fn clear(&self) {
        self.observed.borrow_mut().clear();
    }

    /// Adds the observations to the shared histogram.
    pub fn flush(&self) {
        let mut observed = self.observed.borrow_mut();
        if observed.count > 0 {
            self.histogram.record(&observed.counts, observed.sum);
            observed.clear();
        }
    }

    /// Returns the sum of the observations since the last flush.
    pub fn get_sample_sum(&self) -> f64 {
        self.observed.borrow().sum
    }

    /// Returns the number of observations since the last flush.
    pub fn get_sample_count(&self) -> u64 {
        self.observed.borrow().count
    }
}

impl Clone for LocalHistogram {
    /// Returns another local histogram of the same shared one, without observations.
    fn clone(&self) -> Self {
        Self::new(self.histogram.clone())
    }
}

impl LocalMetric for LocalHistogram {
    fn flush(&self) {
        LocalHistogram::flush(self);
    }
}

impl Drop for LocalHistogram {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A family of histograms of one thread. They are flushed when it is dropped.
#[derive(Debug)]
pub struct LocalHistogramVec {
    vec: HistogramVec,
    local: Table<LocalHistogram>,
}

impl LocalHistogramVec {
    pub(crate) fn new(vec: HistogramVec) -> Self {
        Self { vec, local: Table::default() }
    }

    /// Returns this thread's histogram with these values; makes it if there is none.
    ///
    /// # Panics
    /// If there are more or fewer values than labels.
    pub fn with_label_values<'a>(&'a mut self, vals: &[&str]) -> &'a LocalHistogram {
        let vec = &self.vec;
        let make = |_: &LabelValues| Ok(vec.get_metric_with_label_values(vals)?.local());
        self.local.get_or_insert(vals, make).unwrap_or_else(|error: crate::Error| panic!("{error}"))
    }

    /// Removes the histogram here and in the shared family.
    ///
    /// # Errors
    /// More or fewer values than labels, or no such series.
    pub fn remove_label_values(&mut self, vals: &[&str]) -> Result<()> {
        self.vec.check(vals.len())?;
        self.local.remove(vals);
        self.vec.remove_label_values(vals)
    }

    /// Adds all histograms to the shared ones.
    pub fn flush(&self) {
        self.local.iter().for_each(LocalHistogram::flush);
    }
}

impl LocalMetric for LocalHistogramVec {
    fn flush(&self) {
        LocalHistogramVec::flush(self);
    }
}

impl Clone for LocalHistogramVec {
    /// Returns another local family of the same shared one, without series.
    fn clone(&self) -> Self {
        self.vec.local()
    }
}
