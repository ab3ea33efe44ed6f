//! The handles that programs record through. Every recording is an atomic read-modify-write in the process's file, because forked
//! processes may share it.

use crate::member::Series;
use crate::mode::Mode;
use crate::record::{SUM, gauge};
use dynamo_metrics_core::Buckets;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A total that only rises. Cost of [`add`](Self::add): a compare-and-swap.
#[derive(Clone, Debug)]
pub struct Counter {
    series: Arc<Series>,
}

impl Counter {
    pub(crate) fn new(series: Arc<Series>) -> Self {
        Self { series }
    }

    /// Adds `v`, which is not negative; the caller checks that.
    #[inline]
    pub fn add(&self, v: f64) {
        add(self.series.cells.cell(0), v);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Adds `v` and keeps these labels as the exemplar, in place of the one before.
    ///
    /// Cost: besides the addition a lock of this process, and the copy of the labels.
    pub fn add_with_exemplar(&self, v: f64, labels: &[(&str, &str)]) {
        self.add(v);
        self.series.exemplify(0, v, labels);
    }

    /// Returns the total of this process's file, which includes those of the processes that had it before.
    pub fn get(&self) -> f64 {
        load(self.series.cells.cell(0))
    }

    /// Sets the total of this process's file to zero.
    pub fn reset(&self) {
        store(self.series.cells.cell(0), 0.0);
    }

    /// Removes this process's share of the series from the page, unless there is another handle of it, or it is removed already. Returns
    /// whether it did. Recordings by this handle are on no page then. The room is used again when it is dropped.
    pub fn remove(&self) -> bool {
        self.series.remove()
    }
}

/// A value that each process sets.
#[derive(Clone, Debug)]
pub struct Gauge {
    series: Arc<Series>,
    mode: Mode,
}

impl Gauge {
    pub(crate) fn new(series: Arc<Series>, mode: Mode) -> Self {
        Self { series, mode }
    }

    /// Sets the value of this process. Reads the clock in the modes that need the time.
    #[inline]
    pub fn set(&self, v: f64) {
        store(self.series.cells.cell(gauge::VALUE), v);
        self.stamp();
    }

    /// Adds `v`, which may be negative, to the value of this process.
    #[inline]
    pub fn add(&self, v: f64) {
        add(self.series.cells.cell(gauge::VALUE), v);
        self.stamp();
    }

    /// Returns the value of this process.
    pub fn get(&self) -> f64 {
        load(self.series.cells.cell(gauge::VALUE))
    }

    /// Removes this process's share of the series from the page, as [`Counter::remove`].
    pub fn remove(&self) -> bool {
        self.series.remove()
    }

    #[inline]
    fn stamp(&self) {
        if self.mode.is_timed() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            store(self.series.cells.cell(gauge::TIME), now.as_secs_f64());
        }
    }
}

/// Observations counted in buckets.
#[derive(Clone, Debug)]
pub struct Histogram {
    series: Arc<Series>,
    /// `None` where the caller finds the buckets.
    buckets: Option<Buckets>,
}

impl Histogram {
    pub(crate) fn new(series: Arc<Series>, buckets: Option<Buckets>) -> Self {
        Self { series, buckets }
    }

    /// Records a value. NaN is in the sum and in no bucket.
    #[inline]
    pub fn observe(&self, v: f64) {
        let bucket = match &self.buckets {
            Some(buckets) if !v.is_nan() => buckets.index(v),
            _ => usize::MAX,
        };
        self.observe_in(bucket, v);
    }

    /// Records a value whose bucket the caller knows; one behind the last bucket is in the sum only.
    #[inline]
    pub fn observe_in(&self, bucket: usize, v: f64) {
        let cells = &self.series.cells;
        if bucket < cells.len() - 1 {
            cells.cell(1 + bucket).fetch_add(1, Ordering::Relaxed);
        }
        // Release pairs with the Acquire of a page, which reads the sum first: a sum is never ahead of its buckets.
        add_release(cells.cell(SUM), v);
    }

    /// Records a value and keeps these labels as the exemplar of its bucket, in place of the one before. NaN has none.
    ///
    /// Cost: besides the recording a lock of this process, and the copy of the labels.
    pub fn observe_with_exemplar(&self, v: f64, labels: &[(&str, &str)]) {
        match &self.buckets {
            Some(buckets) if !v.is_nan() => {
                self.observe_in_with_exemplar(buckets.index(v), v, labels);
            }
            _ => self.observe(v),
        }
    }

    /// Records a value whose bucket the caller knows, with an exemplar; one behind the last bucket has none.
    pub fn observe_in_with_exemplar(&self, bucket: usize, v: f64, labels: &[(&str, &str)]) {
        self.observe_in(bucket, v);
        if bucket < self.series.cells.len() - 1 {
            self.series.exemplify(bucket, v, labels);
        }
    }

    /// Fills `counts` with the observations of each bucket and returns the sum, both of this process's file.
    pub fn read(&self, counts: &mut [u64]) -> f64 {
        let sum = self.series.cells.cell(SUM).load(Ordering::Acquire);
        let buckets = self.series.cells.len() - 1;
        for (bucket, count) in counts.iter_mut().enumerate() {
            *count = match bucket < buckets {
                true => self.series.cells.cell(1 + bucket).load(Ordering::Relaxed),
                false => 0,
            };
        }
        f64::from_bits(sum)
    }

    /// Removes this process's share of the series from the page, as [`Counter::remove`].
    pub fn remove(&self) -> bool {
        self.series.remove()
    }
}

/// The number and the sum of observations.
#[derive(Clone, Debug)]
pub struct Summary {
    series: Arc<Series>,
}

impl Summary {
    pub(crate) fn new(series: Arc<Series>) -> Self {
        Self { series }
    }

    /// Records a value.
    #[inline]
    pub fn observe(&self, v: f64) {
        self.series.cells.cell(1).fetch_add(1, Ordering::Relaxed);
        // As in `Histogram::observe_in`.
        add_release(self.series.cells.cell(SUM), v);
    }

    /// Returns the count and the sum of this process's file.
    pub fn read(&self) -> (u64, f64) {
        let sum = self.series.cells.cell(SUM).load(Ordering::Acquire);
        (self.series.cells.cell(1).load(Ordering::Relaxed), f64::from_bits(sum))
    }

    /// Removes this process's share of the series from the page, as [`Counter::remove`].
    pub fn remove(&self) -> bool {
        self.series.remove()
    }
}

fn load(cell: &AtomicU64) -> f64 {
    f64::from_bits(cell.load(Ordering::Relaxed))
}

fn store(cell: &AtomicU64, v: f64) {
    cell.store(v.to_bits(), Ordering::Relaxed);
}

#[inline]
fn add(cell: &AtomicU64, v: f64) {
    let sum = |bits| Some((f64::from_bits(bits) + v).to_bits());
    // Relaxed: a number of its own.
    _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
}

#[inline]
fn add_release(cell: &AtomicU64, v: f64) {
    let sum = |bits| Some((f64::from_bits(bits) + v).to_bits());
    _ = cell.fetch_update(Ordering::Release, Ordering::Relaxed, sum);
}
