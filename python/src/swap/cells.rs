//! The cells of one series: the core's detached metrics, or one shared number where the process has no cells left.
//!
//! Values are those of `prometheus_client`: NaN, infinities and negative numbers are recorded; a histogram's NaN is in its sum and
//! in no bucket.

use super::number;
use super::processes::{Identity, shared};
use dynamo_metrics::multiprocess;
use dynamo_metrics_core::{Buckets, DetachedHistogram, DetachedSum};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An `f64` that threads share. Relaxed, because nothing is published with it.
#[derive(Debug, Default)]
pub(crate) struct Shared(AtomicU64);

impl Shared {
    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn add(&self, v: f64) {
        let add = |bits| Some((f64::from_bits(bits) + v).to_bits());
        _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

/// The value of a gauge.
#[derive(Debug)]
pub(crate) enum GaugeValue {
    Own(Shared),
    Process(multiprocess::Gauge),
}

impl GaugeValue {
    pub(crate) fn new(py: Python<'_>, identity: &Identity<'_>, mode: &str) -> PyResult<Self> {
        let mode = mode.parse().map_err(crate::errors::value_error)?;
        let gauge = shared(py, identity, |processes, opts| processes.gauge(opts, mode))?;
        Ok(gauge.map_or_else(|| Self::Own(Shared::default()), Self::Process))
    }

    pub(crate) fn get(&self) -> f64 {
        match self {
            Self::Own(value) => value.get(),
            Self::Process(gauge) => gauge.get(),
        }
    }

    pub(crate) fn set(&self, v: f64) {
        match self {
            Self::Own(value) => value.set(v),
            Self::Process(gauge) => gauge.set(v),
        }
    }

    pub(crate) fn add(&self, v: f64) {
        match self {
            Self::Own(value) => value.add(v),
            Self::Process(gauge) => gauge.add(v),
        }
    }

    /// Takes the series off the page of all processes, unless another object records into it; returns whether it did.
    pub(crate) fn remove(&self) -> bool {
        matches!(self, Self::Process(gauge) if gauge.remove())
    }
}

/// The value of a counter.
#[derive(Debug)]
pub(crate) enum Total {
    Own(Sum),
    Process(multiprocess::Counter),
}

impl Total {
    pub(crate) fn new(py: Python<'_>, identity: &Identity<'_>) -> PyResult<Self> {
        let counter = shared(py, identity, multiprocess::Processes::counter)?;
        Ok(counter.map_or_else(|| Self::Own(Sum::new()), Self::Process))
    }

    #[inline]
    pub(crate) fn add(&self, v: f64) {
        match self {
            Self::Own(sum) => sum.add(v),
            Self::Process(counter) => counter.add(v),
        }
    }

    /// Adds `v`; processes that share the counter see the exemplar.
    pub(crate) fn add_with_exemplar(&self, v: f64, exemplar: &Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::Own(sum) => sum.add(v),
            Self::Process(counter) => {
                let labels = exemplar_labels(exemplar)?;
                counter.add_with_exemplar(v, &borrowed(&labels));
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self) -> f64 {
        match self {
            Self::Own(sum) => sum.get(),
            Self::Process(counter) => counter.get(),
        }
    }

    pub(crate) fn reset(&self) {
        match self {
            Self::Own(sum) => sum.reset(),
            Self::Process(counter) => counter.reset(),
        }
    }

    /// Removes the series where no other metric has it; see [`GaugeValue::remove`].
    pub(crate) fn remove(&self) -> bool {
        matches!(self, Self::Process(counter) if counter.remove())
    }
}

/// The value of a counter of this process: in the shards, and from its first reset on in one place, because no thread can clear another's shard.
#[derive(Debug)]
pub(crate) struct Sum {
    cells: Option<DetachedSum>,
    /// True if the value is in `shared`.
    is_shared: AtomicBool,
    shared: Shared,
}

impl Sum {
    pub(crate) fn new() -> Self {
        let cells = DetachedSum::new();
        Self { is_shared: AtomicBool::new(cells.is_none()), cells, shared: Shared::default() }
    }

    fn cells(&self) -> Option<&DetachedSum> {
        self.cells.as_ref().filter(|_| !self.is_shared.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn add(&self, v: f64) {
        match self.cells() {
            Some(cells) => cells.add(v),
            None => self.shared.add(v),
        }
    }

    pub(crate) fn get(&self) -> f64 {
        self.cells().map_or_else(|| self.shared.get(), DetachedSum::get)
    }

    pub(crate) fn reset(&self) {
        self.shared.set(0.0);
        self.is_shared.store(true, Ordering::Relaxed);
    }
}

/// The upper bounds of a histogram's buckets, `+Inf` last; one object for all series with the same bounds.
#[pyclass(frozen, module = "dynamo_metrics._native")]
#[derive(Debug)]
pub(crate) struct Bounds(pub(crate) Arc<Upper>);

#[derive(Debug)]
pub(crate) struct Upper {
    pub(crate) bounds: Box<[f64]>,
    /// The bounds as values of the label `le`.
    pub(crate) texts: Box<[String]>,
    /// `None` for bounds that the core refuses: too many, repeated, or not finite.
    lookup: Option<Buckets>,
    has_nan: bool,
}

#[pymethods]
impl Bounds {
    #[new]
    #[pyo3(signature = (bounds, /))]
    fn new(bounds: Vec<f64>) -> Self {
        let texts = bounds.iter().map(|&bound| number::go_string(bound)).collect();
        let finite = bounds.split_last().map_or(&[][..], |(_, finite)| finite);
        let lookup = Buckets::new(finite.iter().copied()).ok();
        let has_nan = bounds.iter().any(|bound| bound.is_nan());
        Self(Arc::new(Upper { bounds: bounds.into(), texts, lookup, has_nan }))
    }
}

impl Upper {
    /// Returns the first bucket whose bound is not below the value, or the place behind the buckets for NaN. A bound that is NaN is
    /// above no value.
    #[inline]
    pub(crate) fn index(&self, v: f64) -> usize {
        if v.is_nan() {
            return self.bounds.len();
        }
        match &self.lookup {
            Some(buckets) => buckets.index(v),
            // NaN is in no order, so no search by halves finds the place.
            None if self.has_nan => {
                let all = self.bounds.len();
                self.bounds.iter().position(|&bound| v <= bound).unwrap_or(all)
            }
            None => self.bounds.partition_point(|&bound| bound < v),
        }
    }
}

/// The observations of a histogram or a summary.
#[derive(Debug)]
pub(crate) enum Observations {
    Shards(DetachedHistogram),
    /// The counts of all buckets and the sum, when no cells are left, or there are more buckets than they hold.
    Locked(Mutex<(Box<[u64]>, f64)>),
    Process(multiprocess::Histogram),
    ProcessSummary(multiprocess::Summary),
}

impl Observations {
    pub(crate) fn histogram(
        py: Python<'_>,
        identity: &Identity<'_>,
        upper: &Upper,
    ) -> PyResult<Self> {
        let bounds = upper.bounds.split_last().map_or(&[][..], |(_, bounds)| bounds);
        let histogram =
            shared(py, identity, |processes, opts| processes.histogram_of_bounds(opts, bounds))?;
        // One more, behind all buckets, for NaN.
        Ok(histogram.map_or_else(|| Self::new(upper.bounds.len() + 1), Self::Process))
    }

    pub(crate) fn summary(py: Python<'_>, identity: &Identity<'_>) -> PyResult<Self> {
        let summary = shared(py, identity, multiprocess::Processes::summary)?;
        Ok(summary.map_or_else(|| Self::new(1), Self::ProcessSummary))
    }

    fn new(buckets: usize) -> Self {
        match DetachedHistogram::new(buckets) {
            Some(cells) => Self::Shards(cells),
            None => Self::Locked(Mutex::new((vec![0; buckets].into(), 0.0))),
        }
    }

    #[inline]
    pub(crate) fn observe(&self, bucket: usize, v: f64) {
        match self {
            Self::Shards(cells) => cells.observe(bucket, v),
            Self::Locked(locked) => {
                let mut locked = locked.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(count) = locked.0.get_mut(bucket) {
                    *count += 1;
                }
                locked.1 += v;
            }
            Self::Process(histogram) => histogram.observe_in(bucket, v),
            Self::ProcessSummary(summary) => summary.observe(v),
        }
    }

    /// Records a value; processes that share the histogram see the exemplar.
    pub(crate) fn observe_with_exemplar(
        &self,
        bucket: usize,
        v: f64,
        exemplar: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match self {
            Self::Process(histogram) => {
                let labels = exemplar_labels(exemplar)?;
                histogram.observe_in_with_exemplar(bucket, v, &borrowed(&labels));
            }
            other => other.observe(bucket, v),
        }
        Ok(())
    }

    /// Removes the series where no other metric has it; see [`GaugeValue::remove`].
    pub(crate) fn remove(&self) -> bool {
        match self {
            Self::Process(histogram) => histogram.remove(),
            Self::ProcessSummary(summary) => summary.remove(),
            _ => false,
        }
    }

    /// Fills `counts`, one for each bucket, and returns the sum.
    pub(crate) fn read(&self, counts: &mut [u64]) -> f64 {
        counts.fill(0);
        match self {
            Self::Shards(cells) => cells.read(counts),
            Self::Locked(locked) => {
                let locked = locked.lock().unwrap_or_else(PoisonError::into_inner);
                counts.copy_from_slice(&locked.0);
                locked.1
            }
            Self::Process(histogram) => histogram.read(counts),
            Self::ProcessSummary(summary) => {
                let (count, sum) = summary.read();
                counts.iter_mut().take(1).for_each(|one| *one = count);
                sum
            }
        }
    }
}

/// Returns the labels of an exemplar. A lone surrogate, which no text can have, becomes the replacement character.
fn exemplar_labels(exemplar: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let labels = exemplar.getattr(intern!(exemplar.py(), "labels"))?;
    let text = |it: &Bound<'_, PyAny>| -> PyResult<String> {
        Ok(it.cast::<PyString>()?.to_string_lossy().into_owned())
    };
    let labels = labels.cast::<PyDict>()?.iter();
    labels.map(|(name, value)| Ok((text(&name)?, text(&value)?))).collect()
}

fn borrowed(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// The newest exemplar of each bucket, or of a counter; memory only for series that have one.
#[derive(Debug, Default)]
pub(crate) struct Exemplars(Mutex<Vec<Option<Py<PyAny>>>>);

impl Exemplars {
    pub(crate) fn set(&self, bucket: usize, exemplar: Py<PyAny>) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() <= bucket {
            slots.resize_with(bucket + 1, || None);
        }
        let before = slots[bucket].replace(exemplar);
        drop(slots);
        drop(before); // may run Python code
    }

    pub(crate) fn get(&self, py: Python<'_>, bucket: usize) -> Option<Py<PyAny>> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(bucket)?.as_ref().map(|exemplar| exemplar.clone_ref(py))
    }
}
