//! The handles that a program records through: a class for each kind of metric, each a series.

use crate::errors::{count, exemplar, increment, integer, number, observation};
use dynamo_metrics as native;
use pyo3::prelude::*;
use std::sync::Arc;

/// A handle of one series with the name of its metric, which errors name.
macro_rules! handle {
    ($(#[$doc:meta])* $class:ident, $native:ty) => {
        $(#[$doc])*
        #[pyclass(frozen, module = "dynamo_metrics")]
        #[derive(Clone, Debug)]
        pub(crate) struct $class {
            name: Arc<str>,
            series: $native,
        }

        impl $class {
            pub(crate) fn new(name: Arc<str>, series: $native) -> Self {
                Self { name, series }
            }
        }
    };
}

handle!(
    /// A counter of fractions: starts at 0 and rises.
    Counter, native::FloatCounter
);
handle!(
    /// A counter of whole things: exact up to 2**64 - 1, and the cheapest to record.
    IntCounter, native::Counter
);
handle!(
    /// A gauge: a value that rises and falls.
    Gauge, native::Gauge
);
handle!(
    /// A gauge of integers, exact from -2**53 to 2**53.
    IntGauge, native::Gauge
);
handle!(
    /// A histogram: observations counted in buckets.
    Histogram, native::Histogram
);

#[pymethods]
impl Counter {
    /// Increases the counter by 1.
    fn inc(&self) {
        self.series.add(1.0);
    }

    /// Increases the counter by `value`, finite and not negative; raises `ValueError` otherwise.
    #[pyo3(signature = (value, /))]
    fn inc_by(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.add(increment(&self.name, value)?);
        Ok(())
    }

    /// Increases the counter by `value` and keeps the trace as the counter's exemplar, in a metric created with `exemplars=True`;
    /// OpenMetrics and protobuf show it. Identifiers: 1 to 32 and 1 to 16 characters of `[A-Za-z0-9_-]`; raises `ValueError`
    /// otherwise.
    #[pyo3(signature = (value, /, trace_id, span_id=None))]
    fn inc_with_exemplar(
        &self,
        value: &Bound<'_, PyAny>,
        trace_id: &Bound<'_, PyAny>,
        span_id: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let exemplar = exemplar(&self.name, trace_id, span_id)?;
        self.series.add_with_exemplar(increment(&self.name, value)?, &exemplar);
        Ok(())
    }

    /// Returns the sum over all threads. For tests and displays: reads every thread's shard.
    fn get(&self) -> f64 {
        self.series.get()
    }
}

#[pymethods]
impl IntCounter {
    /// Increases the counter by 1.
    fn inc(&self) {
        self.series.inc();
    }

    /// Increases the counter by `value`, an integer from 0 to 2**64 - 1; raises `ValueError` otherwise.
    #[pyo3(signature = (value, /))]
    fn inc_by(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.add(count(&self.name, value)?);
        Ok(())
    }

    /// Increases the counter by `value` and keeps the trace as the counter's exemplar, in a metric created with `exemplars=True`;
    /// OpenMetrics and protobuf show it. Identifiers: 1 to 32 and 1 to 16 characters of `[A-Za-z0-9_-]`; raises `ValueError`
    /// otherwise.
    #[pyo3(signature = (value, /, trace_id, span_id=None))]
    fn inc_with_exemplar(
        &self,
        value: &Bound<'_, PyAny>,
        trace_id: &Bound<'_, PyAny>,
        span_id: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let exemplar = exemplar(&self.name, trace_id, span_id)?;
        self.series.add_with_exemplar(count(&self.name, value)?, &exemplar);
        Ok(())
    }

    /// Returns the sum over all threads. For tests and displays: reads every thread's shard.
    fn get(&self) -> u64 {
        self.series.get()
    }
}

#[pymethods]
impl Gauge {
    /// Returns a guard that counts the blocks or calls in progress: a context manager, or a decorator.
    fn track_inprogress<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("dynamo_metrics._timing")?.call_method1("InProgress", (slf,))
    }

    /// Sets the gauge to `value`, any float.
    #[pyo3(signature = (value, /))]
    fn set(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.set(number(&self.name, value)?);
        Ok(())
    }

    /// Increases the gauge by 1.
    fn inc(&self) {
        self.series.inc();
    }

    /// Increases the gauge by `value`.
    #[pyo3(signature = (value, /))]
    fn inc_by(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.add(number(&self.name, value)?);
        Ok(())
    }

    /// Decreases the gauge by 1.
    fn dec(&self) {
        self.series.dec();
    }

    /// Decreases the gauge by `value`.
    #[pyo3(signature = (value, /))]
    fn dec_by(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.sub(number(&self.name, value)?);
        Ok(())
    }

    /// Returns the value.
    fn get(&self) -> f64 {
        self.series.get()
    }
}

#[pymethods]
impl IntGauge {
    /// Returns a guard that counts the blocks or calls in progress: a context manager, or a decorator.
    fn track_inprogress<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("dynamo_metrics._timing")?.call_method1("InProgress", (slf,))
    }

    /// Sets the gauge to `value`, an integer from -2**53 to 2**53.
    #[pyo3(signature = (value, /))]
    fn set(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.set(integer(&self.name, value)? as f64);
        Ok(())
    }

    /// Increases the gauge by 1.
    fn inc(&self) {
        self.series.inc();
    }

    /// Increases the gauge by `value`, an integer.
    #[pyo3(signature = (value, /))]
    fn inc_by(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.add(integer(&self.name, value)? as f64);
        Ok(())
    }

    /// Decreases the gauge by 1.
    fn dec(&self) {
        self.series.dec();
    }

    /// Decreases the gauge by `value`, an integer.
    #[pyo3(signature = (value, /))]
    fn dec_by(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.sub(integer(&self.name, value)? as f64);
        Ok(())
    }

    /// Returns the value.
    fn get(&self) -> i64 {
        self.series.get() as i64
    }
}

#[pymethods]
impl Histogram {
    /// Records one value, any number but NaN; durations in seconds.
    #[pyo3(signature = (value, /))]
    fn observe(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.observe(observation(&self.name, value)?);
        Ok(())
    }

    /// Records one value `n` times, at the cost of once.
    #[pyo3(signature = (value, n, /))]
    fn observe_n(&self, value: &Bound<'_, PyAny>, n: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.observe_n(observation(&self.name, value)?, count(&self.name, n)?);
        Ok(())
    }

    /// Records one value and keeps the trace as its bucket's exemplar, in a metric created with `exemplars=True`; OpenMetrics and
    /// protobuf show it. Identifiers: 1 to 32 and 1 to 16 characters of `[A-Za-z0-9_-]`; raises `ValueError` otherwise.
    ///
    /// >>> from dynamo_metrics import DistributedRuntime
    /// >>> metrics = DistributedRuntime().metrics
    /// >>> wait = metrics.create_histogram("wait_seconds", "Time in the queue.", buckets=[0.1, 1], exemplars=True)
    /// >>> wait.observe_with_exemplar(0.25, trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    /// >>> wait.get()
    /// ([0, 1, 0], 0.25)
    #[pyo3(signature = (value, /, trace_id, span_id=None))]
    fn observe_with_exemplar(
        &self,
        value: &Bound<'_, PyAny>,
        trace_id: &Bound<'_, PyAny>,
        span_id: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let exemplar = exemplar(&self.name, trace_id, span_id)?;
        self.series.observe_with_exemplar(observation(&self.name, value)?, &exemplar);
        Ok(())
    }

    /// Returns a timer that observes seconds: a context manager, or a decorator of functions, coroutines and generators.
    fn time<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("dynamo_metrics._timing")?.call_method1("Timer", (slf,))
    }

    /// Returns the counts of the buckets, not cumulative, `+Inf` last, and the sum of the finite observations.
    fn get(&self) -> (Vec<u64>, f64) {
        let value = self.series.get();
        (value.counts, value.sum)
    }
}
