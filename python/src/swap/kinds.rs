//! The kinds: a counter, a gauge, a histogram and a summary, each with the methods that record.

use super::cells::{Bounds, Exemplars, GaugeValue, Observations, Total, Upper};
use super::labelled::Labelled;
use super::processes::Identity;
use super::text::{Header, Kind, Lines, family_text};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyTuple};
use pyo3::{PyClassInitializer, intern};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A kind's class: the value of one series, which a metric with label names does not have.
macro_rules! class {
    ($(#[$doc:meta])* $class:ident, $cells:ty) => {
        $(#[$doc])*
        #[pyclass(subclass, frozen, extends = Labelled, module = "dynamo_metrics._native")]
        #[derive(Debug, Default)]
        pub(crate) struct $class(OnceLock<$cells>);

        impl $class {
            #[inline]
            fn cells(&self) -> PyResult<&$cells> {
                self.0.get().ok_or_else(not_observable::<Self>)
            }
        }
    };
}

#[cold]
fn not_observable<T: Kind>() -> PyErr {
    PyValueError::new_err(format!(
        "{} metric is missing label values: call labels(...) first",
        T::TYPE
    ))
}

class!(
    /// The base of `Counter`.
    SwapCounter, CounterCells
);
class!(
    /// The base of `Gauge`.
    SwapGauge, GaugeCells
);
class!(
    /// The base of `Histogram`.
    SwapHistogram, HistogramCells
);
class!(
    /// The base of `Summary`.
    SwapSummary, Observations
);

#[derive(Debug)]
pub(crate) struct CounterCells {
    sum: Total,
    exemplar: Exemplars,
}

#[derive(Debug)]
pub(crate) struct GaugeCells {
    value: GaugeValue,
    /// True if the value that was set last is the one, so that steps make no sense.
    is_timed: bool,
    /// True if the attribute `_function` of the Python object has the value instead.
    pulled: AtomicBool,
}

impl GaugeCells {
    fn step(&self, amount: f64) -> PyResult<()> {
        if self.is_timed {
            return Err(PyRuntimeError::new_err(
                "inc and dec make no sense for a gauge whose mode is mostrecent; use set",
            ));
        }
        self.value.add(amount);
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct HistogramCells {
    upper: Arc<Upper>,
    observations: Observations,
    exemplars: Exemplars,
}

/// Returns the checked exemplar, or `None` for an empty one.
fn exemplar(labels: Option<&Bound<'_, PyAny>>, value: f64) -> PyResult<Option<Py<PyAny>>> {
    let Some(labels) = labels else { return Ok(None) };
    if !labels.is_truthy()? {
        return Ok(None);
    }
    let module = labels.py().import("dynamo_metrics.prometheus.validation")?;
    Ok(Some(module.call_method1("make_exemplar", (labels, value))?.unbind()))
}

#[pymethods]
impl SwapCounter {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Labelled::base_of(Self::default())
    }

    fn _set_cells(&self, py: Python<'_>, identity: Identity<'_>) -> PyResult<()> {
        let sum = Total::new(py, &identity)?;
        _ = self.0.set(CounterCells { sum, exemplar: Exemplars::default() });
        Ok(())
    }

    /// Increases the counter by `amount`, not negative. `exemplar` has the labels of an exemplar.
    #[inline]
    #[pyo3(signature = (amount=1.0, exemplar=None))]
    fn inc(
        &self,
        py: Python<'_>,
        amount: f64,
        exemplar: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let cells = self.cells()?;
        if amount < 0.0 {
            return Err(PyValueError::new_err(
                "counters can only be increased by amounts that are not negative; use a gauge for values that fall",
            ));
        }
        if exemplar.is_some()
            && let Some(exemplar) = self::exemplar(exemplar, amount)?
        {
            cells.sum.add_with_exemplar(amount, exemplar.bind(py))?;
            cells.exemplar.set(0, exemplar);
            return Ok(());
        }
        cells.sum.add(amount);
        Ok(())
    }

    fn _reset(&self) -> PyResult<()> {
        self.cells().map(|cells| cells.sum.reset())
    }

    fn _get(&self) -> PyResult<f64> {
        self.cells().map(|cells| cells.sum.get())
    }

    fn _exemplar(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.cells()?.exemplar.get(py, 0))
    }

    fn _remove_shared(&self) -> bool {
        self.0.get().is_some_and(|cells| cells.sum.remove())
    }

    fn _text<'py>(slf: &Bound<'py, Self>, header: Header) -> PyResult<Bound<'py, PyBytes>> {
        family_text(slf, &header)
    }
}

impl Kind for SwapCounter {
    const TYPE: &'static str = "counter";

    fn write(slf: &Bound<'_, Self>, lines: &mut Lines<'_>) -> PyResult<()> {
        let cells = slf.get().cells()?;
        let exemplar = lines.exemplar(slf.py(), &cells.exemplar, 0)?;
        lines.sample("_total", None, cells.sum.get(), exemplar.as_deref());
        lines.created(slf)
    }
}

#[pymethods]
impl SwapGauge {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Labelled::base_of(Self::default())
    }

    fn _set_cells(&self, py: Python<'_>, identity: Identity<'_>, mode: &str) -> PyResult<()> {
        let value = GaugeValue::new(py, &identity, mode)?;
        let is_timed = mode.ends_with("mostrecent");
        _ = self.0.set(GaugeCells { value, is_timed, pulled: AtomicBool::new(false) });
        Ok(())
    }

    /// Increases the gauge by `amount`.
    #[pyo3(signature = (amount=1.0))]
    fn inc(&self, amount: f64) -> PyResult<()> {
        self.cells()?.step(amount)
    }

    /// Decreases the gauge by `amount`.
    #[pyo3(signature = (amount=1.0))]
    fn dec(&self, amount: f64) -> PyResult<()> {
        self.cells()?.step(-amount)
    }

    /// Sets the gauge to `value`, anything that `float` takes.
    fn set(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let cells = self.cells()?;
        let value = match value.extract() {
            Ok(value) => value,
            // Text, which `float` reads, too.
            Err(_) => value.py().get_type::<PyFloat>().call1((value,))?.extract()?,
        };
        cells.value.set(value);
        Ok(())
    }

    fn _set_pulled(&self) -> PyResult<()> {
        self.cells().map(|cells| cells.pulled.store(true, Ordering::Relaxed))
    }

    /// Returns the value, which a function may have.
    fn _get(slf: &Bound<'_, Self>) -> PyResult<f64> {
        let cells = slf.get().cells()?;
        if !cells.pulled.load(Ordering::Relaxed) {
            return Ok(cells.value.get());
        }
        let value = slf.getattr(intern!(slf.py(), "_function"))?.call0()?;
        slf.py().get_type::<PyFloat>().call1((value,))?.extract()
    }

    fn _remove_shared(&self) -> bool {
        self.0.get().is_some_and(|cells| cells.value.remove())
    }

    fn _text<'py>(slf: &Bound<'py, Self>, header: Header) -> PyResult<Bound<'py, PyBytes>> {
        family_text(slf, &header)
    }
}

impl Kind for SwapGauge {
    const TYPE: &'static str = "gauge";

    fn write(slf: &Bound<'_, Self>, lines: &mut Lines<'_>) -> PyResult<()> {
        lines.sample("", None, Self::_get(slf)?, None);
        Ok(())
    }
}

#[pymethods]
impl SwapHistogram {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Labelled::base_of(Self::default())
    }

    fn _set_cells(&self, py: Python<'_>, identity: Identity<'_>, bounds: &Bounds) -> PyResult<()> {
        let upper = Arc::clone(&bounds.0);
        let observations = Observations::histogram(py, &identity, &upper)?;
        _ = self.0.set(HistogramCells { upper, observations, exemplars: Exemplars::default() });
        Ok(())
    }

    /// Records one value; durations in seconds. `exemplar` has the labels of an exemplar of its bucket.
    #[pyo3(signature = (amount, exemplar=None))]
    fn observe(
        &self,
        py: Python<'_>,
        amount: f64,
        exemplar: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let cells = self.cells()?;
        let bucket = cells.upper.index(amount);
        if exemplar.is_some()
            && bucket < cells.upper.bounds.len()
            && let Some(exemplar) = self::exemplar(exemplar, amount)?
        {
            cells.observations.observe_with_exemplar(bucket, amount, exemplar.bind(py))?;
            cells.exemplars.set(bucket, exemplar);
            return Ok(());
        }
        cells.observations.observe(bucket, amount);
        Ok(())
    }

    /// Returns the counts of the buckets, not cumulative, and the sum.
    fn _get(&self) -> PyResult<(Vec<u64>, f64)> {
        let cells = self.cells()?;
        let mut counts = vec![0; cells.upper.bounds.len() + 1];
        let sum = cells.observations.read(&mut counts);
        counts.pop(); // NaN
        Ok((counts, sum))
    }

    fn _exemplar(&self, py: Python<'_>, bucket: usize) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.cells()?.exemplars.get(py, bucket))
    }

    fn _remove_shared(&self) -> bool {
        self.0.get().is_some_and(|cells| cells.observations.remove())
    }

    fn _text<'py>(slf: &Bound<'py, Self>, header: Header) -> PyResult<Bound<'py, PyBytes>> {
        family_text(slf, &header)
    }
}

impl Kind for SwapHistogram {
    const TYPE: &'static str = "histogram";

    fn write(slf: &Bound<'_, Self>, lines: &mut Lines<'_>) -> PyResult<()> {
        let cells = slf.get().cells()?;
        let mut counts = std::mem::take(&mut lines.counts);
        counts.resize(cells.upper.bounds.len() + 1, 0);
        let sum = cells.observations.read(&mut counts);
        let mut total = 0.0;
        for (bucket, (count, le)) in counts.iter().zip(&cells.upper.texts).enumerate() {
            total += *count as f64;
            let exemplar = lines.exemplar(slf.py(), &cells.exemplars, bucket)?;
            lines.sample("_bucket", Some(le), total, exemplar.as_deref());
        }
        lines.counts = counts;
        lines.sample("_count", None, total, None);
        // A sum of negative values may fall, so it is no counter.
        if cells.upper.bounds.first().is_some_and(|&bound| bound >= 0.0) {
            lines.sample("_sum", None, sum, None);
        }
        lines.created(slf)
    }
}

#[pymethods]
impl SwapSummary {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Labelled::base_of(Self::default())
    }

    fn _set_cells(&self, py: Python<'_>, identity: Identity<'_>) -> PyResult<()> {
        _ = self.0.set(Observations::summary(py, &identity)?);
        Ok(())
    }

    /// Records one value; durations in seconds.
    fn observe(&self, amount: f64) -> PyResult<()> {
        self.cells().map(|cells| cells.observe(0, amount))
    }

    /// Returns the count and the sum.
    fn _get(&self) -> PyResult<(u64, f64)> {
        let mut counts = [0];
        let sum = self.cells()?.read(&mut counts);
        Ok((counts[0], sum))
    }

    fn _remove_shared(&self) -> bool {
        self.0.get().is_some_and(Observations::remove)
    }

    fn _text<'py>(slf: &Bound<'py, Self>, header: Header) -> PyResult<Bound<'py, PyBytes>> {
        family_text(slf, &header)
    }
}

impl Kind for SwapSummary {
    const TYPE: &'static str = "summary";

    fn write(slf: &Bound<'_, Self>, lines: &mut Lines<'_>) -> PyResult<()> {
        let (count, sum) = slf.get()._get()?;
        lines.sample("_count", None, count as f64, None);
        lines.sample("_sum", None, sum, None);
        lines.created(slf)
    }
}
